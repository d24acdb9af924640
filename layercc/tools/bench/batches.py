"""Which dim of a model's inputs counts samples, and inputs of other batch sizes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ir.diagnostics import InputError
from ir.dims import Dim, substitute, symbol, symbols
from ir.graph import Graph, Node, Value
from ir.inference import Inference, infer
from ir.types import TensorType

#: What exporters call it; any other symbol counts where it is the leading dim of an input.
_NAMES = ("n", "b", "batch", "batch_size", "batchsize", "bs")


def batch_symbol(graph: Graph) -> Dim | None:
    """The symbol that counts samples: one of a usual name in some input, else the leading dim of
    the first input that has a symbol there. None if there is no such."""
    plain = [
        (axis, dim)
        for value in graph.inputs
        for axis, dim in enumerate(value.shape)
        if not isinstance(dim, int) and symbols(dim) == {dim}
    ]
    named = [dim for _, dim in plain if str(dim).lower() in _NAMES]
    leading = [dim for axis, dim in plain if axis == 0]
    return next(iter([*named, *leading]), None)


def batch_axes(graph: Graph) -> dict[str, int]:
    """Name → axis of the inputs that hold samples, by the `batch_symbol`.

    Raises InputError where there is none, or where an input has it in another form than as one dim.
    """
    batch = batch_symbol(graph)
    if batch is None:
        shapes = ", ".join(map(str, graph.inputs))
        raise InputError(
            f"no input of {graph.name!r} has a symbolic batch dim ({shapes}); a model exported "
            "with one (`dynamic_axes`, `dynamic_shapes`) would fit"
        )
    axes = {}
    for value in graph.inputs:
        holding = [axis for axis, dim in enumerate(value.shape) if batch in symbols(dim)]
        if not holding:
            continue
        if len(holding) > 1 or value.shape[holding[0]] != batch:
            raise InputError(f"input {value}: one dim that is {batch} would fit a sweep of it")
        axes[value.name] = holding[0]
    return axes


def samples(graph: Graph, arrays: Mapping[str, np.ndarray]) -> int | None:
    """How many samples the arrays hold; None where no dim is known to count them."""
    batch = batch_symbol(graph)
    for value in graph.inputs:
        if batch is not None and batch in value.shape and value.name in arrays:
            return arrays[value.name].shape[value.shape.index(batch)]
    return None


def with_batch(graph: Graph) -> Graph:
    """The graph with a symbol for the leading dim of its inputs, where that is one fixed size.

    A graph that has a batch symbol is returned as it is. Raises InputError where inputs lead with
    different sizes, or where a node hangs on the size: it names the first.
    """
    if batch_symbol(graph) is not None:
        return graph
    held = [value for value in graph.inputs if value.shape and value.name not in graph.defaults]
    sizes = {value.shape[0] for value in held}
    if len(sizes) != 1 or not isinstance(size := next(iter(sizes)), int):
        shapes = ", ".join(map(str, graph.inputs))
        raise InputError(f"inputs {shapes}: one leading dim, the batch, in all would fit a sweep")
    batch = symbol("N")
    opened = {value.name: (batch, *value.shape[1:]) for value in held}
    before, after = infer(graph), infer(graph, opened)
    changed = Graph(
        graph.name,
        [_leading(value, batch) if value in held else value for value in graph.inputs],
        [_leading(value, batch) if _leads(value.type, size) else value for value in graph.outputs],
        list(graph.nodes),
        dict(graph.constants),
        after.types,
        dict(graph.defaults),
    )
    at_fault = _first_that_hangs_on(size, batch, graph, before, after)
    if at_fault is not None:
        kinds = ", ".join(str(after.types[n]) for n in at_fault.outputs if n in after.types)
        raise InputError(
            f"{at_fault} of {graph.name!r} hangs on a batch of {size} (for {batch} samples it "
            f"gives {kinds or 'an error'}); a model exported with a symbolic batch would fit"
        )
    return changed


def at_batch(
    arrays: Mapping[str, np.ndarray], axes: Mapping[str, int], batch: int
) -> dict[str, np.ndarray]:
    """The arrays with so many samples: those given, in turn, as often as need be."""
    made = dict(arrays)
    for name, axis in axes.items():
        if name in made:
            samples = made[name].shape[axis]
            if batch and not samples:
                raise InputError(f"input {name!r} has no samples; {batch} are asked for")
            rows = np.arange(batch) % max(samples, 1)
            made[name] = np.ascontiguousarray(np.take(made[name], rows, axis))
    return made


def _leading(value: Value, batch: Dim) -> Value:
    return Value(value.name, value.type.with_shape((batch, *value.shape[1:])))


def _leads(kind: TensorType, size: int) -> bool:
    return bool(kind.shape) and kind.shape[0] == size


def _first_that_hangs_on(
    size: int, batch: Dim, graph: Graph, before: Inference, after: Inference
) -> Node | None:
    """The first node whose results lose the batch, or that makes an output which does not lead with
    it any more."""

    def carries(name: str) -> bool:
        return name in after.types and any(batch in symbols(d) for d in after.types[name].shape)

    outputs = set(graph.output_names)
    for node in graph.nodes:
        if node.op in ("Shape", "Size") or not any(map(carries, node.reads())):
            continue
        for name in filter(None, node.outputs):
            old, new = before.types.get(name), after.types.get(name)
            if old is None or new is None or not carries(name):
                return node
            if old.shape != tuple(_at(dim, batch, size) for dim in new.shape):
                return node
            if name in outputs and _leads(old, size) and new.shape[0] != batch:
                return node
    return None


def _at(dim: Dim, batch: Dim, size: int) -> Dim:
    """The dim for a batch of that size."""
    return substitute(dim, {str(batch): size})
