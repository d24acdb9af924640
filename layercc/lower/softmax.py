"""Lowering of softmax and its kin."""

from __future__ import annotations

import math

from ir.graph import Node
from layercc.cpu.kernels.softmax import COLUMNS, softmax_columns, softmax_rows
from layercc.lower.context import Context, Tensor
from layercc.lower.registry import lowering

#: Elements of a task.
_TASK = 1 << 13
_FLOPS = 15  # an element


def along_axis(tensor: Tensor, axis: int) -> tuple[int, int, int]:
    """The sizes [outer, n, inner] of a tensor seen around `axis`; a scalar has one element."""
    shape = tensor.shape or (1,)
    axis %= len(shape)
    return math.prod(shape[:axis]), shape[axis], math.prod(shape[axis + 1 :])


@lowering("Softmax", "LogSoftmax")
def softmax(context: Context, node: Node) -> None:
    """Along any axis."""
    call = context.call_of(node)
    x = context.tensor(node.inputs[0])
    outer, n, inner = along_axis(x, call.axis)
    y = context.output(node.outputs[0])
    params = (str(x.dtype), node.op == "LogSoftmax")
    if x.size == 0:
        return
    if inner == 1:
        outer_block = max(1, _TASK // n)
        context.call(
            softmax_rows.key(*params),
            tasks=-(-outer // outer_block),
            flops=_FLOPS * x.size,
            x=x, y=y, outer=outer, outer_block=outer_block, n=n,
        )  # fmt: skip
        return
    context.call(
        softmax_columns.key(*params),
        tasks=outer * -(-inner // COLUMNS),
        flops=_FLOPS * x.size,
        x=x, y=y, n=n, inner=inner,
    )  # fmt: skip
