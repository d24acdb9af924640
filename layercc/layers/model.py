"""Models: graphs assembled from layer calls."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ir.diagnostics import InvalidModelError
from ir.dims import Dim, substitute, symbol
from ir.dtypes import dtype_of
from ir.graph import Graph, Node, Value
from ir.inference import infer_types
from ir.naming import Names
from ir.registry import find_op
from ir.types import TensorType, format_shape
from layercc.layers.layer import Layer, Operator, snake_case
from layercc.layers.tensor import (
    Application,
    Constant,
    LayerCall,
    Placeholder,
    SymbolicTensor,
    map_tensors,
    tensors_in,
)
from layercc.layers.weight import Weight

_seed = 0


def set_seed(seed: int) -> None:
    """Sets the seed of the initial weights of models made from now on (0 at the start)."""
    global _seed
    _seed = abs(int(seed))


def Input(
    shape: Sequence[int | str | None] | None = None,
    batch_size: int | str | None = None,
    dtype: Any = "float32",
    *,
    batch_shape: Sequence[int | str | None] | None = None,
    name: str | None = None,
) -> SymbolicTensor:
    """A model input of `shape`, without the batch dim, which is `batch_size` or the symbol `N`.

    A dim is an int, a string (a symbol, equal wherever it is used), or None (a symbol of its own).
    `batch_shape` gives all dims instead.
    """
    if (shape is None) == (batch_shape is None):
        raise ValueError("Input takes either shape (without the batch dim) or batch_shape")
    if batch_shape is None:
        assert shape is not None
        if isinstance(shape, int | str):
            raise ValueError(f"Input shape must be a sequence of dims, such as ({shape!r},)")
        batch_shape = ("N" if batch_size is None else batch_size, *shape)
    dims = tuple(_as_dim(dim, axis) for axis, dim in enumerate(batch_shape))
    return Placeholder(TensorType(dtype_of(dtype), dims), name)


def _as_dim(dim: int | str | None, axis: int) -> Dim:
    if dim is None:
        return symbol("N") if axis == 0 else symbol(f"{_UNNAMED}{next(_free)}")
    if isinstance(dim, str):
        return symbol(dim)
    if int(dim) < 0:
        raise ValueError(f"Input: a dim cannot be {dim}")
    return int(dim)


# Dims given as None are symbols of this prefix until a model is assembled, which names them.
_UNNAMED = "_unnamed_"
_free = itertools.count()


class Model(Graph):
    """The graph between `inputs` and `outputs`: tensors, or lists or dicts of tensors.

    A model is an `ir.Graph`. Called on tensors it works like a layer, with shared weights.
    Initial weights depend on `seed` (default: that of `set_seed`) and on the layers' names alone.
    """

    def __init__(
        self, inputs: Any, outputs: Any, name: str = "model", *, seed: int | None = None
    ) -> None:
        super().__init__(name)
        self.seed = _seed if seed is None else abs(int(seed))
        self._input_tensors, self._output_tensors = inputs, outputs
        self._assemble()

    def _assemble(self) -> None:
        given, wanted = tensors_in(self._input_tensors), tensors_in(self._output_tensors)
        if not given or not wanted:
            raise InvalidModelError(f"model {self.name!r} needs at least one input and one output")
        self._applications = _applications_between(given, wanted)
        self._calls = _calls_of(self._applications)
        self.layers = list(dict.fromkeys(call.layer for call in self._calls))
        _Assembly(self, given, wanted).run()

    def __reduce__(self) -> Any:
        """Pickled and deep-copied as the plain graph, without the layers."""
        parts = (self.inputs, self.outputs, self.nodes, self.constants, self.types)
        return Graph, (self.name, *parts)

    @property
    def weights(self) -> list[Weight]:
        """The weights of all layers, in layer order."""
        return [weight for layer in self.layers for weight in layer.weights]

    def get_weights(self) -> list[np.ndarray]:
        """Copies of all weights, layer by layer, in the order and layout of Keras."""
        return [weight.numpy().copy() for weight in self.weights]

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Sets all weights, in place; the model must be compiled again to use them."""
        if len(weights) != len(self.weights):
            raise ValueError(
                f"model {self.name!r} has {len(self.weights)} weights, {len(weights)} were given"
            )
        for weight, value in zip(self.weights, weights, strict=True):
            weight.assign(value)

    def get_layer(self, name: str) -> Layer:
        """The layer of that name. ValueError if there is none."""
        for layer in self.layers:
            if layer.name == name:
                return layer
        names = ", ".join(str(layer.name) for layer in self.layers)
        raise ValueError(f"model {self.name!r} has no layer {name!r}; it has {names}")

    def count_params(self) -> int:
        """Number of weight elements."""
        return sum(int(np.prod(weight.keras_shape)) for weight in self.weights)

    def summary(self) -> str:
        """A table of layers, output shapes and parameter counts."""
        rows = [("layer", "output", "parameters")]
        counted: set[Layer] = set()
        for call in self._calls:
            shapes = " ".join(format_shape(t.shape) for t in tensors_in(call.results))
            count = call.layer.count_params() if call.layer not in counted else "shared"
            counted.add(call.layer)
            rows.append((f"{call.layer.name} ({type(call.layer).__name__})", shapes, f"{count}"))
        widths = [max(len(row[column]) for row in rows) for column in range(3)]
        lines = [f"{a:{widths[0]}}  {b:{widths[1]}}  {c:>{widths[2]}}" for a, b, c in rows]
        return "\n".join([f"model {self.name}", *lines, f"parameters: {self.count_params():,}"])

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """Applies the model's layers to other tensors, which replace its inputs in order."""
        given, own = tensors_in(arguments), tensors_in(self._input_tensors)
        if not given:
            raise TypeError(
                f"model {self.name!r} takes tensors here; to run it on arrays, compile it: "
                "layercc.compile(model)(x)"
            )
        if len(given) != len(own):
            raise ValueError(f"model {self.name!r} has {len(own)} inputs, {len(given)} were given")
        if any(len(tensors_in(argument)) != 1 for argument in arguments) and len(arguments) > 1:
            raise TypeError(f"model {self.name!r}: give one tensor an input, or one list of them")
        replaced: dict[SymbolicTensor, SymbolicTensor] = dict(zip(own, given, strict=True))

        def new(tensor: SymbolicTensor) -> SymbolicTensor:
            return replaced.get(tensor, tensor)

        for call in self._calls:
            results = call.layer(
                *map_tensors(new, call.arguments), **map_tensors(new, call.options)
            )
            pairs = zip(tensors_in(call.results), tensors_in(results), strict=True)
            replaced.update((old, made) for old, made in pairs if old not in replaced)
        return map_tensors(new, self._output_tensors)


