"""Lowering: an optimized graph at concrete shapes becomes jobs, which a target emits.

Each op's lowering (one file a family) says what is to be computed.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping

import numpy as np

from ir.diagnostics import Diagnostic, UnsupportedError
from ir.graph import Graph, Node
from ir.inference import Inference, infer
from ir.registry import OpError
from layercc.buffers import Buffer, Tensor
from layercc.jobs.movement import Move
from layercc.jobs.workload import Port, Workload
from layercc.lower.context import Context
from layercc.lower.registry import find_lowering, lowered_ops, lowering, lowering_name
from layercc.memory_limit import check_values

__all__ = [
    "check_supported",
    "concrete_inference",
    "lower",
    "lowered_ops",
    "lowering",
    "unsupported_nodes",
]


def check_supported(graph: Graph, inference: Inference) -> None:
    """Raises UnsupportedError listing every op of `graph` that has no lowering, with counts.

    Nodes whose results are known before running (shape computations) need none.
    """
    nodes = unsupported_nodes(graph, inference)
    if nodes:
        missing = Counter(map(lowering_name, nodes))
        listed = ", ".join(f"{name} ×{count}" for name, count in sorted(missing.items()))
        raise UnsupportedError(
            f"graph {graph.name!r} uses {len(missing)} op(s) that cannot be compiled yet: {listed}",
            sorted(missing),
            [node.name for node in nodes],
        )


def unsupported_nodes(graph: Graph, inference: Inference) -> list[Node]:
    """The nodes that must run and have no lowering."""
    return [n for n in needed_nodes(graph, inference.values) if find_lowering(n) is None]


def needed_nodes(graph: Graph, known: Mapping[str, np.ndarray]) -> list[Node]:
    """The nodes that must run for the outputs of `graph`, those of `known` values not counted."""
    wanted = set(graph.output_names)
    needed = []
    for node in reversed(graph.nodes):
        if any(name in wanted and name not in known for name in node.outputs):
            needed.append(node)
            wanted.update(node.reads())
    return needed[::-1]


def concrete_inference(graph: Graph, shapes: Mapping[str, tuple[int, ...]]) -> Inference:
    """Inference at concrete input shapes. A shape that remains symbolic is an error, too."""
    found = infer(graph, shapes)
    for node in graph.nodes:
        kinds = {name: found.types[name] for name in node.outputs if name in found.types}
        open_ones = [f"{name!r} {kind}" for name, kind in kinds.items() if not kind.is_static]
        settled = all(found.types[n].is_static for n in node.reads() if n in found.types)
        if open_ones and settled:
            shown = ", ".join(open_ones)
            message = f"the shape of {shown} depends on values known only when it runs"
            found.diagnostics.append(
                Diagnostic("data-dependent", message, node.name, node.op, node.source)
            )
    return found


def lower(
    graph: Graph,
    shapes: Mapping[str, tuple[int, ...]],
    inference: Inference | None = None,
) -> Workload:
    """The jobs of an optimized graph at concrete input `shapes`.

    `inference` is what `concrete_inference` finds, if the caller has it. Raises ShapeError when the
    shapes do not fit the graph, UnsupportedError for ops without a lowering, MemoryLimitError for
    values that memory cannot hold.
    """
    what = f"graph {graph.name!r} at these input shapes"
    if inference is None:
        inference = concrete_inference(graph, shapes)
    inference.raise_for_errors(what)
    check_supported(graph, inference)
    nodes = needed_nodes(graph, inference.values)
    check_values(nodes, inference)
    workload = Workload(
        graph.name,
        [Port(v.name, v.dtype.value, tuple(shapes[v.name])) for v in graph.inputs],
        [
            Port(v.name, t.dtype.value, t.shape)  # type: ignore[arg-type]
            for v in graph.outputs
            for t in [inference.types[v.name]]
        ],
    )
    context = Context(graph, inference, nodes, workload)
    for slot, port in enumerate(workload.inputs):
        kind = inference.types[port.name]
        nbytes = math.prod(port.shape) * kind.dtype.itemsize
        context.bind(port.name, Tensor(Buffer("input", nbytes, slot), kind.dtype, port.shape))
    for node in nodes:
        context.node = node
        lowering_of_node = find_lowering(node)
        assert lowering_of_node is not None  # check_supported
        try:
            lowering_of_node(context, node)
        except UnsupportedError as error:
            error.nodes = error.nodes or (node.name,)
            raise
        except OpError as error:
            inference.diagnostics.append(
                Diagnostic(error.code, str(error), node.name, node.op, node.source)
            )
            inference.raise_for_errors(what)
        context.finish(node)
    context.node = None
    _place_outputs(context)
    return workload


def _place_outputs(context: Context) -> None:
    """Lets the graph's outputs be written straight into the caller's arrays where possible."""
    for slot, port in enumerate(context.workload.outputs):
        tensor = context.tensor(port.name)
        buffer = tensor.buffer
        whole = tensor.offset == 0 and tensor.nbytes == buffer.nbytes
        if buffer.space == "arena" and whole:
            buffer.space, buffer.slot = "output", slot
        else:
            target = Tensor(Buffer("output", tensor.nbytes, slot), tensor.dtype, tensor.shape)
            context.emit(Move(tensor, target, (tensor.size,), (1,), (1,)))
