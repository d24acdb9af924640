"""Resize: nearest, linear and cubic interpolation of any axes, one axis after another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from ir.dims import Dim
from ir.ops.layout import CHANNELS_LAST, as_asked, channels_first, widened
from ir.ops.sampling import cubic_kernel
from ir.registry import Attr, Call, Op, register
from ir.types import TensorType

_CHOICES = {
    "mode": ("nearest", "linear", "cubic"),
    "nearest_mode": ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil"),
    "keep_aspect_ratio_policy": ("stretch", "not_larger", "not_smaller"),
    "coordinate_transformation_mode": (
        "half_pixel",
        "half_pixel_symmetric",
        "pytorch_half_pixel",
        "align_corners",
        "asymmetric",
        "tf_crop_and_resize",
    ),
}


@dataclass(frozen=True, slots=True)
class AxisResize:
    """How one axis is resized. `scale` may differ from `output / input`, which is rounded."""

    axis: int  # counted channels-first
    input: int
    output: int
    scale: float
    start: float = 0.0  # the region read, for tf_crop_and_resize
    end: float = 1.0


def resize_axes(call: Call) -> list[int]:
    """The axes that roi, scales and sizes speak of, counted channels-first."""
    rank = call.rank(0)
    if call.axes is None:
        return list(range(rank))
    return [call.axis_of(axis, rank) for axis in call.axes]


def _first_shape(call: Call) -> tuple[Dim, ...]:
    shape = call.shape(0)
    if call.channels_last and len(shape) > 2:
        return (shape[0], shape[-1], *shape[1:-1])
    return shape


def _is_given(call: Call, index: int) -> bool:
    """Whether scales or sizes are given: an empty input stands for none."""
    return call.has(index) and call.shape(index) != (0,)


def _given(call: Call, index: int) -> np.ndarray | None:
    """The value of scales or sizes; None where the input is absent or empty."""
    if not _is_given(call, index):
        return None
    value = call.known(index, "the output's shape depends on it").reshape(-1)
    axes = resize_axes(call)
    if len(value) != len(axes):
        call.fail(
            f"{call.op.input_name(index)} has {len(value)} values; {len(axes)} would fit, one for "
            f"each of the axes {axes} of X, which is {call.type(0)}"
        )
    return value


def output_shape(call: Call) -> tuple[Dim, ...]:
    """The output's shape, channels-first."""
    for name, choices in _CHOICES.items():
        if call.attribute(name) not in choices:
            call.fail(
                f"{name}={call.attribute(name)!r}; one of {', '.join(choices)} would fit",
                "bad-attribute",
            )
    result = list(_first_shape(call))
    if any(_is_given(call, index) and call.value(index) is None for index in (2, 3)):
        for axis in resize_axes(call):  # scales or sizes are not known yet
            result[axis] = call.fresh_dim("resized")
        return tuple(result)
    scales, sizes = _given(call, 2), _given(call, 3)
    if (scales is None) == (sizes is None):
        call.fail("exactly one of scales and sizes must be given", "missing-input")
    axes = resize_axes(call)
    if scales is not None:
        if not all(scale > 0 for scale in scales):
            call.fail(f"scales={scales.tolist()}: scales must be positive", "bad-attribute")
        for axis, scale in zip(axes, scales, strict=True):
            result[axis] = _scaled(call, result[axis], float(scale))
        return tuple(result)
    assert sizes is not None
    asked: list[Dim] = sizes.tolist()
    if call.keep_aspect_ratio_policy == "stretch":
        for axis, size in zip(axes, asked, strict=True):
            result[axis] = size
        return tuple(result)
    ratio = _kept_ratio(call, [result[axis] for axis in axes], asked)
    for axis in axes:
        old = result[axis]
        if ratio is None or not isinstance(old, int):
            result[axis] = call.fresh_dim("resized")
        else:  # halves are rounded up
            result[axis] = int(ratio * old + Fraction(1, 2))
    return tuple(result)


def _scaled(call: Call, dim: Dim, scale: float) -> Dim:
    """`floor(dim * scale)`, in float32 as onnxruntime computes it."""
    if isinstance(dim, int):
        return int(np.floor(np.float32(dim) * np.float32(scale)))
    exact = Fraction(scale)
    if exact.denominator <= 1024:  # a power of two: exact in float32 also
        return dim * exact.numerator // exact.denominator
    return call.fresh_dim("resized")


