"""Pooling over sliding windows and over whole feature maps."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ir.dims import Dim, may_equal, product
from ir.dtypes import DType
from ir.ops.layout import CHANNELS_LAST, as_asked, channels_first, join_shape, split_shape, widened
from ir.ops.windows import WINDOW_ATTRIBUTES, Window, kernel_of, resolve_window
from ir.registry import Attr, Call, Op, Range, register
from ir.types import TensorType

_POOL_ATTRIBUTES = {
    **WINDOW_ATTRIBUTES,
    "kernel_shape": Attr("ints"),
    "ceil_mode": Attr("int", 0),
    **CHANNELS_LAST,
}


def pool_window(call: Call) -> Window:
    """The window of a pooling node over its input's spatial dims."""
    spatial = split_shape(call)[2]
    if not spatial:
        call.fail(f"X is {call.type(0)}, which has no spatial dims; rank 3 or more would fit")
    # with auto_pad=VALID the specification defines the output size without ceil_mode
    ceil_mode = bool(call.ceil_mode) and call.auto_pad != "VALID"
    return resolve_window(call, spatial, kernel_of(call, len(spatial)), ceil_mode=ceil_mode)


class WindowPool(Op):
    """Base of pools over a sliding window."""

    constraints = {"T": "float"}
    inputs = ("X: T",)

    @classmethod
    def infer(cls, call: Call) -> Sequence[TensorType]:  # type: ignore[override]
        batch, channels, _ = split_shape(call)
        shape = join_shape(call, batch, channels, pool_window(call).output_dims)
        return [call.type(0).with_shape(shape)]

    @classmethod
    def flops(cls, call: Call) -> Dim:  # type: ignore[override]
        return product(call.outputs[0].shape) * product(call.attribute("kernel_shape"))


@register
class MaxPool(WindowPool):
    """Largest element of each window; NaN wins. `Indices` count elements of X channels-first,
    whatever the layout; `storage_order=1` counts spatial dims with the first one fastest."""

    outputs = ("Y: T", "Indices: i64")
    constraints = {"T": "numeric"}
    attributes = {**_POOL_ATTRIBUTES, "storage_order": Attr("int", 0)}

    @classmethod
    def infer(cls, call: Call) -> Sequence[TensorType]:  # type: ignore[override]
        (found,) = super().infer(call)
        return [found, found.with_dtype(DType.i64)]

    @staticmethod
    def reference(call: Call, x: Any) -> tuple[np.ndarray, ...]:
        window = pool_window(call)
        first = channels_first(call, x)
        spatial = first.shape[2:]
        lowest = np.array(_lowest(x.dtype), x.dtype)
        padded = window.pad(first, lowest)
        inside = window.pad(np.ones(spatial, bool), False)
        count = np.arange(math.prod(spatial))
        if call.storage_order:
            places = window.pad(count.reshape(spatial[::-1]).T)
        else:
            places = window.pad(count.reshape(spatial))
        shape = (*first.shape[:2], *map(int, window.output_dims))
        best, where = np.full(shape, lowest), np.zeros(shape, np.int64)
        found = np.zeros(shape, bool)
        for _, met in window.taps():
            values, valid = padded[met], inside[met]
            better = valid & (~found | (values > best) | ((values != values) & (best == best)))
            best = np.where(better, values, best)
            where = np.where(better, places[met], where)
            found |= valid
        planes = np.arange(math.prod(shape[:2])).reshape(*shape[:2], *[1] * len(spatial))
        indices = where + planes * math.prod(spatial)
        return as_asked(call, best.astype(x.dtype)), as_asked(call, indices)


def _lowest(dtype: np.dtype) -> Any:
    if dtype.kind in "iu":
        return np.iinfo(dtype).min
    return -np.inf


@register
class AveragePool(WindowPool):
    """Mean of each window, over what lies in the input or, with `count_include_pad`, in the
    padded input; never over what `ceil_mode` adds beyond."""

    attributes = {**_POOL_ATTRIBUTES, "count_include_pad": Attr("int", 0)}

    @staticmethod
    def reference(call: Call, x: Any) -> np.ndarray:
        window = pool_window(call)
        first = channels_first(call, widened(x))
        padded = window.pad(first)
        total: Any = sum(padded[met] for _, met in window.taps())
        counts = window_counts(window, first.shape[2:], bool(call.count_include_pad))
        return as_asked(call, (total / counts).astype(x.dtype))


def window_counts(window: Window, spatial: Sequence[int], include_pad: bool) -> np.ndarray:
    """Number of elements that each window averages over, shaped as the output's spatial dims."""
    counts = np.ones((1,) * len(spatial))
    for axis, size in enumerate(spatial):
        starts = np.arange(int(window.output_dims[axis])) * window.strides[axis]
        offsets = np.arange(int(window.kernel[axis])) * window.dilations[axis]
        places = starts[:, None] + offsets - int(window.pads_begin[axis])
        low, high = 0, size
        if include_pad:
            low, high = -int(window.pads_begin[axis]), size + int(window.pads_end[axis])
        inside = ((places >= low) & (places < high)).sum(axis=1)
        counts = counts * inside.reshape(-1, *[1] * (len(spatial) - axis - 1))
    return counts


