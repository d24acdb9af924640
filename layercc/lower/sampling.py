"""Lowering of GridSample."""

from __future__ import annotations

import math

from ir.graph import Node
from layercc.cpu.kernels.sampling import grid_sample as kernel
from layercc.lower.context import Context
from layercc.lower.registry import lowering
from layercc.lower.slicing import fill_with
from layercc.lower.windows import three

#: Elements that a task reads, about.
_TASK = 1 << 13


@lowering("GridSample")
def grid_sample(context: Context, node: Node) -> None:
    """Samples over one to three spatial dims."""
    call = context.call_of(node)
    x, grid = context.tensor(node.inputs[0]), context.tensor(node.inputs[1])
    y = context.output(node.outputs[0])
    if x.size == 0:  # nothing to read: zeros, whatever the padding
        fill_with(context, y)
        return
    batch, channels, *spatial = x.shape
    in_d, in_h, in_w = three(spatial, 1)
    points = math.prod(y.shape[2:])
    taps = {"nearest": 1, "linear": 2, "cubic": 4}[call.mode] ** len(spatial)
    chunk = max(_TASK // (taps * channels), 1)
    params = (str(x.dtype), str(grid.dtype), call.mode, call.padding_mode, bool(call.align_corners))
    context.call(
        kernel.key(*params),
        tasks=-(-batch * points // chunk) if y.size else 0,
        flops=4 * taps * y.size,
        x=x,
        grid=grid,
        y=y,
        batch=batch,
        channels=channels,
        points=points,
        rank=len(spatial),
        in_d=in_d,
        in_h=in_h,
        in_w=in_w,
        chunk=chunk,
    )
