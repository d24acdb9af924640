"""From a Keras model to a graph: its inputs, a walk through it, its outputs."""

from __future__ import annotations

import inspect
import os
from typing import Any

import keras
import numpy as np
from keras.src.saving.serialization_lib import SafeModeScope

from ir.diagnostics import InvalidModelError, UnsupportedError
from ir.dtypes import dtype_of
from ir.structured import StructuredGraph
from ir.verifier import verify
from layercc import layers as L
from layercc.frontends.keras.recording import functional_of, recording
from layercc.frontends.keras.registry import Refused
from layercc.frontends.keras.signature import KerasSignature, Place
from layercc.frontends.keras.tracer import Abandoned, Tracer
from layercc.layers.tensor import SymbolicTensor


def imported(model: Any, example_inputs: Any) -> StructuredGraph:
    """See `from_keras`."""
    if isinstance(model, str | os.PathLike):
        model = _loaded(model)
    if not isinstance(model, keras.layers.Layer):
        raise TypeError(
            f"from_keras takes a keras.Model, a keras.layers.Layer or the path of a .keras file, "
            f"not a {type(model).__name__}"
        )
    return _Importer(model, example_inputs).run()


def _loaded(path: str | os.PathLike[str]) -> Any:
    """A model from a file that is not trusted: Keras' safe mode refuses Python code in it, here
    even where `keras.config.enable_unsafe_deserialization` was called."""
    try:
        with SafeModeScope(safe_mode=True):
            return keras.saving.load_model(os.fspath(path), compile=False, safe_mode=True)
    except OSError:
        raise
    except Exception as error:  # a file that is not trusted raises whatever it leads Keras to
        raise InvalidModelError(f"{os.fspath(path)!r}: Keras does not load it: {error}") from error


