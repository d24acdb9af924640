"""Normalisations over batches, layers, groups, single maps and neighbouring channels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ir.dims import Dim, may_equal, product
from ir.dtypes import DTYPE_SETS, ONNX_DTYPES, DType
from ir.ops.layout import (
    CHANNELS_LAST,
    as_asked,
    channels_first,
    per_channel,
    split_shape,
    widened,
)
from ir.registry import Attr, Call, Op, register
from ir.types import TensorType, format_shape

_EPSILON = {"epsilon": Attr("float", 1e-5)}


def _check_per_channel(call: Call, indices: Sequence[int], channels: Dim) -> None:
    for index in indices:
        shape = call.shape(index)
        if len(shape) != 1 or not may_equal(shape[0], channels):
            call.fail(
                f"{call.op.input_name(index)} is {call.type(index)}, but "
                f"{call.op.input_name(0)} is {call.type(0)} with {channels} channels; "
                f"[{channels}] would fit"
            )


@register
class BatchNormalization(Op):
    """`scale * (X - mean) / sqrt(var + epsilon) + B` for each channel.

    With `training_mode` mean and variance (biased) are those of X over all but the channel dim,
    and two more outputs are the running ones:
    `running = input * momentum + current * (1 - momentum)`.
    """

    weighted = True
    inputs = ("X: T", "scale: T1", "B: T1", "input_mean: T2", "input_var: T2")
    outputs = ("Y: T", "running_mean: T2", "running_var: T2")
    constraints = {"T": "float", "T1": "float", "T2": "float"}
    attributes = {
        **_EPSILON,
        "momentum": Attr("float", 0.9),
        "training_mode": Attr("int", 0),
        **CHANNELS_LAST,
    }

    @staticmethod
    def infer(call: Call) -> Sequence[TensorType]:
        if call.rank(0) == 1:  # the specification lets a vector count as one channel
            channels: Dim = 1
        else:
            channels = split_shape(call)[1]
        _check_per_channel(call, (1, 2, 3, 4), channels)
        if not call.training_mode:
            return [call.type(0)]
        return [call.type(0), call.type(3), call.type(4)]

    @staticmethod
    def reference(call: Call, x: Any, scale: Any, b: Any, mean: Any, var: Any) -> Any:
        first = channels_first(call, widened(x))
        dtype = mean.dtype
        scale, b, mean, var = (widened(v) for v in (scale, b, mean, var))
        running: tuple[np.ndarray, ...] = ()
        if call.training_mode:
            axes = tuple(axis for axis in range(first.ndim) if axis != 1)
            now_mean, now_var = first.mean(axis=axes), first.var(axis=axes)
            keep = call.momentum
            running = (
                (mean * keep + now_mean * (1 - keep)).astype(dtype),
                (var * keep + now_var * (1 - keep)).astype(dtype),
            )
            mean, var = now_mean, now_var
        rank = max(first.ndim, 2)
        factor = per_channel(scale / np.sqrt(var + call.epsilon), rank)
        y = (first - per_channel(mean, rank)) * factor + per_channel(b, rank)
        y = as_asked(call, y.reshape(first.shape).astype(x.dtype))
        return (y, *running) if running else y

    @staticmethod
    def flops(call: Call) -> Dim:
        return 2 * product(call.shape(0))  # folded to one multiply-add per element


@register
class InstanceNormalization(Op):
    """Normalises each channel of each sample over its spatial dims."""

    inputs = ("input: T", "scale: T", "B: T")
    outputs = ("output: T",)
    constraints = {"T": "float"}
    attributes = {**_EPSILON, **CHANNELS_LAST}

    @staticmethod
    def infer(call: Call) -> Sequence[TensorType]:
        _check_per_channel(call, (1, 2), split_shape(call)[1])
        return [call.type(0)]

    @staticmethod
    def reference(call: Call, x: Any, scale: Any, b: Any) -> np.ndarray:
        first = channels_first(call, widened(x))
        y = _standardized(first, tuple(range(2, first.ndim)), call.epsilon)
        y = y * per_channel(widened(scale), y.ndim) + per_channel(widened(b), y.ndim)
        return as_asked(call, y.astype(x.dtype))

    @staticmethod
    def flops(call: Call) -> Dim:
        return 7 * product(call.shape(0))


def _standardized(x: np.ndarray, axes: tuple[int, ...], epsilon: float) -> np.ndarray:
    mean = x.mean(axis=axes, keepdims=True)
    var = x.var(axis=axes, keepdims=True)
    return (x - mean) / np.sqrt(var + epsilon)


@register
class GroupNormalization(Op):
    """Normalises each group of neighbouring channels of each sample; scale and bias a channel."""

    inputs = ("X: T", "scale: T", "bias: T")
    constraints = {"T": "float"}
    attributes = {
        **_EPSILON,
        "num_groups": Attr("int"),
        "stash_type": Attr("int", 1),
        **CHANNELS_LAST,
    }

    @staticmethod
    def infer(call: Call) -> Sequence[TensorType]:
        channels = split_shape(call)[1]
        _check_per_channel(call, (1, 2), channels)
        groups = call.num_groups
        if groups < 1 or (isinstance(channels, int) and channels % groups):
            call.fail(
                f"X is {call.type(0)}: its {channels} channels cannot be divided into "
                f"num_groups={groups}"
            )
        return [call.type(0)]

    @staticmethod
    def reference(call: Call, x: Any, scale: Any, bias: Any) -> np.ndarray:
        first = channels_first(call, widened(x))
        batch, channels = first.shape[:2]
        groups = first.reshape(
            batch, call.num_groups, channels // call.num_groups, *first.shape[2:]
        )
        y = _standardized(groups, tuple(range(2, groups.ndim)), call.epsilon).reshape(first.shape)
        y = y * per_channel(widened(scale), y.ndim) + per_channel(widened(bias), y.ndim)
        return as_asked(call, y.astype(x.dtype))

    @staticmethod
    def flops(call: Call) -> Dim:
        return 7 * product(call.shape(0))


def _normalized_dims(call: Call) -> tuple[int, tuple[Dim, ...]]:
    axis = call.axis_of(call.axis, call.rank(0))
    return axis, call.shape(0)[axis:]


def _check_layer_parameter(call: Call, index: int, dims: Sequence[Dim]) -> None:
    """Scale and bias broadcast, one way, to X (usually they have the normalised dims)."""
    shape = call.shape(index)
    against = call.shape(0)
    fits = len(shape) <= len(against) and all(
        dim == 1 or may_equal(dim, other)
        for dim, other in zip(reversed(shape), reversed(against), strict=False)
    )
    if not fits:
        call.fail(
            f"{call.op.input_name(index)} is {call.type(index)}, but {call.op.input_name(0)} is "
            f"{call.type(0)} and axis={call.axis} normalises {format_shape(dims)}; "
            f"{format_shape(dims)} would fit"
        )


def _stash_dtype(call: Call) -> DType:
    found = ONNX_DTYPES.get(call.stash_type)
    if found not in DTYPE_SETS["float"]:
        *fitting, last = sorted(dtype.onnx for dtype in DTYPE_SETS["float"])
        shown = f"{', '.join(map(str, fitting))} or {last}"
        call.fail(f"stash_type={call.stash_type}; {shown} would fit", "bad-attribute")
    assert found is not None
    return found


@register
class LayerNormalization(Op):
    """Normalises over `axis` and all dims after it. Also gives the mean and 1 / deviation."""

    axes = "trailing"
    inputs = ("X: T", "Scale: V", "B: V?")  # one type by the specification, not so in onnxruntime
    outputs = ("Y: V", "Mean: float", "InvStdDev: float")
    constraints = {"T": "float", "V": "float"}
    attributes = {**_EPSILON, "axis": Attr("int", -1), "stash_type": Attr("int", 1)}

    @staticmethod
    def infer(call: Call) -> Sequence[TensorType]:
        axis, dims = _normalized_dims(call)
        for index in (1, 2):
            if call.has(index):
                _check_layer_parameter(call, index, dims)
        kept = call.shape(0)[:axis]
        stash = TensorType(_stash_dtype(call), (*kept, *[1] * len(dims)))
        return [call.type(0).with_dtype(call.dtype(1)), stash, stash]

    @staticmethod
    def reference(call: Call, x: Any, scale: Any, b: Any = None) -> tuple[np.ndarray, ...]:
        axis = call.axis_of(call.axis, x.ndim)
        axes = tuple(range(axis, x.ndim))
        wide = widened(x)
        mean = wide.mean(axis=axes, keepdims=True)
        inverse = 1 / np.sqrt(wide.var(axis=axes, keepdims=True) + call.epsilon)
        y = (wide - mean) * inverse * widened(scale)
        if b is not None:
            y = y + widened(b)
        stash = _stash_dtype(call).dtype
        return y.astype(scale.dtype), mean.astype(stash), inverse.astype(stash)

    @staticmethod
    def flops(call: Call) -> Dim:
        return 7 * product(call.shape(0))


@register
class RMSNormalization(Op):
    """`X / sqrt(mean(X ** 2) + epsilon) * scale` over `axis` and all dims after it."""

    axes = "trailing"
    inputs = ("X: T", "scale: V")
    outputs = ("Y: V",)
    constraints = {"T": "float", "V": "float"}
    attributes = {**_EPSILON, "axis": Attr("int", -1), "stash_type": Attr("int", 1)}

    @staticmethod
    def infer(call: Call) -> Sequence[TensorType]:
        _, dims = _normalized_dims(call)
        _check_layer_parameter(call, 1, dims)
        return [call.type(0).with_dtype(call.dtype(1))]

    @staticmethod
    def reference(call: Call, x: Any, scale: Any) -> np.ndarray:
        axes = tuple(range(call.axis_of(call.axis, x.ndim), x.ndim))
        wide = widened(x)
        root = np.sqrt((wide * wide).mean(axis=axes, keepdims=True) + call.epsilon)
        return (wide / root * widened(scale)).astype(scale.dtype)

    @staticmethod
    def flops(call: Call) -> Dim:
        return 4 * product(call.shape(0))


class _SkipNorm(Op):
    """Base of onnxruntime's normalisations of `input + skip (+ bias)` over the last dim."""

    constraints = {"T": "float"}
    parameters: tuple[int, ...] = ()

    @classmethod
    def infer(cls, call: Call) -> Sequence[TensorType]:  # type: ignore[override]
        shape, skip = call.shape(0), call.shape(1)
        fits = (
            len(shape) in (2, 3)
            and len(skip) <= len(shape)
            and all(
                b == 1 or may_equal(a, b)
                for a, b in zip(reversed(shape), reversed(skip), strict=False)
            )
        )
        if not fits:
            call.fail(f"input is {call.type(0)} and skip is {call.type(1)}; equal shapes would fit")
        for index in cls.parameters:
            if call.has(index) and not (
                call.rank(index) == 1 and may_equal(call.shape(index)[0], shape[-1])
            ):
                call.fail(
                    f"{call.op.input_name(index)} is {call.type(index)}, but input is "
                    f"{call.type(0)}; [{shape[-1]}] would fit"
                )
        stash = TensorType(DType.f32, (*shape[:-1], 1))
        return [call.type(0), stash, stash, call.type(0)]

    @classmethod
    def flops(cls, call: Call) -> Dim:  # type: ignore[override]
        return 8 * product(call.shape(0))


