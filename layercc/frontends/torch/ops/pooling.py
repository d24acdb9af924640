"""Pooling over windows, adaptive pooling, and its inverse."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ir.dims import Dim, product
from layercc.frontends.torch.ops.convolution import batched, per_axis
from layercc.frontends.torch.registry import Refused, enter
from layercc.frontends.torch.reshaping import (
    expanded,
    reshaped,
    squeezed,
)
from layercc.frontends.torch.translator import Tensor, Translator


def _max_pool(
    rank: int, with_indices: bool, t: Translator, x: Tensor, kernel_size: Any, stride: Any = (),
    padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False,
) -> Any:  # fmt: skip
    x, alone = batched(t, x, rank)
    kernel = per_axis(kernel_size, rank)
    made = t.emit(
        "MaxPool", x, outputs=1 + with_indices, kernel_shape=tuple(kernel),
        strides=tuple(per_axis(stride, rank) if stride else kernel),
        pads=tuple(per_axis(padding, rank) * 2), dilations=tuple(per_axis(dilation, rank)),
        ceil_mode=int(ceil_mode),
    )  # fmt: skip
    if not with_indices:
        return squeezed(t, made, 0) if alone else made
    values, places = made
    # PyTorch counts within a feature map, ONNX from the tensor's beginning
    places = t.emit("Mod", places, t.scalar_i64(product(x.shape[2:])))
    return tuple(squeezed(t, part, 0) if alone else part for part in (values, places))


def _avg_pool(
    rank: int, t: Translator, x: Tensor, kernel_size: Any, stride: Any = (), padding: Any = 0,
    ceil_mode: bool = False, count_include_pad: bool = True, divisor_override: int | None = None,
) -> Tensor:  # fmt: skip
    x, alone = batched(t, x, rank)
    kernel = per_axis(kernel_size, rank)
    if divisor_override and ceil_mode:
        raise Refused("divisor_override with ceil_mode")
    y = t.emit(
        "AveragePool", x, kernel_shape=tuple(kernel),
        strides=tuple(per_axis(stride, rank) if stride else kernel),
        pads=tuple(per_axis(padding, rank) * 2), ceil_mode=int(ceil_mode),
        count_include_pad=int(count_include_pad or bool(divisor_override)),
    )  # fmt: skip
    if divisor_override:
        y = t.emit("Mul", y, t.scalar(math.prod(kernel) / divisor_override, y.dtype))
    return squeezed(t, y, 0) if alone else y


# --- adaptive pooling: output cell i of n covers inputs floor(i*size/n) .. ceil((i+1)*size/n)


def _cells(size: int, count: int) -> list[tuple[int, int]]:
    return [(i * size // count, -((-(i + 1) * size) // count)) for i in range(count)]


def _adaptive_avg_pool(rank: int, t: Translator, x: Tensor, output_size: Any) -> Tensor:
    x, alone = batched(t, x, rank)
    sizes = t.shape[-rank:]
    if all(size == 1 for size in sizes):
        y = t.emit("GlobalAveragePool", x)
    elif (kernel := _even_kernel(x, sizes, rank)) is not None:
        y = t.emit("AveragePool", x, kernel_shape=kernel, strides=kernel)
    else:
        y = x
        for axis, (before, after) in enumerate(zip(x.shape[2:], sizes, strict=True), start=2):
            y = _averaged(t, y, axis, before, after)
    return squeezed(t, y, 0) if alone else y


def _even_kernel(x: Tensor, sizes: Sequence[Dim], rank: int) -> tuple[int, ...] | None:
    """The window, if all cells are of one size."""
    kernel = []
    for before, after in zip(x.shape[-rank:], sizes, strict=True):
        if not (isinstance(before, int) and isinstance(after, int)) or not after:
            return None
        if not before or before % after:
            return None
        kernel.append(before // after)
    return tuple(kernel)


def _averaged(t: Translator, x: Tensor, axis: int, before: Dim, after: Dim) -> Tensor:
    """Means over the cells of one axis."""
    if before == after:
        return x
    if after == 1:
        return t.emit("ReduceMean", x, t.ints(axis), keepdims=1)
    gathered, lengths = _in_cells(t, x, axis, before, after)
    if len(set(lengths)) == 1:
        return t.emit("ReduceMean", gathered, t.ints(axis + 1), keepdims=0)
    trailing = (1,) * (x.rank - axis - 1)
    place = np.arange(max(lengths)) < np.array(lengths)[:, None]
    inside = t.constant(place.reshape(*place.shape, *trailing))
    kept = t.emit("Where", inside, gathered, t.scalar(0, x.dtype))
    total = t.emit("ReduceSum", kept, t.ints(axis + 1), keepdims=0)
    counts = np.array(lengths, x.dtype.value).reshape(-1, *trailing)
    return t.emit("Div", total, t.constant(counts))


def _in_cells(
    t: Translator, x: Tensor, axis: int, before: Dim, after: Dim
) -> tuple[Tensor, list[int]]:
    """The elements of each cell of an axis along a new axis behind it, the last repeated in those
    that have fewer; and how many each has."""
    if not (isinstance(before, int) and isinstance(after, int)):
        raise Refused("adaptive pooling of a dynamic size, to other than 1")
    cells = _cells(before, after)
    lengths = [end - start for start, end in cells]
    places = [[min(start + i, end - 1) for i in range(max(lengths))] for start, end in cells]
    return t.emit("Gather", x, t.constant(np.array(places, np.int64)), axis=axis), lengths


def _adaptive_max_pool(rank: int, t: Translator, x: Tensor, output_size: Any) -> tuple[Any, ...]:
    x, alone = batched(t, x, rank)
    sizes = t.shape[-rank:]
    if (kernel := _even_kernel(x, sizes, rank)) is not None:
        made = _max_pool(rank, t.wants(1), t, x, list(kernel))
        values, places = made if isinstance(made, tuple) else (made, None)
    elif t.wants(1):
        raise Refused("indices of adaptive pooling into cells of different sizes")
    else:
        values, places = x, None
        for axis, (before, after) in enumerate(zip(x.shape[2:], sizes, strict=True), start=2):
            values = _largest(t, values, axis, before, after)
    parts = (values, places)
    return tuple(squeezed(t, p, 0) if alone and p is not None else p for p in parts)


def _largest(t: Translator, x: Tensor, axis: int, before: Dim, after: Dim) -> Tensor:
    """Maxima over the cells of one axis."""
    if before == after:
        return x
    if after == 1:
        return t.emit("ReduceMax", x, t.ints(axis), keepdims=1)
    gathered, _ = _in_cells(t, x, axis, before, after)
    return t.emit("ReduceMax", gathered, t.ints(axis + 1), keepdims=0)


def _max_unpool(
    rank: int, t: Translator, x: Tensor, indices: Tensor, output_size: Any, *_: Any
) -> Tensor:
    """Puts elements where the indices, which count within a feature map, say; zeros elsewhere."""
    outer = x.shape[:-rank]
    cells = product(t.shape[-rank:])
    zeros = expanded(t, t.scalar(0, x.dtype), (*outer, cells))
    flat = (*outer, product(x.shape[-rank:]))
    y = t.emit(
        "ScatterElements", zeros, reshaped(t, indices, flat), reshaped(t, x, flat),
        axis=len(outer),
    )  # fmt: skip
    return reshaped(t, y, t.shape)


def _of_rank(function: Any, *fixed: Any) -> Any:
    return lambda t, *given, **options: function(*fixed, t, *given, **options)


for _rank in (1, 2, 3):
    enter(f"max_pool{_rank}d", _of_rank(_max_pool, _rank, False))
    enter(f"max_pool{_rank}d_with_indices", _of_rank(_max_pool, _rank, True))
    enter(f"avg_pool{_rank}d", _of_rank(_avg_pool, _rank))
    enter(f"adaptive_avg_pool{_rank}d", _of_rank(_adaptive_avg_pool, _rank))
    enter(f"_adaptive_avg_pool{_rank}d", _of_rank(_adaptive_avg_pool, _rank))
    enter(f"adaptive_max_pool{_rank}d", _of_rank(_adaptive_max_pool, _rank))
for _rank in (2, 3):
    enter(f"max_unpool{_rank}d", _of_rank(_max_unpool, _rank))
