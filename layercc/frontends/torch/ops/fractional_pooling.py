"""Fractional max pooling: windows whose places random samples decide, which are an input."""

from __future__ import annotations

from typing import Any

from ir.dims import Dim, max_dim, product
from ir.dtypes import DType
from layercc.frontends.torch.ops.convolution import batched, per_axis
from layercc.frontends.torch.registry import enter
from layercc.frontends.torch.reshaping import reshaped, squeezed, unsqueezed
from layercc.frontends.torch.translator import Tensor, Translator


def _fractional_max_pool(
    rank: int, t: Translator, x: Tensor, kernel_size: Any, output_size: Any, samples: Tensor
) -> tuple[Tensor | None, ...]:
    """Maxima of windows, and their places in a feature map. `samples` is [batch, channels, rank],
    its last axis in PyTorch's order: depth, height, width for rank 3, width, height for rank 2."""
    x, alone = batched(t, x, rank)
    kernel, cells = per_axis(kernel_size, rank), t.shape[-rank:]
    outer, sizes = x.shape[:2], x.shape[2:]
    places: Tensor | None = None  # [batch, channels, *cells, *kernel]
    for axis in range(rank):
        column = axis if rank == 3 else 1 - axis
        sample = t.emit("Gather", samples, t.scalar_i64(column), axis=2)
        starts = _starts(t, sample, sizes[axis], cells[axis], kernel[axis])
        within = t.emit("Range", t.scalar_i64(0), t.scalar_i64(kernel[axis]), t.scalar_i64(1))
        own = t.emit("Add", unsqueezed(t, starts, 3), within)
        others = [i for i in range(2, 2 + 2 * rank) if i not in (2 + axis, 2 + rank + axis)]
        own = unsqueezed(t, own, *others)
        if places is not None:
            own = t.emit("Add", t.emit("Mul", places, t.scalar_i64(sizes[axis])), own)
        places = own
    assert places is not None
    count, window = product(cells), product(kernel)
    flat = reshaped(t, x, (*outer, product(sizes)))
    index = reshaped(t, places, (*outer, count * window))
    seen = reshaped(t, t.emit("GatherElements", flat, index, axis=2), (*outer, count, window))
    made: list[Tensor | None] = [t.emit("ReduceMax", seen, t.ints(3), keepdims=0), None]
    if t.wants(1):
        best = _last_nan_or_first_maximum(t, seen)
        found = reshaped(t, index, (*outer, count, window))
        made[1] = t.emit("GatherElements", found, best, axis=3)
    shaped = [None if m is None else reshaped(t, m, (*outer, *cells)) for m in made]
    return tuple(squeezed(t, m, 0) if alone and m is not None else m for m in shaped)


def _starts(t: Translator, sample: Tensor, size: Dim, count: Dim, kernel: int) -> Tensor:
    """Where the windows of an axis begin, i64[batch, channels, count]: for sample u in 0..1,
    `int((i + u) * a) - int(u * a)` with `a = (size - kernel) / (count - 1)`, and the last at the
    end (Graham, Fractional Max-Pooling, 2014)."""
    dtype = sample.dtype
    number = t.emit("Range", t.scalar_i64(0), t.scalar_i64(count), t.scalar_i64(1))
    steps = t.scalar(max_dim(count - 1, 1), dtype)
    alpha = t.emit("Div", t.scalar(size - kernel, dtype), steps)
    sample = unsqueezed(t, sample, 2)
    reached = t.emit("Mul", t.emit("Add", t.cast(number, dtype), sample), alpha)
    begun = t.emit("Mul", sample, alpha)
    start = t.emit("Sub", t.cast(reached, DType.i64), t.cast(begun, DType.i64))
    is_last = t.emit("Equal", number, t.scalar_i64(count - 1))
    return t.emit("Where", is_last, t.scalar_i64(size - kernel), start)


def _last_nan_or_first_maximum(t: Translator, x: Tensor) -> Tensor:
    """Which element of the last axis PyTorch's kernel keeps, with that axis as 1."""
    is_nan = t.cast(t.emit("IsNaN", x), DType.i32)
    nan = t.emit("ArgMax", is_nan, axis=-1, keepdims=1, select_last_index=1)
    any_nan = t.cast(t.emit("ReduceMax", is_nan, t.ints(-1), keepdims=1), DType.bool)
    return t.emit("Where", any_nan, nan, t.emit("ArgMax", x, axis=-1, keepdims=1))


def _of_rank(rank: int) -> Any:
    return lambda t, *given: _fractional_max_pool(rank, t, *given)


for _rank in (2, 3):
    enter(f"fractional_max_pool{_rank}d", _of_rank(_rank))
