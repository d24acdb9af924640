"""Lowering of GridSample and AffineGrid."""

from __future__ import annotations

from ir.diagnostics import UnsupportedError
from ir.graph import Node
from ir.ops.sampling import affine_points
from layercc.jobs.contraction import Contraction, GroupDim, Matrices
from layercc.jobs.resampling import SampleGrid
from layercc.kernels.element_types import FLOATS
from layercc.lower.context import Context
from layercc.lower.movement import fill_with
from layercc.lower.registry import lowering


@lowering("GridSample")
def grid_sample(context: Context, node: Node) -> None:
    """GridSample; of an empty image there are no samples."""
    call = context.call_of(node)
    x, grid = context.tensor(node.inputs[0]), context.tensor(node.inputs[1])
    y = context.output(node.outputs[0])
    if x.size == 0:  # nothing to read: zeros, whatever the padding
        fill_with(context, y)
        return
    corners = bool(call.align_corners)
    context.emit(SampleGrid(x, grid, y, call.mode, call.padding_mode, corners))


@lowering("AffineGrid")
def affine_grid(context: Context, node: Node) -> None:
    """The product of a constant, the regular grid, with each transposed matrix."""
    call = context.call_of(node)
    theta = context.tensor(node.inputs[0])
    if str(theta.dtype) not in FLOATS:
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
