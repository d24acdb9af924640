"""Lowering of TopK."""

from __future__ import annotations

import math

from ir.dtypes import DType
from ir.graph import Node
from layercc.cpu.kernels.selection import top_k as kernel
from layercc.lower.context import Context, Tensor
from layercc.lower.registry import lowering

#: Elements that a task looks at.
_TASK = 1 << 14


@lowering("TopK")
def top_k(context: Context, node: Node) -> None:
    """The k best elements along an axis, in order, whether or not order is asked for."""
    call = context.call_of(node)
    x = context.tensor(node.inputs[0])
    values = _output(context, node, 0, x.dtype)
    indices = _output(context, node, 1, DType.i64)
    axis = call.axis % len(x.shape)
    n, inner = x.shape[axis], math.prod(x.shape[axis + 1 :])
    rows = math.prod(x.shape[:axis]) * inner
    chunk = max(_TASK // max(n, 1), 1)
    context.call(
        kernel.key(str(x.dtype), bool(call.largest)),
        tasks=-(-rows // chunk) if values.size else 0,
        flops=4 * x.size,
        x=x,
        values=values,
        indices=indices,
        rows=rows,
        n=n,
        k=values.shape[axis],
        inner=inner,
        chunk=chunk,
    )


def _output(context: Context, node: Node, index: int, dtype: DType) -> Tensor:
    """An output; scratch memory for one that nobody asks for."""
    if index < len(node.outputs) and node.outputs[index]:
        return context.output(node.outputs[index])
    given = [name for name in node.outputs if name]
    return context.scratch(dtype, context.shape(given[0]))