def _kept_ratio(call: Call, old: Sequence[Dim], asked: Sequence[Dim]) -> Fraction | None:
    """The one scale of all axes that keeps the aspect ratio; None while sizes are symbolic."""
    ratios = []
    for dim, size in zip(old, asked, strict=True):
        if not (isinstance(dim, int) and isinstance(size, int)):
            return None
        if dim == 0:
            call.fail(f"X is {call.type(0)}: an empty axis has no aspect ratio")
        ratios.append(Fraction(size, dim))
    return min(ratios) if call.keep_aspect_ratio_policy == "not_larger" else max(ratios)


def resize_plan(call: Call) -> list[AxisResize]:
    """The axes to resize, one after another. All shapes and values must be concrete.

    With scales, coordinates follow the scales as given, also where the output size is rounded; but
    `align_corners` aligns the corners of what there is, as the specification words it, and as
    PyTorch and onnxruntime have it (two of the specification's tests have it otherwise).
    """
    axes = resize_axes(call)
    scales, sizes = _given(call, 2), _given(call, 3)
    before, after = _first_shape(call), output_shape(call)
    regions = [(0.0, 1.0)] * len(axes)
    crop = call.coordinate_transformation_mode == "tf_crop_and_resize"
    if crop:
        roi = call.known(1, "tf_crop_and_resize reads it").reshape(-1).astype(float)
        if len(roi) != 2 * len(axes):
            call.fail(f"roi has {len(roi)} values; {2 * len(axes)} would fit (starts, then ends)")
        regions = [(roi[i], roi[i + len(axes)]) for i in range(len(axes))]
    plan = []
    for position, axis in enumerate(axes):
        old, new = int(before[axis]), int(after[axis])
        start, end = regions[position]
        if scales is not None:
            scale = float(scales[position])
        elif call.keep_aspect_ratio_policy == "stretch":
            scale = new / old if old else 1.0
        else:
            assert sizes is not None
            ratio = _kept_ratio(call, [before[a] for a in axes], sizes.tolist())
            scale = float(ratio or 1)
        if scale != 1 or new != old or (crop and (start, end) != (0, 1)):
            plan.append(AxisResize(axis, old, new, scale, start, end))
    return plan


def source_positions(
    part: AxisResize, transformation: str, dtype: type[np.floating] = np.float64
) -> np.ndarray:
    """The position in the input axis, a real number, that each output element is read at."""
    x = np.arange(part.output, dtype=dtype)
    width = part.scale * part.input  # before rounding
    if transformation == "asymmetric":
        return x / part.scale
    if transformation == "align_corners":
        return x * (part.input - 1) / (part.output - 1) if part.output > 1 else x
    if transformation == "tf_crop_and_resize":
        last = part.input - 1
        if part.output > 1:
            return part.start * last + x * (part.end - part.start) * last / (width - 1)
        return x + 0.5 * (part.start + part.end) * last
    if transformation == "pytorch_half_pixel" and part.output <= 1:
        return x
    centres = (x + 0.5) / part.scale - 0.5
    if transformation == "half_pixel_symmetric":
        centres = centres + part.input / 2 * (1 - part.output / width)
    return centres


def interpolation_taps(call: Call, part: AxisResize) -> tuple[np.ndarray, np.ndarray]:
    """Indices and weights, both [output, taps], that make each output element along an axis."""
    last = part.input - 1
    if call.mode == "nearest":
        # In float32, as ONNX's reference, onnxruntime and PyTorch compute: floor and ceil tell
        # 17 / float32(1.7), which is 10 there, from the 9.9999997 of real numbers.
        places = source_positions(part, call.coordinate_transformation_mode, np.float32)
        rounding: dict[str, Callable[[np.ndarray], np.ndarray]] = {
            "round_prefer_floor": lambda x: np.ceil(x - 0.5),
            "round_prefer_ceil": lambda x: np.floor(x + 0.5),
            "floor": np.floor,
            "ceil": np.ceil,
        }
        rounded = rounding[call.nearest_mode](places)
        return np.clip(rounded, 0, last).astype(np.int64)[:, None], np.ones((part.output, 1))
    places = source_positions(part, call.coordinate_transformation_mode)
    stretch = min(part.scale, 1.0) if call.antialias else 1.0
    support = 1 if call.mode == "linear" else 2
    reach = int(np.ceil(support / stretch))
    index = np.floor(places)[:, None] + np.arange(1 - reach, reach + 1)
    distance = np.abs(index - places[:, None]) * stretch
    if call.mode == "linear":
        weights = np.maximum(1 - distance, 0)
    else:
        weights = cubic_kernel(distance, call.cubic_coeff_a)
    if call.exclude_outside:
        weights = np.where((index < 0) | (index > last), 0, weights)
    if call.exclude_outside or stretch < 1:
        total = weights.sum(axis=1, keepdims=True)
        weights = weights / np.where(total == 0, 1, total)
    return np.clip(index, 0, last).astype(np.int64), weights