class Sequential(Model):
    """A chain of layers. The first entry is an `Input`, or a layer given an `input_shape`.

    `add` appends a layer; the graph is there as soon as the input shape is known.
    """

    def __init__(
        self, layers: Iterable[Any] = (), name: str = "sequential", *, seed: int | None = None
    ) -> None:
        Graph.__init__(self, name)
        self.seed = _seed if seed is None else abs(int(seed))
        self.layers: list[Any] = []
        self._calls: list[LayerCall] = []
        self._input_tensors = self._output_tensors = None
        chain = list(layers)
        for layer in chain:
            self._append(layer)
        if chain:
            self._assemble()

    def add(self, layer: Any) -> None:
        """Appends a layer, or starts the chain with an `Input`."""
        self._append(layer)
        self._assemble()

    def _append(self, layer: Any) -> None:
        if isinstance(layer, Placeholder):
            if self._input_tensors is not None:
                raise InvalidModelError(f"Sequential {self.name!r} has its input already")
            self._input_tensors = self._output_tensors = layer
            return
        if isinstance(layer, type) or not isinstance(layer, Layer | Model):
            raise TypeError(f"Sequential {self.name!r} takes layers and an Input, not {layer!r}")
        if self._input_tensors is None:
            if isinstance(layer, Sequential):
                first = tensors_in(layer._input_tensors)[0]
                self._input_tensors = Placeholder(first.type, getattr(first, "name", None))
            elif isinstance(layer, Layer) and layer.input_shape is not None:
                self._input_tensors = Input(layer.input_shape)
            else:
                raise InvalidModelError(
                    f"Sequential {self.name!r}: the input shape is not known; start the list with "
                    "Input(shape), for instance Input((28, 28, 1))"
                )
            self._output_tensors = self._input_tensors
        result = layer(self._output_tensors)
        if not isinstance(result, SymbolicTensor):
            raise InvalidModelError(
                f"Sequential {self.name!r}: {layer!r} gives {len(tensors_in(result))} tensors; "
                "a chain needs one. Use Model(inputs, outputs)"
            )
        self._output_tensors = result


def _applications_between(
    inputs: list[SymbolicTensor], outputs: list[SymbolicTensor]
) -> list[Application]:
    """The applications that the outputs need, oldest first; `inputs` cut the walk."""
    cut = set(inputs)
    found: dict[Application, None] = {}
    waiting = [tensor for tensor in outputs if tensor not in cut]
    while waiting:
        tensor = waiting.pop()
        if isinstance(tensor, Placeholder):
            label = repr(tensor.name) if tensor.name else str(tensor.type)
            raise InvalidModelError(f"an output depends on Input {label}, not among the inputs")
        application = tensor.application
        if application is not None and application not in found:
            found[application] = None
            waiting.extend(t for t in application.inputs if t is not None and t not in cut)
    return sorted(found, key=lambda application: application.index)


def _calls_of(applications: list[Application]) -> list[LayerCall]:
    return sorted(
        {application.call: None for application in applications}, key=lambda call: call.index
    )


