"""Lowering of GridSample and AffineGrid."""

from __future__ import annotations

import math

from ir.diagnostics import UnsupportedError
from ir.dtypes import DType
from ir.graph import Node
from ir.ops.sampling import affine_points
from layercc.cpu.kernels.sampling import grid_sample as kernel
from layercc.jobs.contraction import Contraction, GroupDim, Matrices
from layercc.jobs.windows import three
from layercc.lower.context import Context
from layercc.lower.movement import fill_with
from layercc.lower.registry import lowering

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


@lowering("AffineGrid")
def affine_grid(context: Context, node: Node) -> None:
    """The product of a constant, the regular grid, with each transposed matrix."""
    call = context.call_of(node)
    theta = context.tensor(node.inputs[0])
    if theta.dtype not in (DType.f32, DType.f64):
        raise UnsupportedError(f"{node}: elements of type {theta.dtype}; f32 or f64 would fit")
    y = context.output(node.outputs[0])
    batch, *spatial, rank = y.shape
    points = affine_points(spatial, bool(call.align_corners)).astype(theta.dtype.value)
    matrix = rank * (rank + 1)
    context.emit(
        Contraction(
            x=context.constant(points),
            x_row=rank + 1,
            weights=Matrices(theta, 1, ((rank, rank + 1),)),
            y=y,
            y_row=rank,
            rows=len(points),
            columns=rank,
            depth=rank + 1,
            groups=(GroupDim(batch, 0, matrix, len(points) * rank),),
        )
    )
