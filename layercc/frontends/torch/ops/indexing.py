"""Reading and writing at indices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ir.dims import Dim
from ir.dtypes import DType
from layercc.frontends.torch.registry import Refused, translates
from layercc.frontends.torch.reshaping import (
    axis_of,
    common_shape,
    expanded,
    reshaped,
    sliced,
    transposed,
    unsqueezed,
)
from layercc.frontends.torch.translator import Tensor, Translator


@translates("embedding")
def embedding(t: Translator, weight: Tensor, indices: Tensor, *_: Any) -> Tensor:
    return t.emit("Gather", weight, indices, axis=0)


@translates("index_select")
def index_select(t: Translator, x: Tensor, dim: int, index: Tensor) -> Tensor:
    if not x.rank:
        return x
    if not index.rank:
        index = unsqueezed(t, index, 0)
    return t.emit("Gather", x, index, axis=axis_of(x, dim))


@translates("gather")
def gather(t: Translator, x: Tensor, dim: int, index: Tensor, sparse_grad: bool = False) -> Tensor:
    if not x.rank:
        return x
    return t.emit("GatherElements", _cut(t, x, index, dim), index, axis=axis_of(x, dim))


def _cut(t: Translator, x: Tensor, index: Tensor, dim: int | None) -> Tensor:
    """The part of `x` that an index of smaller dims, `dim` aside, reaches."""
    for axis in range(x.rank):
        if (dim is None or axis != axis_of(x, dim)) and x.shape[axis] != index.shape[axis]:
            x = sliced(t, x, axis, 0, index.shape[axis])
    return x


@translates("take_along_dim")
def take_along_dim(t: Translator, x: Tensor, index: Tensor, dim: int | None = None) -> Tensor:
    if dim is None:
        x, index = (reshaped(t, part, (part.type.size,)) for part in (x, index))
        return t.emit("GatherElements", x, index, axis=0)
    axis = axis_of(x, dim)
    shape = common_shape(_without(x.shape, axis), _without(index.shape, axis))
    x = expanded(t, x, (*shape[:axis], x.shape[axis], *shape[axis + 1 :]))
    index = expanded(t, index, (*shape[:axis], index.shape[axis], *shape[axis + 1 :]))
    return t.emit("GatherElements", x, index, axis=axis)


def _without(shape: Sequence[Dim], axis: int) -> tuple[Dim, ...]:
    return (*shape[:axis], 1, *shape[axis + 1 :])


_REDUCTIONS = {
    "add": "add",
    "sum": "add",
    "multiply": "mul",
    "prod": "mul",
    "amax": "max",
    "amin": "min",
}


def _scattered(
    t: Translator, x: Tensor, dim: int, index: Tensor, src: Any, reduction: str = "none"
) -> Tensor:
    if not isinstance(src, Tensor):
        src = expanded(t, t.scalar(src, x.dtype), index.shape)
    if not x.rank:
        x, index, src = (reshaped(t, part, (1,)) for part in (x, index, src))
        return reshaped(t, _scattered(t, x, 0, index, src, reduction), ())
    src = _cut(t, src, index, None)
    return t.emit("ScatterElements", x, index, src, axis=axis_of(x, dim), reduction=reduction)


@translates("scatter.src", "scatter.value")
def scatter(t: Translator, x: Tensor, dim: int, index: Tensor, src: Any) -> Tensor:
    return _scattered(t, x, dim, index, src)


@translates("scatter_add")
def scatter_add(t: Translator, x: Tensor, dim: int, index: Tensor, src: Tensor) -> Tensor:
    return _scattered(t, x, dim, index, src, "add")


@translates("scatter.reduce", "scatter.value_reduce")
def scatter_with(
    t: Translator, x: Tensor, dim: int, index: Tensor, src: Any, reduce: str
) -> Tensor:
    return _scattered(t, x, dim, index, src, _REDUCTIONS[reduce])


@translates("scatter_reduce.two")
def scatter_reduce(
    t: Translator, x: Tensor, dim: int, index: Tensor, src: Tensor, reduce: str,
    include_self: bool = True,
) -> Tensor:  # fmt: skip
    if reduce not in _REDUCTIONS or not include_self:
        raise Refused(f"reduce={reduce!r}, include_self={include_self}")
    return _scattered(t, x, dim, index, src, _REDUCTIONS[reduce])


@translates("index_add")
def index_add(
    t: Translator, x: Tensor, dim: int, index: Tensor, source: Tensor, alpha: Any = 1
) -> Tensor:
    if alpha != 1:
        source = t.emit("Mul", source, t.scalar(alpha, source.dtype))
    return _written(t, x, [None] * axis_of(x, dim) + [index], source, "add")


@translates("index_copy")
def index_copy(t: Translator, x: Tensor, dim: int, index: Tensor, source: Tensor) -> Tensor:
    return _written(t, x, [None] * axis_of(x, dim) + [index], source, "none")


@translates("index_fill.int_Scalar", "index_fill.int_Tensor")
def index_fill(t: Translator, x: Tensor, dim: int, index: Tensor, value: Any) -> Tensor:
    filled = t.scalar(value, x.dtype)
    return _written(t, x, [None] * axis_of(x, dim) + [index], filled, "none")


# --- x[i, :, j] and its like


def _places(t: Translator, x: Tensor, indices: Sequence[Any]) -> tuple[list[int], list[Tensor]]:
    """The axes that are indexed, and their indices as integers of one shape."""
    axes: list[int] = []
    found: list[Tensor] = []
    axis = 0
    for index in indices:
        if index is None:
            axis += 1
            continue
        if index.dtype in (DType.bool, DType.u8):
            for place in _of_mask(t, index):
                axes.append(axis)
                found.append(place)
                axis += 1
            continue
        axes.append(axis)
        found.append(t.cast(index, DType.i64))
        axis += 1
    shape = common_shape(*(index.shape for index in found))
    return axes, [expanded(t, index, shape) for index in found]


def _of_mask(t: Translator, mask: Tensor) -> list[Tensor]:
    """The positions where a mask holds, an axis after the other."""
    if not mask.rank:
        raise Refused("a mask of rank 0")
    where = t.emit("NonZero", t.cast(mask, DType.bool))
    return [t.emit("Gather", where, t.scalar_i64(axis), axis=0) for axis in range(mask.rank)]


@translates("index.Tensor", "_unsafe_index.Tensor")
def index(t: Translator, x: Tensor, indices: Sequence[Any]) -> Tensor:
    axes, found = _places(t, x, indices)
    if len(axes) == 1:
        return t.emit("Gather", x, found[0], axis=axes[0])
    rest = [axis for axis in range(x.rank) if axis not in axes]
    y = t.emit("GatherND", transposed(t, x, [*axes, *rest]), _tuples(t, found))
    rank = found[0].rank
    if axes == list(range(axes[0], axes[0] + len(axes))):  # the results take the axes' place
        before = axes[0]
        moved = list(range(rank, rank + before))
        y = transposed(t, y, [*moved, *range(rank), *range(rank + before, y.rank)])
    return y


def _tuples(t: Translator, indices: Sequence[Tensor]) -> Tensor:
    """Indices of several axes as one tensor, an index tuple along the last axis."""
    rank = indices[0].rank
    parts = [unsqueezed(t, index, rank) for index in indices]
    return parts[0] if len(parts) == 1 else t.emit("Concat", *parts, axis=rank)


@translates("index_put", "_unsafe_index_put")
def index_put(
    t: Translator, x: Tensor, indices: Sequence[Any], values: Tensor, accumulate: bool = False
) -> Tensor:
    return _written(t, x, indices, values, "add" if accumulate else "none")


def _written(
    t: Translator, x: Tensor, indices: Sequence[Any], values: Tensor, reduction: str
) -> Tensor:
    axes, found = _places(t, x, indices)
    rest = [axis for axis in range(x.rank) if axis not in axes]
    order = [*axes, *rest]
    front = transposed(t, x, order)
    inner = front.shape[len(axes) :]
    shape = found[0].shape
    before = axes[0] if axes == list(range(axes[0], axes[0] + len(axes))) else 0
    # the values have the shape of x[indices]: the axes before the indexed ones come first there
    placed = (*inner[:before], *shape, *inner[before:])
    values = expanded(t, t.cast(values, x.dtype), placed)
    moved = list(range(before, before + len(shape)))
    values = transposed(
        t, values, [*moved, *(axis for axis in range(values.rank) if axis not in moved)]
    )
    y = t.emit("ScatterND", front, _tuples(t, found), values, reduction=reduction)
    return transposed(t, y, [order.index(axis) for axis in range(x.rank)])


@translates("slice_scatter")
def slice_scatter(
    t: Translator, x: Tensor, src: Tensor, dim: int = 0, start: Any = None, end: Any = None,
    step: int = 1,
) -> Tensor:  # fmt: skip
    axis = axis_of(x, dim)
    size, count = x.shape[axis], src.shape[axis]
    start = 0 if start is None else start
    if isinstance(start, int) and start < 0:
        start = start + size
    src = t.cast(src, x.dtype)
    if step == 1:
        if start == 0 and count == size:
            return src
        parts = [sliced(t, x, axis, 0, start)] if start != 0 else []
        parts.append(src)
        if start + count != size:
            parts.append(sliced(t, x, axis, start + count))
        return t.emit("Concat", *parts, axis=axis)
    if not isinstance(start, int) or not isinstance(count, int):
        raise Refused("a dynamic slice with a step")
    places = t.ints(*(start + i * step for i in range(count)))
    return _written(t, x, [None] * axis + [places], src, "none")


@translates("select_scatter")
def select_scatter(t: Translator, x: Tensor, src: Tensor, dim: int, index: Dim) -> Tensor:
    axis = axis_of(x, dim)
    return slice_scatter(t, x, unsqueezed(t, src, axis), axis, index)


@translates("nonzero")
def nonzero(t: Translator, x: Tensor) -> Tensor:
    return transposed(t, t.emit("NonZero", x), [1, 0])


@translates("masked_select")
def masked_select(t: Translator, x: Tensor, mask: Tensor) -> Tensor:
    shape = common_shape(x.shape, mask.shape)
    flat = [reshaped(t, expanded(t, part, shape), (_size(shape),)) for part in (x, mask)]
    return t.emit("Compress", flat[0], flat[1], axis=0)


def _size(shape: Sequence[Dim]) -> Dim:
    total: Dim = 1
    for dim in shape:
        total = total * dim
    return total


@translates("one_hot")
def one_hot(t: Translator, x: Tensor, num_classes: int = -1) -> Tensor:
    if num_classes < 0:
        raise Refused("num_classes that data decide; a number would fit")
    return t.emit("OneHot", x, t.scalar_i64(num_classes), t.ints(0, 1), axis=-1)


@translates("bucketize.Tensor")
def bucketize(
    t: Translator, x: Tensor, boundaries: Tensor, out_int32: bool = False, right: bool = False
) -> Tensor:
    """How many boundaries lie below each element, or with `right` not above it."""
    op = "LessOrEqual" if right else "Less"
    below = t.emit(op, boundaries, unsqueezed(t, x, x.rank))
    return t.emit("ReduceSum", t.cast(below, t.dtype), t.ints(x.rank), keepdims=0)


@translates("_embedding_bag", "_embedding_bag_forward_only")
def embedding_bag(
    t: Translator, weight: Tensor, indices: Tensor, offsets: Tensor,
    scale_grad_by_freq: bool = False, mode: int = 0, sparse: bool = False,
    per_sample_weights: Tensor | None = None, include_last_offset: bool = False,
    padding_idx: int = -1,
) -> tuple[Any, ...]:  # fmt: skip
    """Sums (mode 0), means (1) or maxima (2) of rows in bags, each from its offset to the next;
    zeros for a bag without rows."""
    indices, offsets = t.cast(indices, DType.i64), t.cast(offsets, DType.i64)
    if include_last_offset:
        offsets = sliced(t, offsets, 0, 0, offsets.shape[0] - 1)
    count, bags = indices.shape[0], offsets.shape[0]
    rows = t.emit("Gather", weight, indices, axis=0)
    places = t.emit("Range", t.scalar_i64(0), t.scalar_i64(count), t.scalar_i64(1))
    begun = t.emit("LessOrEqual", unsqueezed(t, offsets, 1), unsqueezed(t, places, 0))
    begun = t.emit("ReduceSum", t.cast(begun, DType.i64), t.ints(0), keepdims=0)
    own = unsqueezed(t, t.emit("Sub", begun, t.scalar_i64(1)), 1)  # [count, 1], the bag of each
    if per_sample_weights is not None:
        rows = t.emit("Mul", rows, unsqueezed(t, per_sample_weights, 1))
    counted = expanded(t, t.scalar(1, rows.dtype), (count, 1))
    if padding_idx >= 0:
        lost = unsqueezed(t, t.emit("Equal", indices, t.scalar_i64(padding_idx)), 1)
        counted = t.emit("Where", lost, t.scalar(0, rows.dtype), counted)
        neutral = t.scalar(float("-inf") if mode == 2 else 0, rows.dtype)
        rows = t.emit("Where", lost, neutral, rows)
    start = t.scalar(float("-inf") if mode == 2 else 0, rows.dtype)
    found = t.emit(
        "ScatterND", expanded(t, start, (bags, rows.shape[1])), own, rows,
        reduction="max" if mode == 2 else "add",
    )  # fmt: skip
    if mode == 0:
        return found, None, None, None
    none = expanded(t, t.scalar(0, rows.dtype), (bags, 1))
    sizes = t.emit("ScatterND", none, own, counted, reduction="add")
    if mode == 1:
        found = t.emit("Div", found, t.emit("Max", sizes, t.scalar(1, rows.dtype)))
    else:
        filled = t.emit("Greater", sizes, t.scalar(0, rows.dtype))
        found = t.emit("Where", filled, found, t.scalar(0, rows.dtype))
    return found, None, None, None
