"""Lowering of TopK."""

from __future__ import annotations

from ir.dtypes import DType
from ir.graph import Node
from layercc.buffers import Tensor
from layercc.jobs.searching import TopK
from layercc.lower.context import Context
from layercc.lower.registry import lowering


@lowering("TopK")
def top_k(context: Context, node: Node) -> None:
    """The k best elements along an axis, in order, whether or not order is asked for."""
    call = context.call_of(node)
    x = context.tensor(node.inputs[0])
    values = _output(context, node, 0, x.dtype)
    indices = _output(context, node, 1, DType.i64)
    axis = call.axis % len(x.shape)
    context.emit(TopK(x, values, indices, axis, bool(call.largest)))


def _output(context: Context, node: Node, index: int, dtype: DType) -> Tensor:
    """An output; scratch memory for one that nobody asks for."""
    if index < len(node.outputs) and node.outputs[index]:
        return context.output(node.outputs[index])
    given = [name for name in node.outputs if name]
    return context.scratch(dtype, context.shape(given[0]))
