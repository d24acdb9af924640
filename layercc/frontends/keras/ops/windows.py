"""Convolutions, pools and images."""

from __future__ import annotations

from typing import Any

import numpy as np

from layercc.frontends.keras.registry import Refused, translates_op
from layercc.layers import emit
from layercc.layers.resizing import MODES
from layercc.layers.spatial import padding_attributes
from layercc.layers.tensor import ints


def _several(value: Any, rank: int) -> tuple[int, ...]:
    return (int(value),) * rank if isinstance(value, int) else tuple(int(v) for v in value)


def _layout(c: Any, x: Any) -> tuple[bool, dict[str, Any], tuple[Any, ...]]:
    """Whether channels are last, the attribute that says so, and the spatial sizes."""
    last = c.op.data_format != "channels_first"
    return last, {"channels_last": 1} if last else {}, x.shape[1:-1] if last else x.shape[2:]


@translates_op("nn.MaxPool", "nn.AveragePool")
def pool(c: Any, inputs: Any) -> Any:
    x = c.tensor(inputs)
    _, layout, spatial = _layout(c, x)
    rank = len(spatial)
    window = _several(c.op.pool_size, rank)
    strides = window if c.op.strides is None else _several(c.op.strides, rank)
    pads = padding_attributes(c.op.padding, spatial, window, strides, (1,) * rank)
    return emit(type(c.op).__name__, x, kernel_shape=window, strides=strides, **pads, **layout)


def _kernel(kernel: Any, depthwise: bool) -> Any:
    """(spatial..., in, out) → (out, in, spatial...), or (in * multiplier, 1, spatial...)."""
    rank = kernel.rank - 2
    if not depthwise:
        return emit("Transpose", kernel, perm=(rank + 1, rank, *range(rank)))
    moved = emit("Transpose", kernel, perm=(rank, rank + 1, *range(rank)))
    channels = int(kernel.shape[-1]) * int(kernel.shape[-2])
    return emit("Reshape", moved, ints(channels, 1, *map(int, kernel.shape[:rank])))


def _convolve(c: Any, x: Any, kernel: Any, depthwise: bool) -> Any:
    _, layout, spatial = _layout(c, x)
    rank = len(spatial)
    window = tuple(map(int, kernel.shape[:rank]))
    strides, dilations = (_several(v, rank) for v in (c.op.strides, c.op.dilation_rate))
    channels = int(x.shape[-1] if layout else x.shape[1])
    groups = channels if depthwise else channels // int(kernel.shape[-2])
    pads = padding_attributes(c.op.padding, spatial, window, strides, dilations)
    return emit(
        "Conv",
        x,
        _kernel(kernel, depthwise),
        kernel_shape=window,
        strides=strides,
        dilations=dilations,
        group=groups,
        **pads,
        **layout,
    )


@translates_op("nn.Conv")
def conv(c: Any, inputs: Any, kernel: Any) -> Any:
    return _convolve(c, c.tensor(inputs, c.dtype), c.tensor(kernel, c.dtype), False)


@translates_op("nn.DepthwiseConv")
def depthwise_conv(c: Any, inputs: Any, kernel: Any) -> Any:
    return _convolve(c, c.tensor(inputs, c.dtype), c.tensor(kernel, c.dtype), True)


@translates_op("nn.SeparableConv")
def separable_conv(c: Any, inputs: Any, depthwise_kernel: Any, pointwise_kernel: Any) -> Any:
    x = _convolve(c, c.tensor(inputs, c.dtype), c.tensor(depthwise_kernel, c.dtype), True)
    kernel = c.tensor(pointwise_kernel, c.dtype)
    _, layout, spatial = _layout(c, x)
    ones = (1,) * len(spatial)
    return emit("Conv", x, _kernel(kernel, False), kernel_shape=ones, **layout)


@translates_op("image.Resize")
def resize(c: Any, images: Any) -> Any:
    op = c.op
    if op.crop_to_aspect_ratio or op.pad_to_aspect_ratio:
        raise Refused("crop_to_aspect_ratio and pad_to_aspect_ratio")
    if op.interpolation not in MODES:
        raise Refused(f"interpolation {op.interpolation!r}")
    x = c.tensor(images, c.dtype)
    single = x.rank == 3
    if single:
        x = emit("Unsqueeze", x, ints(0))
    last = op.data_format != "channels_first"
    settings = dict(MODES[op.interpolation], axes=(2, 3))
    if op.antialias and op.interpolation != "nearest":
        settings["antialias"] = 1
    layout: dict[str, Any] = {"channels_last": 1} if last else {}
    y = emit("Resize", x, None, None, ints(*map(int, op.size)), **settings, **layout)
    return emit("Squeeze", y, ints(0)) if single else y


@translates_op("image.RGBToGrayscale")
def grayscale(c: Any, images: Any) -> Any:
    x = c.tensor(images, c.dtype)
    axis = -3 if c.op.data_format == "channels_first" else -1
    shape = (3, 1, 1) if axis == -3 else (3,)
    weights = np.array([0.2989, 0.5870, 0.1140], c.dtype.value).reshape(shape)
    return emit("ReduceSum", x * weights, ints(axis), keepdims=1)


@translates_op("image.CropImages", "image.PadImages")
def crop_or_pad(c: Any, images: Any) -> Any:
    x, op = c.tensor(images), c.op
    first = x.rank - (3 if op.data_format != "channels_first" else 2)
    sizes = [x.shape[first], x.shape[first + 1]]
    if not all(isinstance(size, int) for size in sizes):
        raise Refused("images whose sizes are not known")
    crops = type(op).__name__ == "CropImages"
    what = "cropping" if crops else "padding"
    pairs = []
    for size, (start, end, target) in zip(
        sizes, (("top", "bottom", "height"), ("left", "right", "width")), strict=True
    ):
        before, after = (getattr(op, f"{side}_{what}") for side in (start, end))
        wanted = getattr(op, f"target_{target}")
        change = None if wanted is None else abs(int(size) - wanted)
        before = change - after if before is None else before
        after = change - before if after is None else after
        pairs.append((before, after))
    axes = ints(first, first + 1)
    if crops:
        ends = [int(size) - after for size, (_, after) in zip(sizes, pairs, strict=True)]
        return emit("Slice", x, ints(*(start for start, _ in pairs)), ints(*ends), axes)
    return emit("Pad", x, ints(*(p[0] for p in pairs), *(p[1] for p in pairs)), None, axes)
