"""Channels-first tensors for kernels that know only channels-last: a transpose on each side.

The layout pass makes spatial ops channels-last, so that these copies are rare.
"""

from __future__ import annotations

from layercc.lower.context import Context, Tensor
from layercc.lower.movement import transposed


def channels_last_input(context: Context, x: Tensor, channels_last: bool) -> Tensor:
    """`x`, or its elements in scratch memory as [N, spatial..., C]."""
    if channels_last or len(x.shape) < 3:
        return x
    order = (0, *range(2, len(x.shape)), 1)
    y = context.scratch(x.dtype, tuple(x.shape[axis] for axis in order))
    transposed(context, x, order, y)
    return y


def channels_last_output(context: Context, y: Tensor, channels_last: bool) -> Tensor:
    """`y`, or scratch memory in which a kernel can write it as [N, spatial..., C]."""
    if channels_last or len(y.shape) < 3:
        return y
    return context.scratch(y.dtype, (y.shape[0], *y.shape[2:], y.shape[1]))


def put_back(context: Context, made: Tensor, y: Tensor) -> None:
    """Moves what a kernel wrote to `channels_last_output` into `y`."""
    if made is not y:
        transposed(context, made, (0, len(y.shape) - 1, *range(1, len(y.shape) - 1)), y)
