"""Goes through a Keras model and makes the same of layers of the builder.

A functional model is a graph already; Keras runs it node by node, and so does the tracer, on
tensors of the builder. A layer with a translation becomes a layer of the builder; any other is
called on `KerasTensor`s, which makes a graph of what it calls, down to `keras.ops`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
from keras.src.backend import AutocastScope

import layercc.frontends.keras.layers
import layercc.frontends.keras.ops  # noqa: F401  # both fill the registry
from ir.diagnostics import LayerccError, UnsupportedError
from ir.dims import evaluate, symbol, symbols
from ir.dtypes import DTYPE_SETS, DType, dtype_of
from ir.types import TensorType
from layercc import layers as L
from layercc.frontends.keras.constants import Constants
from layercc.frontends.keras.missing import Missing
from layercc.frontends.keras.op_call import OpCall
from layercc.frontends.keras.recording import (
    computing_in_ops,
    functional_of,
    history,
    is_own_mask,
)
from layercc.frontends.keras.registry import (
    LAYERS,
    OPS,
    REFUSED_LAYERS,
    Refused,
    layer_class,
    op_name,
)
from layercc.frontends.keras.sizes import Call, Record, sized
from layercc.layers.layer import cast, snake_case
from layercc.layers.masks import masks_of, set_masks, takes_mask, with_masks
from layercc.layers.tensor import (
    SymbolicTensor,
    calling,
    current_layer,
    map_tensors,
    tensors_in,
)
from layercc.own.bindings import Translation, translation_of

#: Layers whose inputs may be integers though they compute in floats.
_TAKES_INTEGERS = ("Embedding", "ReversibleEmbedding")
#: Layers that take the masks off their tensors when they run.
_TAKES_MASKS_OFF = ("MultiHeadAttention",)


class Tracer(Constants):
    """One model under translation. `missing` holds what has none."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        self.missing = Missing()
        self.path: list[str] = []
        self.recorded = False  # whether nodes are those of a functional model
        self._made: dict[int, L.Layer] = {}  # Keras layer → the builder's

    # --- names

    @property
    def where(self) -> str:
        return ".".join(self.path)

    @contextmanager
    def at(self, name: str) -> Any:
        self.path.append(name)
        try:
            yield
        finally:
            self.path.pop()

    def name_of(self, layer: Any) -> str:
        """What the builder's layer is called: within another one by its own name, else by its
        path."""
        return str(layer.name) if current_layer() is not None else self.where

    # --- calls

    def apply(self, op: Any, args: Any, kwargs: Any, outputs: Sequence[Any] = ()) -> Any:
        """What a layer or op makes of tensors of the builder, in the form that it returns."""
        options = dict(kwargs)
        training = options.pop("training", None) and not self.recorded
        try:
            if isinstance(op, keras.layers.Layer):
                with self.at(op.name):
                    if training and _acts_in_training(op):
                        raise Refused("called with training=True")
                    return self.layer(op, args, options)
            return self.operation(op, args, options, outputs)
        except Refused as refused:
            self.missing.note(f"{_described(op)} ({refused})", self._place(op))
        except Untranslated:
            self.missing.note(_described(op), self._place(op))
        except (UnsupportedError, ValueError, TypeError) as error:
            if isinstance(error, LayerccError) and not isinstance(error, UnsupportedError):
                raise
            self.missing.note(f"{_described(op)} ({_first_line(error)})", self._place(op))
        return self.stand_in(op, args, options, outputs)

    def _place(self, op: Any) -> str:
        own = [op.name] if isinstance(op, keras.layers.Layer) else []
        return ".".join([*self.path, *own])

    def layer(self, layer: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        """A call of a layer, at whose path the tracer is."""
        graph = functional_of(layer)
        if graph is not None:
            return self.functional(graph, args[0] if args else kwargs.pop("inputs"), kwargs)
        if getattr(layer, "quantization_mode", None) is not None:
            raise Refused(f"quantized to {layer.quantization_mode}")
        known = layer_class(type(layer))
        if known in REFUSED_LAYERS:
            raise Refused(REFUSED_LAYERS[known])
        args, kwargs = self._as_the_layer_casts(layer, known, args, kwargs)
        own = translation_of("keras", type(layer))
        if own is not None:
            return self._own(layer, own, args, kwargs)
        if known in LAYERS:
            made = self._translated(layer, LAYERS[known])
            if made is not None:
                results = self._called(made, args, kwargs)
                if known in _TAKES_MASKS_OFF:
                    for tensor in tensors_in([args, kwargs]):
                        tensor.mask = None
                return results
        return self.traced(layer, args, kwargs)

    def _own(self, layer: Any, own: Translation, args: Any, kwargs: dict[str, Any]) -> Any:
        """A call of a layer that an op of the user's stands for (`lc.op(keras=...)`)."""
        inputs, attributes = own.of_layer(tensors_in([args, kwargs]), layer, self.constant)
        made = self._translated(
            layer, lambda tracer, _: own.applied.layer(name=tracer.name_of(layer), **attributes)
        )
        assert made is not None
        return made(*inputs)

    @staticmethod
    def _called(made: L.Layer, args: Any, kwargs: dict[str, Any]) -> Any:
        """A call of the builder's layer; a mask that it does not read is that of its result."""
        given = {key: value for key, value in kwargs.items() if value is not None}
        if "mask" not in given or takes_mask(type(made).call):
            return made(*args, **given)
        mask = given.pop("mask")
        results = made(*args, **given)
        if made.masking:
            set_masks(results, mask)
        return results

    def _translated(self, layer: Any, translation: Callable[..., Any]) -> L.Layer | None:
        """The builder's layer, made at the first call; None if the translation leaves it to
        tracing."""
        if id(layer) not in self._made:
            try:
                made = translation(self, layer)
            except UnsupportedError:  # a setting that the builder has not
                made = None
            if made is None:
                return None
            made.source = None
            self._made[id(layer)] = made
            self._kept.append(layer)
        return self._made[id(layer)]

    def _as_the_layer_casts(
        self, layer: Any, known: str | None, args: Any, kwargs: Any
    ) -> tuple[Any, Any]:
        if not getattr(layer, "_convert_input_args", True):
            return args, kwargs
        wanted = dtype_of(layer.compute_dtype) if _is_float(layer.compute_dtype) else None
        with_weights = bool(layer.weights) and known in LAYERS and known not in _TAKES_INTEGERS

        def converted(x: SymbolicTensor) -> SymbolicTensor:
            if wanted is None or x.dtype is wanted:
                return x
            floats = x.dtype in DTYPE_SETS["float"]
            if (floats and layer.autocast) or (not floats and with_weights and x.rank):
                if not floats and x.dtype is DType.bool:
                    return x
                made = self.emitted(lambda: cast(x, wanted), "cast")
                made.mask = x.mask
                return made
            return x

        return keras.tree.map_structure(_on_tensors(converted), (args, kwargs))

    def emitted(self, function: Callable[[], Any], name: str) -> Any:
        """What a function makes that emits ops: in the layer whose call is under way, or as a
        layer of its own."""
        if current_layer() is not None:
            return function()
        made = _Emitting(function, name=".".join([*self.path, name]))
        made.source = None
        return made.run()

    # --- graphs

    def functional(self, graph: Any, inputs: Any, kwargs: Mapping[str, Any] | None = None) -> Any:
        """Runs a functional model in the order in which Keras does."""
        given = self._as_declared(graph, inputs)
        masks = (kwargs or {}).get("mask")
        if masks is not None:
            set_masks(given, keras.tree.flatten(masks))
        values = {id(x): tensor for x, tensor in zip(graph.inputs, given, strict=True)}
        nodes = [
            node
            for depth in sorted(graph._nodes_by_depth, reverse=True)
            for node in graph._nodes_by_depth[depth]
            if not node.is_input
        ]
        outer, self.recorded = self.recorded, True
        try:
            for node in nodes:
                if all(id(x) in values for x in node.input_tensors):
                    arguments = node.arguments
                    self.node(Call(node, node.operation, arguments.args, arguments.kwargs), values)
        finally:
            self.recorded = outer
        made = [values[id(x)] for x in graph.outputs]
        result = keras.tree.pack_sequence_as(graph._outputs_struct, made)
        return result[0] if isinstance(result, list | tuple) and len(result) == 1 else result

    def _as_declared(self, graph: Any, inputs: Any) -> list[SymbolicTensor]:
        """The inputs in order, of the dtypes and ranks of the graph's, as Keras makes them."""
        struct = graph._inputs_struct
        if isinstance(inputs, dict) and not isinstance(struct, dict):
            inputs = [inputs[x.name] for x in keras.tree.flatten(struct)]
        found = []
        for x, tensor in zip(graph.inputs, keras.tree.flatten(inputs), strict=True):
            fitted = self._fitted(tensor, dtype_of(x.dtype), len(x.shape))
            fitted.mask = tensor.mask
            found.append(fitted)
        return found

    def _fitted(self, x: SymbolicTensor, dtype: DType, rank: int) -> SymbolicTensor:
        made = x
        if x.dtype is not dtype:
            made = self.emitted(lambda: cast(x, dtype), "cast")
        last = np.array([-1])
        if rank == made.rank + 1:
            made = self.emitted(lambda: L.emit("Unsqueeze", made, last), "expand_dims")
        elif rank == made.rank - 1:
            made = self.emitted(lambda: L.emit("Squeeze", made, last), "squeeze")
        return made

    def node(self, call: Call, values: dict[int, SymbolicTensor]) -> None:
        """One recorded call, on the tensors that stand for its `KerasTensor`s."""

        def stands_for(x: Any) -> Any:
            return values[id(x)] if isinstance(x, keras.KerasTensor) else x

        given, options = call.args, dict(call.kwargs)
        if not self.recorded and is_own_mask(options.get("mask"), given):
            del options["mask"]  # what Keras found on a KerasTensor; the tensor has its own
        args = keras.tree.map_structure(stands_for, given)
        kwargs = keras.tree.map_structure(stands_for, options)
        made = self.apply(call.operation, args, kwargs, call.node.outputs)
        for x, tensor in zip(call.node.outputs, keras.tree.flatten(made), strict=False):
            values[id(x)] = tensor

    def traced(self, layer: Any, args: Any, kwargs: Mapping[str, Any]) -> Any:
        """What a layer of any kind computes, by what it calls on `KerasTensor`s."""
        options = with_masks(type(layer).call, args, kwargs)
        options = {key: value for key, value in options.items() if value is not None}
        inputs = args[0] if args else next(iter(options.values()), None)
        mask = options.get("mask")
        mask = masks_of(inputs) if mask is None else mask
        if getattr(layer, "_call_has_training_arg", False):
            options["training"] = False
        outer = self.autocast
        if layer.autocast and layer.compute_dtype != layer.variable_dtype:
            self.autocast = dtype_of(layer.compute_dtype)
        try:
            with computing_in_ops(layer):
                results = self.function(layer.call, *args, **options)
            if layer.supports_masking:
                own = type(layer).compute_mask
                if own is not keras.layers.Layer.compute_mask:
                    mask = self.function(layer.compute_mask, inputs, mask)
                if mask is not None:
                    set_masks(results, keras.tree.flatten(mask))
        finally:
            self.autocast = outer
        return results

    def function(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """What a Python function makes that calls layers and `keras.ops`. Raises Refused."""
        given = tensors_in([args, kwargs])
        try:
            record = self._recorded(function, args, kwargs, {})
            calls = [
                Call(node, node.operation, node.arguments.args, dict(node.arguments.kwargs))
                for node in record.nodes
            ]
            outputs = record.outputs
        except Refused:
            names = sorted({name for x in given for dim in x.shape for name in symbols(dim)})
            if not names:
                raise
            record, calls, outputs = sized(
                lambda numbers: self._recorded(function, args, kwargs, numbers),
                names,
                self.model.weights,
            )
        values = {id(kt): x for kt, x in zip(record.tensors, _with_masks(given), strict=False)}
        outer, self.recorded = self.recorded, False
        try:
            for call in calls:
                self.node(call, values)
        finally:
            self.recorded = outer

        def made(x: Any) -> Any:
            if isinstance(x, keras.KerasTensor):
                return values[id(x)]
            return x if x is None else self.emitted(lambda: self.constant(x), "constant")

        return keras.tree.map_structure(made, outputs)

    def _recorded(
        self, function: Callable[..., Any], args: Any, kwargs: Any, numbers: Mapping[str, int]
    ) -> Record:
        """Runs a function on `KerasTensor`s; open sizes are None, or the `numbers` given."""
        tensors: list[Any] = []

        def described(x: SymbolicTensor) -> Any:
            shape = [
                dim if isinstance(dim, int) else evaluate(dim, numbers) if numbers else None
                for dim in x.shape
            ]
            made = keras.KerasTensor(shape, str(x.dtype.value.name))
            tensors.append(made)
            if x.mask is not None:
                made._keras_mask = described(x.mask)
            return made

        args, kwargs = map_tensors(described, (tuple(args), dict(kwargs)))
        scope = None if self.autocast is None else self.autocast.value.name
        try:
            with AutocastScope(scope):
                outputs = function(*args, **kwargs)
        except (LayerccError, Refused):
            raise
        except Exception as error:  # whatever the user's code raises on tensors without data
            raise Refused(f"not traceable: {_first_line(error)}") from error
        known = {id(x) for x in tensors}
        nodes: list[Any] = []
        for x in keras.tree.flatten(outputs):
            if isinstance(x, keras.KerasTensor):
                for node in history(x, known):
                    nodes.append(node)
                    tensors += node.outputs
                    known |= {id(y) for y in node.outputs}
        return Record(tensors, outputs, nodes)

    # --- ops

    def operation(self, op: Any, args: Any, kwargs: Any, outputs: Sequence[Any]) -> Any:
        """A call of an op of `keras.ops`, or of a user's `keras.Operation`."""
        name = op_name(type(op))
        translation = OPS.get(name)
        if translation is None:
            if type(op).__module__.partition(".")[0] != "keras":
                return self.function(op.call, *args, **kwargs)
            raise Untranslated
        call = OpCall(self, op, outputs)
        own = str(op.name) if self.recorded else snake_case(type(op).__name__)
        return self.emitted(lambda: translation(call, *args, **kwargs), own)

    def stand_in(self, op: Any, args: Any, kwargs: Any, outputs: Sequence[Any]) -> Any:
        """Tensors in place of those that have no translation, so that the rest is looked at."""
        if not outputs:
            raise Abandoned
        made = [
            SymbolicTensor(
                TensorType(
                    dtype_of(x.dtype),
                    tuple(
                        symbol("N" if axis == 0 else f"missing_{axis}") if dim is None else dim
                        for axis, dim in enumerate(x.shape)
                    ),
                )
            )
            for x in outputs
        ]
        return made[0] if len(made) == 1 else made


class Untranslated(Exception):
    """An op has no translation."""


class Abandoned(Exception):
    """What is missing was noted, and what it makes is not known."""


class _Emitting(L.Layer):
    """Ops emitted at the top of a model, as a layer."""

    def __init__(self, function: Callable[[], Any], **options: Any) -> None:
        super().__init__(**options)
        self.function = function

    def run(self) -> Any:
        with calling(self, (), {}) as call:
            call.results = self.function()
        return call.results


def _with_masks(tensors: Sequence[SymbolicTensor]) -> list[SymbolicTensor]:
    """Each tensor, and its mask behind it."""
    found: list[SymbolicTensor] = []
    for x in tensors:
        found.append(x)
        if x.mask is not None:
            found += _with_masks([x.mask])
    return found


def _acts_in_training(layer: Any) -> bool:
    """Whether a layer computes something else in training, if it is told so."""
    name = type(layer).__name__
    return name == "BatchNormalization" or "Dropout" in name or "Noise" in name


def _on_tensors(function: Callable[[SymbolicTensor], Any]) -> Callable[[Any], Any]:
    return lambda x: function(x) if isinstance(x, SymbolicTensor) else x


def _described(op: Any) -> str:
    if isinstance(op, keras.layers.Layer):
        cls = type(op)
        home = "keras.layers" if cls.__module__.partition(".")[0] == "keras" else cls.__module__
        return f"{home}.{cls.__qualname__}"
    name = op_name(type(op))
    return f"keras.ops.{name}" if type(op).__module__.partition(".")[0] == "keras" else name


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:200] if lines else type(error).__name__


def _is_float(dtype: str) -> bool:
    return "float" in dtype
