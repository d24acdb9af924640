"""Lowering: an optimized graph at concrete shapes becomes a `Program`.

Each op's lowering (one file a family) picks kernels and their parameters and appends calls.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections import Counter
from collections.abc import Mapping

import numpy as np

from ir.diagnostics import UnsupportedError
from ir.graph import Graph
from ir.inference import infer
from layercc.lower.context import Context, Tensor
from layercc.lower.memory import plan_memory
from layercc.lower.registry import find_lowering, lowered_ops, lowering, lowering_name
from layercc.lower.weights import Weights
from layercc.program import Buffer, Port, Program

__all__ = ["Weights", "check_supported", "lower", "lowered_ops", "lowering"]

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")


def check_supported(graph: Graph) -> None:
    """Raises UnsupportedError listing every op of `graph` that has no lowering, with counts."""
    missing = Counter(lowering_name(node) for node in graph.nodes if find_lowering(node) is None)
    if missing:
        listed = ", ".join(f"{name} ×{count}" for name, count in sorted(missing.items()))
        raise UnsupportedError(
            f"graph {graph.name!r} uses {len(missing)} op(s) that cannot be compiled yet: {listed}"
        )


def lower(
    graph: Graph,
    shapes: Mapping[str, tuple[int, ...]],
    values: Mapping[str, np.ndarray],
    weights: Weights,
) -> Program:
    """The program of an optimized graph at concrete input `shapes`.

    `values` are the arrays of inputs that shapes are computed from. Raises ShapeError when the
    shapes do not fit the graph, UnsupportedError for ops without a lowering.
    """
    inference = infer(graph, shapes, values)
    inference.raise_for_errors(f"graph {graph.name!r} at these input shapes")
    program = Program(
        [Port(v.name, v.dtype.value, tuple(shapes[v.name])) for v in graph.inputs],
        [
            Port(v.name, t.dtype.value, t.shape)  # type: ignore[arg-type]
            for v in graph.outputs
            for t in [inference.types[v.name]]
        ],
    )
    context = Context(graph, inference, weights, program)
    for slot, port in enumerate(program.inputs):
        kind = inference.types[port.name]
        nbytes = int(np.prod(port.shape, dtype=np.int64)) * kind.dtype.itemsize
        context.bind(port.name, Tensor(Buffer("input", nbytes, slot), kind.dtype, port.shape))
    for node in graph.nodes:
        context.node = node
        if not all(name in inference.values for name in node.outputs if name):
            emit = find_lowering(node)
            if emit is None:
                check_supported(graph)
                raise AssertionError(node)
            emit(context, node)
        context.finish(node)
    context.node = None
    _place_outputs(context)
    plan_memory(program)
    return program


def _place_outputs(context: Context) -> None:
    """Lets the graph's outputs be written straight into the caller's arrays where possible."""
    from layercc.lower.movement import copy

    taken: set[int] = set()
    for slot, port in enumerate(context.program.outputs):
        tensor = context.tensor(port.name)
        buffer = tensor.buffer
        whole = tensor.offset == 0 and tensor.nbytes == buffer.nbytes
        if buffer.space == "arena" and whole and id(buffer) not in taken:
            buffer.space, buffer.slot = "output", slot
            taken.add(id(buffer))
        else:
            target = Tensor(Buffer("output", tensor.nbytes, slot), tensor.dtype, tensor.shape)
            copy(context, tensor, target)
