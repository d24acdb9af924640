"""Lowering of Resize: one axis after another, by tables made when planning."""

from __future__ import annotations

import numpy as np

from ir.diagnostics import UnsupportedError
from ir.dtypes import DType
from ir.graph import Node
from ir.ops.resizing import AxisResize, interpolation_taps, resize_plan, source_positions
from ir.registry import Call
from layercc.jobs.resampling import Resample
from layercc.lower.context import Context, Tensor
from layercc.lower.gathering import take
from layercc.lower.registry import lowering


@lowering("Resize")
def resize(context: Context, node: Node) -> None:
    """Separable resampling. The axis that leaves least to do for the others comes first."""
    call = context.call_of(node)
    x = context.tensor(node.inputs[0])
    crop = call.coordinate_transformation_mode == "tf_crop_and_resize"
    if crop and call.value(1) is None:
        raise UnsupportedError(f"{node}: a roi known only when it runs; a constant would fit")
    plan = sorted(resize_plan(call), key=lambda part: part.output / max(part.input, 1))
    if not plan:
        context.bind(node.outputs[0], x)
        return
    target = context.output(node.outputs[0])
    if not target.size:
        return  # the axes that are not empty may be of any length, and so would be their tables
    by_copy = call.mode == "nearest" and not crop
    between = x.dtype if by_copy else _sums_of(x.dtype)
    for part in plan:
        axis = _axis(call, part, len(x.shape))
        shape = (*x.shape[:axis], part.output, *x.shape[axis + 1 :])
        y = target if part is plan[-1] else context.scratch(between, shape)
        positions, weights = interpolation_taps(call, part)
        if by_copy:
            take(context, x, positions.reshape(-1), y, axis)
        else:
            if crop:
                places = source_positions(part, call.coordinate_transformation_mode)
                positions[(places < 0) | (places > part.input - 1)] = -1
            _resample(context, x, y, axis, positions, weights, call.extrapolation_value)
        x = y


def _axis(call: Call, part: AxisResize, rank: int) -> int:
    """The axis in the tensor's own layout."""
    if not call.channels_last or rank < 3 or part.axis == 0:
        return part.axis
    return rank - 1 if part.axis == 1 else part.axis - 1


def _sums_of(dtype: DType) -> DType:
    """The type in which elements of `dtype` are summed up, and kept between axes."""
    return DType.f32 if dtype.kind == "float" and dtype.bits <= 32 else DType.f64


def _resample(
    context: Context,
    x: Tensor,
    y: Tensor,
    axis: int,
    positions: np.ndarray,
    weights: np.ndarray,
    outside: float,
) -> None:
    sums = _sums_of(x.dtype)
    tables = context.constant(positions), context.constant(weights.astype(sums.dtype))
    context.emit(Resample(x, *tables, y, axis, float(outside)))