class _Importer:
    def __init__(self, model: Any, example_inputs: Any) -> None:
        self.model, self.example_inputs = model, example_inputs
        self.where = f"model {model.name!r}"
        self.tracer = Tracer(model)
        self.inputs = self.tracer.inputs

    def run(self) -> StructuredGraph:
        functional = functional_of(self.model)
        with recording(self.model):
            if functional is not None:
                parameters: tuple[str, ...] = ("inputs",)
                trees = (self._tree(functional._inputs_struct),)
                given = [self._inputs(tree, "") for tree in trees]
                results = self._guarded(lambda: self.tracer.functional(functional, given[0]))
            else:
                arguments = self._arguments()
                parameters = _parameters(self.model, len(arguments))
                self._build(arguments)
                trees = tuple(map(self._tree, arguments))
                given = [
                    self._inputs(tree, name) for tree, name in zip(trees, parameters, strict=True)
                ]
                results = self._guarded(lambda: self.tracer.layer(self.model, tuple(given), {}))
            self.tracer.missing.raise_for_any(self.where)
        return self._assembled(parameters, given, results)

    def _guarded(self, function: Any) -> Any:
        """What the tracer makes; None where what is missing leaves nothing to go on with."""
        try:
            return function()
        except Abandoned:
            return None
        except Refused as refused:
            self.tracer.missing.note(f"{type(self.model).__qualname__} ({refused})", "")
            return None

    # --- inputs

    def _arguments(self) -> tuple[Any, ...]:
        """What the model is called with, of `example_inputs` or what it was built with."""
        given = self.example_inputs
        if given is None:
            shapes = getattr(self.model, "_build_shapes_dict", None)
            if not shapes:
                raise TypeError(
                    f"{self.where} does not know its inputs: give example_inputs, arrays or "
                    "keras.Inputs"
                )
            dtype = self.model.input_dtype
            given = tuple(
                keras.tree.map_shape_structure(
                    lambda shape: keras.KerasTensor((None, *shape[1:]), dtype), shape
                )
                for shape in shapes.values()
            )
        return given if isinstance(given, tuple) else (given,)

    def _build(self, arguments: tuple[Any, ...]) -> None:
        """Makes the weights of a model that was never called."""
        if not self.model.built:
            given = [keras.tree.map_structure(_as_keras_tensor, tree) for tree in arguments]
            try:
                self.model(*given)
            except Exception as error:  # whatever the user's code raises
                raise UnsupportedError(
                    f"{self.where} could not be built for these inputs: {error}"
                ) from error

    def _tree(self, struct: Any) -> Any:
        return keras.tree.map_structure(_as_keras_tensor, struct)

    def _inputs(self, tree: Any, parameter: str) -> Any:
        """Tensors for the inputs in a tree; those of a model that does not name them are called as
        the parameter, with the keys that lead to them."""
        made = [
            self._input(x, ".".join(map(str, (parameter, *path))), bool(parameter))
            for path, x in keras.tree.flatten_with_path(tree)
        ]
        return keras.tree.pack_sequence_as(tree, made)

    def _input(self, x: Any, path: str, unnamed: bool) -> SymbolicTensor:
        name = _name_of(x)
        if name is None or (unnamed and name.startswith("input_layer")):
            name = path
        if x.dtype == "string":
            raise UnsupportedError(f"{self.where}: input {_name_of(x)!r} holds strings")
        if x.sparse or getattr(x, "ragged", False):
            raise UnsupportedError(f"{self.where}: input {_name_of(x)!r} is sparse or ragged")
        made = L.Input(batch_shape=x.shape, dtype=dtype_of(x.dtype), name=name)
        self.inputs.append(made)
        return made

    # --- the graph

    def _assembled(
        self, parameters: tuple[str, ...], given: list[Any], results: Any
    ) -> StructuredGraph:
        outputs = [x for x in keras.tree.flatten(results) if isinstance(x, SymbolicTensor)]
        if not outputs:
            raise InvalidModelError(f"{self.where} returns no tensors")
        made = L.Model(self.inputs, outputs, name=self.model.name)
        graph = StructuredGraph(made.name, made.inputs, made.outputs, made.nodes, made.constants)
        graph.types = made.types
        number = {id(tensor): i for i, tensor in enumerate(self.inputs)}

        def taken(x: SymbolicTensor) -> Place:
            value = made.inputs[number[id(x)]]
            return Place(number[id(x)], value.name, value.dtype.value, len(value.shape))

        flat, counter = keras.tree.flatten(results), iter(range(len(outputs)))
        places = [Place(next(counter)) if isinstance(x, SymbolicTensor) else x for x in flat]
        gives = keras.tree.pack_sequence_as(results, places)
        takes = tuple(_plain(keras.tree.map_structure(taken, tree)) for tree in given)
        graph.structure = KerasSignature(parameters, takes, _plain(gives))
        verify(graph)
        return graph


def _as_keras_tensor(x: Any) -> Any:
    if isinstance(x, keras.KerasTensor):
        return x
    if isinstance(x, keras.InputSpec):
        return keras.KerasTensor(x.shape, x.dtype or keras.config.floatx())
    array = x if hasattr(x, "shape") and hasattr(x, "dtype") else np.asarray(x)
    return keras.KerasTensor((None, *array.shape[1:]), keras.backend.standardize_dtype(array.dtype))


def _name_of(x: Any) -> str | None:
    """The name of an input: that of its layer."""
    history = getattr(x, "_keras_history", None)
    if history is not None and history.operation is not None:
        return str(history.operation.name)
    return None


def _parameters(model: Any, count: int) -> tuple[str, ...]:
    """The names of the first arguments of a model's call; those of `*tensors` are numbered."""
    names: list[str] = []
    for name, parameter in list(inspect.signature(type(model).call).parameters.items())[1:]:
        if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
            names += [f"{name}_{i}" for i in range(count - len(names))]
        else:
            names.append(name)
    return tuple(names[:count])


def _plain(tree: Any) -> Any:
    """A tree of plain lists, tuples and dicts, which needs no Keras to be unpickled."""
    if isinstance(tree, dict):
        return {key: _plain(part) for key, part in tree.items()}
    if isinstance(tree, list | tuple):
        made = [_plain(part) for part in tree]
        return made if isinstance(tree, list) else tuple(made)
    return tree