@register
class SkipLayerNormalization(_SkipNorm):
    """LayerNormalization of `input + skip + bias` over the last dim; the sum is output 3."""

    name = "com.microsoft.SkipLayerNormalization"
    inputs = ("input: T", "skip: T", "gamma: T", "beta: T?", "bias: T?")
    outputs = ("output: T", "mean: f32", "inv_std_var: f32", "input_skip_bias_sum: T")
    attributes = {"epsilon": Attr("float", 1e-12)}
    parameters = (2, 3, 4)

    @staticmethod
    def reference(
        call: Call, x: Any, skip: Any, gamma: Any, beta: Any = None, bias: Any = None
    ) -> tuple[np.ndarray, ...]:
        total = widened(x) + widened(skip)
        if bias is not None:
            total = total + widened(bias)
        mean = total.mean(axis=-1, keepdims=True)
        inverse = 1 / np.sqrt(total.var(axis=-1, keepdims=True) + call.epsilon)
        y = (total - mean) * inverse * widened(gamma)
        if beta is not None:
            y = y + widened(beta)
        stashed = mean.astype(np.float32), inverse.astype(np.float32)
        return y.astype(x.dtype), *stashed, total.astype(x.dtype)


@register
class SkipSimplifiedLayerNormalization(_SkipNorm):
    """RMSNormalization of `input + skip + bias` over the last dim; the sum is output 3."""

    name = "com.microsoft.SkipSimplifiedLayerNormalization"
    inputs = ("input: T", "skip: T", "gamma: T", "bias: T?")
    outputs = ("output: T", "mean: f32", "inv_std_var: f32", "input_skip_bias_sum: T")
    attributes = {"epsilon": Attr("float", 1e-12)}
    parameters = (2, 3)

    @staticmethod
    def reference(
        call: Call, x: Any, skip: Any, gamma: Any, bias: Any = None
    ) -> tuple[np.ndarray, ...]:
        total = widened(x) + widened(skip)
        if bias is not None:
            total = total + widened(bias)
        mean = total.mean(axis=-1, keepdims=True)
        inverse = 1 / np.sqrt((total * total).mean(axis=-1, keepdims=True) + call.epsilon)
        y = total * inverse * widened(gamma)
        stashed = mean.astype(np.float32), inverse.astype(np.float32)
        return y.astype(x.dtype), *stashed, total.astype(x.dtype)


