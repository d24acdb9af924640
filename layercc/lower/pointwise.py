"""Lowering of pointwise ops, alone or in groups, to one loop nest."""

from __future__ import annotations

from collections.abc import Sequence

from ir.graph import Node
from ir.registry import all_ops, find_op
from ir.types import TensorType
from layercc.jobs.pointwise import Pointwise
from layercc.kernels.expressions import Expression, ExpressionBuilder
from layercc.lower.context import Context, Tensor
from layercc.lower.expressions import expression_of
from layercc.lower.group import opened
from layercc.lower.registry import lowering


def emit_pointwise(
    context: Context,
    expression: Expression,
    operands: Sequence[Tensor],
    outputs: Sequence[Tensor],
    shape: tuple[int, ...],
    flops: int = 0,
) -> None:
    """Gives the job that computes `expression` of broadcast `operands` into dense `outputs`."""
    context.emit(Pointwise(expression, tuple(operands), tuple(outputs), shape, flops))


def emit_built(
    context: Context,
    steps: ExpressionBuilder,
    operands: Sequence[Tensor],
    outputs: Sequence[Tensor],
    values: Sequence[int],
) -> None:
    """Gives the job that writes `values`, of broadcast operands, to dense outputs."""
    expression = steps.expression([str(tensor.dtype) for tensor in operands], *values)
    emit_pointwise(context, expression, operands, outputs, outputs[0].shape, steps.flops)


def _lower_nodes(
    context: Context,
    nodes: Sequence[Node],
    types: dict[str, TensorType],
    results: Sequence[str],
) -> None:
    """Lowers pointwise nodes whose free names and `results` the context knows."""
    expression, names = expression_of(nodes, types, [], results, context.value)
    operands = [context.tensor(name) for name in names]
    by_shape: dict[tuple[int, ...], list[int]] = {}
    for index, name in enumerate(results):
        by_shape.setdefault(context.shape(name), []).append(index)
    for shape, indices in by_shape.items():
        reuse = None
        if len(by_shape) == 1:
            reuse = _reusable(operands, context, results[indices[0]])
        outputs = [
            context.output(results[i], reuse=reuse if i == indices[0] else None) for i in indices
        ]
        inputs, steps, values = expression
        part = (inputs, steps, tuple(values[i] for i in indices))
        emit_pointwise(context, part, operands, outputs, shape, _flops(nodes))


def _reusable(operands: Sequence[Tensor], context: Context, result: str) -> Tensor | None:
    """An operand that the first output may overwrite: of its shape and type, its only view."""
    shape, dtype = context.shape(result), context.dtype(result)
    for tensor in operands:
        views = sum(other.buffer is tensor.buffer for other in operands)
        if tensor.shape == shape and tensor.dtype == dtype and views == 1:
            return tensor
    return None


@lowering("layercc.Fused:pointwise")
def fused(context: Context, node: Node) -> None:
    """A group of pointwise ops: one kernel."""
    nodes, types = opened(context, node)
    _lower_nodes(context, nodes, types, node.outputs)


@lowering(*(op.name for op in all_ops() if op.scalar is not None), "own:pointwise")
def single(context: Context, node: Node) -> None:
    """One pointwise op."""
    names = [name for name in (*node.inputs, *node.outputs) if name]
    types = {name: context.inference.types[name] for name in names}
    _lower_nodes(context, [node], types, node.outputs)


def _flops(nodes: Sequence[Node]) -> int:
    """Operations for one element."""
    return sum(getattr(find_op(node.op), "flops_per_element", 1) for node in nodes)