@register
class LpPool(WindowPool):
    """p-norm of each window."""

    attributes = {**_POOL_ATTRIBUTES, "p": Attr("int", 2)}

    @staticmethod
    def reference(call: Call, x: Any) -> np.ndarray:
        window = pool_window(call)
        padded = window.pad(np.abs(channels_first(call, widened(x))) ** call.p)
        total: Any = sum(padded[met] for _, met in window.taps())
        return as_asked(call, np.asarray(total ** (1.0 / call.p)).astype(x.dtype))

    @classmethod
    def flops(cls, call: Call) -> Dim:  # type: ignore[override]
        return 2 * WindowPool.flops.__func__(cls, call)  # type: ignore[attr-defined]


class GlobalPool(Op):
    """Base of pools over all spatial dims, which remain with size 1."""

    inputs = ("X: T",)
    constraints = {"T": "float"}
    attributes = CHANNELS_LAST

    @classmethod
    def infer(cls, call: Call) -> Sequence[TensorType]:  # type: ignore[override]
        batch, channels, spatial = split_shape(call)
        return [call.type(0).with_shape(join_shape(call, batch, channels, [1] * len(spatial)))]

    @classmethod
    def flops(cls, call: Call) -> Dim:  # type: ignore[override]
        return product(call.shape(0))


def _spatial_axes(call: Call, x: np.ndarray) -> tuple[int, ...]:
    return tuple(range(1, x.ndim - 1)) if call.channels_last else tuple(range(2, x.ndim))


@register
class GlobalAveragePool(GlobalPool):
    """Mean over all spatial dims."""

    @staticmethod
    def reference(call: Call, x: Any) -> np.ndarray:
        return widened(x).mean(axis=_spatial_axes(call, x), keepdims=True).astype(x.dtype)


@register
class GlobalMaxPool(GlobalPool):
    """Maximum over all spatial dims; NaN wins."""

    @staticmethod
    def reference(call: Call, x: Any) -> np.ndarray:
        axes = _spatial_axes(call, x)
        return np.asarray(widened(x).max(axis=axes, keepdims=True, initial=-np.inf)).astype(x.dtype)


@register
class GlobalLpPool(GlobalPool):
    """p-norm over all spatial dims."""

    attributes = {"p": Attr("int", 2), **CHANNELS_LAST}

    @staticmethod
    def reference(call: Call, x: Any) -> np.ndarray:
        powers = np.abs(widened(x)) ** call.p
        total = powers.sum(axis=_spatial_axes(call, x), keepdims=True)
        return np.asarray(total ** (1.0 / call.p)).astype(x.dtype)


@register
class MaxUnpool(Op):
    """Puts elements back where MaxPool's `Indices` say they came from; zeros elsewhere."""

    inputs = ("X: T1", "I: i64", "output_shape: i64?")
    outputs = ("output: T1",)
    constraints = {"T1": "float"}
    attributes = {
        "kernel_shape": Attr("ints"),
        "pads": Attr("ints", None),
        "strides": Attr("ints", None),
    }

    @staticmethod
    def ranges(call: Call) -> Mapping[int, Range]:
        size: Dim = math.prod(MaxUnpool.pooled_shape(call))  # type: ignore[arg-type]
        return {1: (0, size - 1)}

    @staticmethod
    def pooled_shape(call: Call) -> tuple[Dim, ...]:
        """The shape that the indices count in: that of the input of the MaxPool."""
        shape = call.shape(0)
        rank = len(shape) - 2
        kernel = kernel_of(call, rank)
        strides = call.strides or (1,) * rank
        pads = call.pads or (0,) * (2 * rank)
        if len(strides) != rank or len(pads) != 2 * rank:
            call.fail(
                f"strides={list(strides)} and pads={list(pads)}; {rank} and {2 * rank} values"
                " would fit",
                "bad-attribute",
            )
        spatial = [
            (size - 1) * s - pads[axis] - pads[axis + rank] + k
            for axis, (size, s, k) in enumerate(zip(shape[2:], strides, kernel, strict=True))
        ]
        return (*shape[:2], *spatial)

    @staticmethod
    def infer(call: Call) -> Sequence[TensorType]:
        if call.rank(0) < 3 or call.rank(0) != call.rank(1):
            call.fail(f"X is {call.type(0)} and I is {call.type(1)}; two equal shapes would fit")
        for x, i in zip(call.shape(0), call.shape(1), strict=True):
            if not may_equal(x, i):
                call.fail(f"X is {call.type(0)} and I is {call.type(1)}; equal shapes would fit")
        if not call.has(2):
            return [call.type(0).with_shape(MaxUnpool.pooled_shape(call))]
        asked = call.known(2, "it is the output's shape").reshape(-1).tolist()
        if len(asked) != call.rank(0):
            call.fail(f"output_shape={asked} has {len(asked)} dims; {call.rank(0)} would fit")
        return [call.type(0).with_shape(asked)]

    @staticmethod
    def reference(call: Call, x: Any, indices: Any, output_shape: Any = None) -> np.ndarray:
        inner = tuple(map(int, MaxUnpool.pooled_shape(call)))
        if output_shape is not None and math.prod(output_shape) == math.prod(inner):
            inner = tuple(map(int, output_shape))
        flat = np.zeros(math.prod(inner), x.dtype)
        flat[indices.reshape(-1)] = x.reshape(-1)
        result = flat.reshape(inner)
        if output_shape is None:
            return result
        shape = tuple(map(int, output_shape))
        larger = np.zeros(shape, x.dtype)
        common = tuple(slice(min(a, b)) for a, b in zip(inner, shape, strict=True))
        larger[common] = result[common]
        return larger