@register
class LRN(Op):
    """Divides by a power of the sum of squares over `size` neighbouring channels (AlexNet)."""

    inputs = ("X: T",)
    constraints = {"T": "float"}
    attributes = {
        "alpha": Attr("float", 1e-4),
        "beta": Attr("float", 0.75),
        "bias": Attr("float", 1.0),
        "size": Attr("int"),
        **CHANNELS_LAST,
    }

    @staticmethod
    def infer(call: Call) -> Sequence[TensorType]:
        split_shape(call)
        if call.size < 1:
            call.fail(f"size={call.size}; at least 1 would fit", "bad-attribute")
        return [call.type(0)]

    @staticmethod
    def reference(call: Call, x: Any) -> np.ndarray:
        first = channels_first(call, widened(x))
        channels, size = first.shape[1], call.size
        # neighbours beyond the first and last channel are zeros: no more of them than channels
        before, after = (min(n, channels) for n in ((size - 1) // 2, size // 2))
        widths = [(0, 0), (before, after), *[(0, 0)] * (first.ndim - 2)]
        squares = np.pad(first * first, widths)
        total = sum(squares[:, start : start + channels] for start in range(before + after + 1))
        y = first / (call.bias + call.alpha / size * total) ** call.beta
        return as_asked(call, np.asarray(y).astype(x.dtype))

    @staticmethod
    def flops(call: Call) -> Dim:
        return product(call.shape(0)) * (2 * call.size + 3)
