"""Convolutions and their transposes, and the windows that they see."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from layercc.frontends.torch.registry import enter, translates
from layercc.frontends.torch.reshaping import (
    reshaped,
    sliced,
    squeezed,
    transposed,
    unsqueezed,
)
from layercc.frontends.torch.translator import Tensor, Translator


def per_axis(value: Any, rank: int) -> list[int]:
    """A number for each spatial axis; one number, or a list of one, counts for all."""
    values = list(value) if isinstance(value, list | tuple) else [value]
    return [int(v) for v in (values * rank if len(values) == 1 else values)]


def batched(t: Translator, x: Tensor, rank: int) -> tuple[Tensor, bool]:
    """`x` with a batch dim, and whether it had none."""
    return (x, False) if x.rank == rank + 2 else (unsqueezed(t, x, 0), True)


def convolution(
    t: Translator,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    rank = weight.rank - 2
    x, alone = batched(t, x, rank)
    dilations = per_axis(dilation, rank)
    kernel = weight.shape[2:]
    if padding == "same":
        total = [d * (int(k) - 1) for d, k in zip(dilations, kernel, strict=True)]  # type: ignore[arg-type]
        before = [size // 2 for size in total]
        pads = before + [size - first for size, first in zip(total, before, strict=True)]
    else:
        pads = per_axis(0 if padding == "valid" else padding, rank) * 2
    y = t.emit(
        "Conv", x, weight, bias, group=int(groups), pads=tuple(pads), dilations=tuple(dilations),
        strides=tuple(per_axis(stride, rank)), kernel_shape=tuple(kernel),
    )  # fmt: skip
    return squeezed(t, y, 0) if alone else y


@translates("conv_tbc")
def conv_tbc(t: Translator, x: Tensor, weight: Tensor, bias: Tensor, pad: int = 0) -> Tensor:
    """Over [time, batch, channels], with a weight [kernel, channels, filters]."""
    x, weight = transposed(t, x, [1, 2, 0]), transposed(t, weight, [2, 1, 0])
    return transposed(t, convolution(t, x, weight, bias, 1, [pad]), [2, 0, 1])


for _rank in (1, 2, 3):
    enter(f"conv{_rank}d", convolution)
    enter(f"conv{_rank}d.padding", convolution)


def convolution_transpose(
    t: Translator,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Tensor:
    rank = weight.rank - 2
    x, alone = batched(t, x, rank)
    y = t.emit(
        "ConvTranspose", x, weight, bias, group=int(groups),
        pads=tuple(per_axis(padding, rank) * 2), strides=tuple(per_axis(stride, rank)),
        dilations=tuple(per_axis(dilation, rank)), kernel_shape=tuple(weight.shape[2:]),
        output_padding=tuple(per_axis(output_padding, rank)),
    )  # fmt: skip
    return squeezed(t, y, 0) if alone else y


for _name in ("conv_transpose1d", "conv_transpose2d.input", "conv_transpose3d.input"):
    enter(_name, convolution_transpose)


@translates("convolution", "_convolution")
def general_convolution(
    t: Translator,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Any,
    padding: Any,
    dilation: Any,
    transposed: bool,
    output_padding: Any,
    groups: int,
    *_: Any,
) -> Tensor:
    if transposed:
        return convolution_transpose(
            t, x, weight, bias, stride, padding, output_padding, groups, dilation
        )
    return convolution(t, x, weight, bias, stride, padding, dilation, groups)


@translates("im2col")
def im2col(
    t: Translator, x: Tensor, kernel_size: Any, dilation: Any, padding: Any, stride: Any
) -> Tensor:
    """All windows of a feature map: [N, C * kernel, windows]. A slice for each tap."""
    x, alone = batched(t, x, 2)
    kernel, dilations, pads, strides = (
        per_axis(v, 2) for v in (kernel_size, dilation, padding, stride)
    )
    if any(pads):
        around = t.ints(0, 0, *pads, 0, 0, *pads)
        x = t.emit("Pad", x, around, t.scalar(0, x.dtype))
    counts = [
        (size - d * (k - 1) - 1) // s + 1
        for size, k, d, s in zip(x.shape[2:], kernel, dilations, strides, strict=True)
    ]
    taps = []
    for row in range(kernel[0]):
        for column in range(kernel[1]):
            tap = x
            for axis, place in ((0, row), (1, column)):
                start = place * dilations[axis]
                end = start + (counts[axis] - 1) * strides[axis] + 1
                tap = sliced(t, tap, axis + 2, start, end, strides[axis])
            taps.append(unsqueezed(t, tap, 2))
    y = taps[0] if len(taps) == 1 else t.emit("Concat", *taps, axis=2)
    channels, size = x.shape[1], kernel[0] * kernel[1]
    y = reshaped(t, y, (x.shape[0], channels * size, counts[0] * counts[1]))
    return squeezed(t, y, 0) if alone else y


@translates("col2im")
def col2im(
    t: Translator,
    x: Tensor,
    output_size: Sequence[Any],
    kernel_size: Any,
    dilation: Any,
    padding: Any,
    stride: Any,
) -> Tensor:
    alone = x.rank == 2
    x = unsqueezed(t, x, 0) if alone else x
    y = t.emit(
        "Col2Im", x, t.sizes(output_size), t.ints(*per_axis(kernel_size, 2)),
        dilations=tuple(per_axis(dilation, 2)), pads=tuple(per_axis(padding, 2) * 2),
        strides=tuple(per_axis(stride, 2)),
    )  # fmt: skip
    return squeezed(t, y, 0) if alone else y