class _Assembly:
    """Writes applications of ops into a graph: names for layers, values and constants, arrays for
    weights."""

    def __init__(
        self, graph: Model, inputs: list[SymbolicTensor], outputs: list[SymbolicTensor]
    ) -> None:
        self.graph, self.inputs, self.outputs = graph, inputs, outputs
        self.taken = Names(separator="_")
        self.names: dict[SymbolicTensor, str] = {}

    def run(self) -> None:
        graph = self.graph
        graph.nodes, graph.constants = [], {}
        graph.inputs = self.make_inputs()
        self.name_layers()
        prefixes = self.name_calls()
        for application in graph._applications:
            self.add_node(application, prefixes[application.call])
        graph.outputs = []
        for tensor in self.outputs:
            graph.outputs.append(Value(self.output_name(tensor), tensor.type))
        infer_types(graph).raise_for_errors(f"model {graph.name!r}")
        graph.outputs = [Value(v.name, graph.types[v.name]) for v in graph.outputs]

    def make_inputs(self) -> list[Value]:
        """Inputs with their names; dims given as None are named after the input and the axis."""
        given: dict[SymbolicTensor, str] = {
            t: t.name for t in self.inputs if isinstance(t, Placeholder) and t.name
        }
        for tensor, name in given.items():
            self.names[tensor] = self.taken.fresh(name)
        for tensor in self.inputs:
            if tensor not in self.names:
                self.names[tensor] = self.taken.fresh("x")
        free: dict[str, Dim] = {}
        for tensor in self.inputs:
            for axis, dim in enumerate(tensor.shape):
                if isinstance(dim, str) and dim.startswith(_UNNAMED):
                    free.setdefault(str(dim), symbol(f"{self.names[tensor]}_{axis}"))
        return [
            Value(self.names[t], t.type.with_shape(substitute(dim, free) for dim in t.shape))
            for t in self.inputs
        ]

    def name_layers(self) -> None:
        used = {layer.name for layer in self.graph.layers if layer.name}
        for layer in self.graph.layers:
            if not layer.name:
                kind = layer.op if isinstance(layer, Operator) else type(layer).__name__
                base = snake_case(kind)
                layer.name = next(
                    name
                    for name in (base if i == 0 else f"{base}_{i}" for i in range(len(used) + 1))
                    if name not in used
                )
            used.add(layer.name)

    def name_calls(self) -> dict[LayerCall, str]:
        """The name of each call; results of the call carry it."""
        own: dict[Layer, str] = {}
        prefixes: dict[LayerCall, str] = {}
        for call in self.graph._calls:
            if call.layer in own:
                prefixes[call] = self.taken.fresh(f"{own[call.layer]}.call")
            else:
                prefixes[call] = own[call.layer] = self.taken.fresh(str(call.layer.name))
            name = prefixes[call]
            for tensor in tensors_in(call.results):
                if (
                    tensor not in self.names
                    and tensor.application
                    and tensor.application.call is call
                ):
                    self.names[tensor] = name
                    name = self.taken.fresh(f"{prefixes[call]}.output")
        self.layer_names = own
        return prefixes

    def add_node(self, application: Application, prefix: str) -> None:
        inner = application.layer.path.removeprefix(str(application.call.layer.name)).strip(".")
        prefix = f"{prefix}.{inner}" if inner else prefix
        node_name = ""
        for tensor in application.outputs:
            if tensor is not None and tensor not in self.names:
                self.names[tensor] = self.taken.fresh(f"{prefix}.{snake_case(application.op)}")
            node_name = node_name or self._name_of(tensor)
        definition = find_op(application.op)
        assert definition is not None
        inputs = [
            self.operand(tensor, prefix, definition.input_name(position), application)
            for position, tensor in enumerate(application.inputs)
        ]
        outputs = tuple(self._name_of(tensor) for tensor in application.outputs)
        self.graph.nodes.append(
            Node(
                application.op,
                tuple(inputs),
                outputs,
                application.attributes,
                node_name,
                application.layer.source,
            )
        )

    def _name_of(self, tensor: SymbolicTensor | None) -> str:
        return "" if tensor is None else self.names[tensor]

    def operand(
        self, tensor: SymbolicTensor | None, prefix: str, role: str, application: Application
    ) -> str:
        if tensor is None:
            return ""
        if tensor in self.names:
            return self.names[tensor]
        if isinstance(tensor, Weight):
            inner = application.layer.path.removeprefix(str(application.call.layer.name)).strip(".")
            parts = [self.layer_names[application.call.layer], inner, tensor.name]
            name = self.taken.fresh(".".join(filter(None, parts)))
            self.graph.constants[name] = tensor.materialise(self.graph.seed, name)
        else:
            assert tensor.value is not None
            own = tensor.name if isinstance(tensor, Constant) else None
            name = self.taken.fresh(own or f"{prefix}.{snake_case(role).partition('[')[0]}")
            self.graph.constants[name] = tensor.value
        self.names[tensor] = name
        return name

    def output_name(self, tensor: SymbolicTensor) -> str:
        """The tensor's name, or that of an Identity if it is an input or an output already."""
        name = self.names.get(tensor)
        if name and name not in self.graph.input_names and name not in self.graph.output_names:
            return name
        made = self.taken.fresh("output")
        self.graph.nodes.append(Node("Identity", (self.names[tensor],), (made,)))
        return made