@register
class Resize(Op):
    """Resamples X to other sizes, given as `scales` (output size: floor of the product) or `sizes`.

    With `channels_last` X and Y are [N, spatial..., C]; axes, roi, scales and sizes still count
    channels-first.
    """

    inputs = ("X: T1", "roi: T2?", "scales: f32?", "sizes: i64?")
    outputs = ("Y: T1",)
    constraints = {"T1": "any", "T2": "float"}
    attributes = {
        "antialias": Attr("int", 0),
        "axes": Attr("ints", None),
        "coordinate_transformation_mode": Attr("string", "half_pixel"),
        "cubic_coeff_a": Attr("float", -0.75),
        "exclude_outside": Attr("int", 0),
        "extrapolation_value": Attr("float", 0.0),
        "keep_aspect_ratio_policy": Attr("string", "stretch"),
        "mode": Attr("string", "nearest"),
        "nearest_mode": Attr("string", "round_prefer_floor"),
        **CHANNELS_LAST,
    }

    @staticmethod
    def infer(call: Call) -> Sequence[TensorType]:
        shape = output_shape(call)
        old = _first_shape(call)
        for axis, (before, after) in enumerate(zip(old, shape, strict=True)):
            if before == 0 and isinstance(after, int) and after > 0:
                call.fail(f"X is {call.type(0)}: empty dim {axis} cannot be resized to {after}")
        if call.channels_last and len(shape) > 2:
            shape = (shape[0], *shape[2:], shape[1])
        return [call.type(0).with_shape(shape)]

    @staticmethod
    def reference(
        call: Call, x: Any, roi: Any = None, scales: Any = None, sizes: Any = None
    ) -> np.ndarray:
        y = channels_first(call, x if call.mode == "nearest" else widened(x))
        crop = call.coordinate_transformation_mode == "tf_crop_and_resize"
        plan = resize_plan(call)
        shape = list(y.shape)
        for part in plan:
            shape[part.axis] = part.output
        if 0 in shape:  # tables of the other axes may be of any length
            return as_asked(call, np.zeros(shape, x.dtype))
        for part in plan:
            indices, weights = interpolation_taps(call, part)
            trailing = [1] * (y.ndim - part.axis - 1)
            if call.mode == "nearest":
                y = np.take(y, indices[:, 0], axis=part.axis)
            else:
                total: Any = 0
                for tap in range(indices.shape[1]):
                    factor = weights[:, tap].reshape(-1, *trailing)
                    total = total + np.take(y, indices[:, tap], axis=part.axis) * factor
                y = total
            if crop:
                places = source_positions(part, call.coordinate_transformation_mode)
                outside = ((places < 0) | (places > part.input - 1)).reshape(-1, *trailing)
                y = np.where(outside, np.asarray(call.extrapolation_value).astype(y.dtype), y)
        return as_asked(call, _cast(y, x.dtype))

    @staticmethod
    def flops(call: Call) -> Dim:
        taps = {"nearest": 0, "linear": 2, "cubic": 4}[call.mode]
        return 2 * taps * call.outputs[0].size


def _cast(y: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """To integers by rounding and saturating, to anything else as it is."""
    if dtype.kind in "iu" and y.dtype.kind == "f":
        limits = np.iinfo(dtype)
        return np.clip(np.rint(y), limits.min, limits.max).astype(dtype)
    return y.astype(dtype)
