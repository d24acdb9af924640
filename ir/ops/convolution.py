"""Convolutions: Conv, ConvTranspose, their quantised forms, and Col2Im."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ir.dims import Dim, exact_div, may_equal, product
from ir.dtypes import DType
from ir.ops.layout import (
    CHANNELS_LAST,
    as_asked,
    channels_first,
    join_shape,
    per_channel,
    split_shape,
    widened,
)
from ir.ops.matrix import requantized
from ir.ops.windows import (
    WINDOW_ATTRIBUTES,
    Index,
    Window,
    kernel_of,
    resolve_transposed_window,
    resolve_window,
)
from ir.registry import Attr, Call, Op, register
from ir.types import TensorType

#: Elements of a patch matrix that the reference holds at a time.
_PATCH_ELEMENTS = 1 << 23


def conv_window(call: Call, weight: int = 1) -> Window:
    """The window of a convolution whose input 0 is the activation. Checks all shapes."""
    _, channels, spatial = split_shape(call)
    shape = call.shape(weight)
    if len(shape) != len(spatial) + 2:
        call.fail(
            f"X is {call.type(0)} with {len(spatial)} spatial dims, so W must have rank "
            f"{len(spatial) + 2} ([M, C/group, kernel...]); W is {call.type(weight)}"
        )
    _check_groups(call, channels, shape, weight)
    return resolve_window(call, spatial, kernel_of(call, len(spatial), shape[2:]))


def _check_groups(call: Call, channels: Dim, weight: Sequence[Dim], index: int) -> None:
    group = call.group
    if group < 1:
        call.fail(f"group={group}; at least 1 would fit", "bad-attribute")
    expected = weight[1] * group
    if not may_equal(channels, expected):
        layout = "[N, spatial..., C]" if call.channels_last else "[N, C, spatial...]"
        call.fail(
            f"X is {call.type(0)} ({layout}) and has {channels} channels, but W is "
            f"{call.type(index)}, made for {expected}"
            + (f" ({weight[1]} in each of {group} groups)" if group > 1 else "")
        )
    if isinstance(weight[0], int) and weight[0] % group:
        call.fail(
            f"W is {call.type(index)}: its {weight[0]} output channels cannot be divided into "
            f"{group} groups"
        )


def check_vector(call: Call, index: int, size: Dim, what: str) -> None:
    """Fails unless input `index`, if given, is a vector of `size` elements."""
    if not call.has(index):
        return
    shape = call.shape(index)
    if len(shape) != 1 or not may_equal(shape[0], size):
        name = call.op.input_name(index)
        call.fail(f"{name} is {call.type(index)}; [{size}] would fit, one for each {what}")


def convolve(x: np.ndarray, w: np.ndarray, window: Window, group: int) -> np.ndarray:
    """Channels-first convolution, as matrix products over chunks of the window's taps."""
    batch, channels = x.shape[:2]
    filters = w.shape[0]
    out_dims = tuple(map(int, window.output_dims))
    padded = window.pad(x)
    padded = padded.reshape(batch, group, channels // group, *padded.shape[2:])
    points = math.prod(out_dims)
    weights = w.reshape(group, filters // group, channels // group, *w.shape[2:])
    result = np.zeros((batch, group, filters // group, points), np.result_type(x, w))
    taps = list(window.taps())
    fits = _PATCH_ELEMENTS // max(batch * channels * points, 1)
    # long inner dims keep the matrix products efficient where there are few channels
    step = max(1, min(256 // max(channels // group, 1), fits))
    for start in range(0, len(taps), step):
        chunk = taps[start : start + step]
        patches = np.stack([padded[met] for _, met in chunk], axis=3)
        depth = channels // group * len(chunk)
        columns = patches.reshape(batch, group, depth, points)
        rows = np.stack([weights[tap] for tap, _ in chunk], axis=-1)
        result += rows.reshape(group, filters // group, depth) @ columns
    return result.reshape(batch, filters, *out_dims)


def scatter_windows(parts: Sequence[tuple[Index, np.ndarray]], window: Window) -> np.ndarray:
    """Adds up, on the large side, what each tap puts there: the transpose of reading windows.

    `parts` are taps and arrays `[..., small spatial dims]`. Returns `[..., window.output_dims]`.
    """
    first = parts[0][1]
    rank = len(window.kernel)
    lead, small = first.shape[: first.ndim - rank], first.shape[first.ndim - rank :]
    begins, outs = window.pads_begin, window.output_dims
    covered = [
        max((n - 1) * s + int(e), int(b) + int(o))
        for n, s, e, b, o in zip(
            small, window.strides, window.effective_kernel, begins, outs, strict=True
        )
    ]
    large = np.zeros((*lead, *covered), first.dtype)
    for tap, values in parts:
        target: Index = tuple(
            slice(k * d, k * d + (n - 1) * s + 1 if n else k * d, s)
            for k, d, n, s in zip(tap[1:], window.dilations, small, window.strides, strict=True)
        )
        large[(..., *target)] += values
    inside: Index = tuple(slice(int(b), int(b) + int(o)) for b, o in zip(begins, outs, strict=True))
    return large[(..., *inside)]


class Convolution(Op):
    """Base of the convolutions that read one window for each output element."""

    weight: int = 1
    bias: int | None = None
    result_dtype: int | DType = 0  # the output's dtype: that of an input, or fixed

    @classmethod
    def infer(cls, call: Call) -> Sequence[TensorType]:  # type: ignore[override]
        window = conv_window(call, cls.weight)
        batch, _, _ = split_shape(call)
        filters = call.shape(cls.weight)[0]
        if cls.bias is not None:
            check_vector(call, cls.bias, filters, "output channel")
        kind = cls.result_dtype
        dtype = kind if isinstance(kind, DType) else call.dtype(kind)
        return [TensorType(dtype, join_shape(call, batch, filters, window.output_dims))]

    @classmethod
    def flops(cls, call: Call) -> Dim:  # type: ignore[override]
        return 2 * product(call.outputs[0].shape) * product(call.shape(cls.weight)[1:])


@register
class Conv(Convolution):
    """Convolution of any number of spatial dims: X [N, C, ...], W [M, C/group, kernel...], B [M].

    With `channels_last` X and Y are [N, ..., C]; W stays as it is.
    """

    contraction = True
    epilogue = True
    weighted = True
    inputs = ("X: T", "W: T", "B: T?")
    constraints = {"T": "float"}
    attributes = {"group": Attr("int", 1), **WINDOW_ATTRIBUTES, **CHANNELS_LAST}
    bias = 2

    @staticmethod
    def reference(call: Call, x: Any, w: Any, b: Any = None) -> np.ndarray:
        y = convolve(channels_first(call, widened(x)), widened(w), conv_window(call), call.group)
        if b is not None:
            y = y + per_channel(widened(b), y.ndim)
        return as_asked(call, y.astype(x.dtype))


@register
class ConvTranspose(Op):
    """Transposed convolution: the gradient of Conv. W is [C, M/group, kernel...]."""

    contraction = True
    epilogue = True
    weighted = True
    inputs = ("X: T", "W: T", "B: T?")
    constraints = {"T": "float"}
    attributes = {
        "group": Attr("int", 1),
        "output_padding": Attr("ints", None),
        "output_shape": Attr("ints", None),
        **WINDOW_ATTRIBUTES,
        **CHANNELS_LAST,
    }

    @staticmethod
    def window(call: Call) -> Window:
        """The window, with `output_dims` those of Y. Checks all shapes."""
        _, channels, spatial = split_shape(call)
        shape = call.shape(1)
        if len(shape) != len(spatial) + 2:
            call.fail(
                f"X is {call.type(0)} with {len(spatial)} spatial dims, so W must have rank "
                f"{len(spatial) + 2} ([C, M/group, kernel...]); W is {call.type(1)}"
            )
        if not may_equal(channels, shape[0]):
            call.fail(
                f"X is {call.type(0)} with {channels} channels, but W is {call.type(1)}, made for "
                f"{shape[0]}"
            )
        if call.group < 1 or (isinstance(shape[0], int) and shape[0] % call.group):
            call.fail(f"{shape[0]} input channels cannot be divided into {call.group} groups")
        return resolve_transposed_window(call, spatial, kernel_of(call, len(spatial), shape[2:]))

    @staticmethod
    def infer(call: Call) -> Sequence[TensorType]:
        window = ConvTranspose.window(call)
        filters = call.shape(1)[1] * call.group
        check_vector(call, 2, filters, "output channel")
        shape = join_shape(call, split_shape(call)[0], filters, window.output_dims)
        return [call.type(0).with_shape(shape)]

    @staticmethod
    def reference(call: Call, x: Any, w: Any, b: Any = None) -> np.ndarray:
        window, group, dtype = ConvTranspose.window(call), call.group, x.dtype
        x, w = channels_first(call, widened(x)), widened(w)
        batch, channels, *small = x.shape
        columns = x.reshape(batch, group, channels // group, math.prod(small))
        weights = w.reshape(group, channels // group, *w.shape[1:])
        shape = (batch, group * weights.shape[2], *small)
        parts = [
            (tap, (weights[tap].transpose(0, 2, 1) @ columns).reshape(shape))
            for tap, _ in window.taps()
        ]
        y = scatter_windows(parts, window)
        if b is not None:
            y = y + per_channel(widened(b), y.ndim)
        return as_asked(call, y.astype(dtype))

    @staticmethod
    def flops(call: Call) -> Dim:
        return 2 * product(call.shape(0)) * product(call.shape(1)[1:])


@register
class ConvInteger(Convolution):
    """Convolution of 8-bit integers less their zero points, into 32 bits (wrapping)."""

    inputs = ("x: T1", "w: T2", "x_zero_point: T1?", "w_zero_point: T2?")
    outputs = ("y: i32",)
    constraints = {"T1": "byte", "T2": "byte"}
    attributes = {"group": Attr("int", 1), **WINDOW_ATTRIBUTES, **CHANNELS_LAST}
    result_dtype = DType.i32

    @classmethod
    def infer(cls, call: Call) -> Sequence[TensorType]:  # type: ignore[override]
        if call.has(2) and not may_equal(product(call.shape(2)), 1):
            call.fail(f"x_zero_point is {call.type(2)}; one element would fit")
        if call.has(3) and not may_equal(product(call.shape(3)), 1):
            check_vector(call, 3, call.shape(1)[0], "filter")
        return super().infer(call)

    @staticmethod
    def reference(
        call: Call, x: Any, w: Any, x_zero_point: Any = 0, w_zero_point: Any = 0
    ) -> np.ndarray:
        x = _centred(channels_first(call, x), x_zero_point)
        w = _centred(w, w_zero_point)
        return as_asked(call, _exact_integers(convolve(x, w, conv_window(call), call.group)))


@register
class QLinearConv(Convolution):
    """Convolution of quantised tensors; weight scales and zero points are one, or one a filter."""

    inputs = (
        "x: T1",
        "x_scale: f32",
        "x_zero_point: T1",
        "w: T2",
        "w_scale: f32",
        "w_zero_point: T2",
        "y_scale: f32",
        "y_zero_point: T3",
        "B: i32?",
    )
    outputs = ("y: T3",)
    constraints = {"T1": "byte", "T2": "byte", "T3": "byte"}
    attributes = {"group": Attr("int", 1), **WINDOW_ATTRIBUTES, **CHANNELS_LAST}
    weight = 3
    bias = 8
    result_dtype = 7

    @classmethod
    def infer(cls, call: Call) -> Sequence[TensorType]:  # type: ignore[override]
        for index in (1, 2, 6, 7):
            if not may_equal(product(call.shape(index)), 1):
                name = call.op.input_name(index)
                call.fail(f"{name} is {call.type(index)}; one element would fit")
        for index in (4, 5):  # one scale and zero point for all weights, or one a filter
            if call.has(index) and product(call.shape(index)) != 1:
                check_vector(call, index, call.shape(cls.weight)[0], "filter")
        return super().infer(call)

    @staticmethod
    def reference(
        call: Call,
        x: Any,
        x_scale: Any,
        x_zero_point: Any,
        w: Any,
        w_scale: Any,
        w_zero_point: Any,
        y_scale: Any,
        y_zero_point: Any,
        b: Any = None,
    ) -> np.ndarray:
        x = _centred(channels_first(call, x), x_zero_point)
        w = _centred(w, w_zero_point)
        sums = convolve(x, w, conv_window(call, 3), call.group)
        if b is not None:
            sums = sums + per_channel(b.astype(np.float64), sums.ndim)
        factor = x_scale.astype(np.float64) * w_scale.astype(np.float64).reshape(-1)
        real = sums * per_channel(factor, sums.ndim)
        return as_asked(call, requantized(real, y_scale, y_zero_point))


def _centred(array: np.ndarray, zero_point: Any) -> np.ndarray:
    """Integers less their zero point, in float64: exact, and fast in matrix products."""
    zero = np.asarray(0 if zero_point is None else zero_point, np.float64).reshape(-1)
    if zero.size > 1:  # one for each filter
        zero = zero.reshape(-1, *[1] * (array.ndim - 1))
    return array.astype(np.float64) - zero


def _exact_integers(sums: np.ndarray) -> np.ndarray:
    return sums.astype(np.int64).astype(np.int32)


@register
class Col2Im(Op):
    """Adds up columns of window elements into images: the transpose of im2col."""

    inputs = ("input: T", "image_shape: i64", "block_shape: i64")
    outputs = ("output: T",)
    constraints = {"T": "numeric"}
    attributes = {
        "dilations": Attr("ints", None),
        "pads": Attr("ints", None),
        "strides": Attr("ints", None),
    }

    @staticmethod
    def windows(call: Call) -> tuple[Window, tuple[Dim, ...]]:
        """The window that reads the image, and the image's dims."""
        image = tuple(call.known(1, "it is the output's shape").reshape(-1).tolist())
        block = tuple(call.known(2, "it is the window's shape").reshape(-1).tolist())
        if len(image) != len(block):
            call.fail(f"image_shape has {len(image)} dims and block_shape {len(block)}")
        if call.rank(0) != 3:
            call.fail(f"input is {call.type(0)}; [N, C * block, windows] would fit")
        window = resolve_window(call, image, block)
        windows = product(window.output_dims)
        if not may_equal(call.shape(0)[2], windows):
            call.fail(
                f"input is {call.type(0)}, but an image of {list(image)} has {windows} windows"
                f" of {list(block)}; [N, C * {product(block)}, {windows}] would fit"
            )
        return window, image

    @staticmethod
    def infer(call: Call) -> Sequence[TensorType]:
        window, image = Col2Im.windows(call)
        batch, rows, _ = call.shape(0)
        channels = exact_div(rows, product(window.kernel))
        if channels is None:
            if isinstance(rows, int):
                call.fail(
                    f"input is {call.type(0)}: dim 1 must be a multiple of the "
                    f"{product(window.kernel)} elements of block_shape"
                )
            channels = rows // product(window.kernel)
        return [call.type(0).with_shape((batch, channels, *image))]

    @staticmethod
    def reference(call: Call, columns: Any, image_shape: Any, block_shape: Any) -> np.ndarray:
        window, image = Col2Im.windows(call)
        taps = [tap for tap, _ in window.taps()]
        counts = tuple(map(int, window.output_dims))
        channels = columns.shape[1] // len(taps)
        rows = widened(columns).reshape(columns.shape[0], channels, len(taps), *counts)
        parts = [(tap, rows[:, :, position]) for position, tap in enumerate(taps)]
        onto = replace(window, output_dims=tuple(map(int, image)))
        return scatter_windows(parts, onto).astype(columns.dtype)

    @staticmethod
    def flops(call: Call) -> Dim:
        return product(call.shape(0))
