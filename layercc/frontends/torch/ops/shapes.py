"""Shapes: views, permutations, joining and cutting."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ir.dims import Dim
from layercc.frontends.torch.registry import Refused, translates
from layercc.frontends.torch.reshaping import (
    END,
    axis_of,
    expanded,
    reshaped,
    sliced,
    squeezed,
    transposed,
    unsqueezed,
)
from layercc.frontends.torch.translator import Tensor, Translator


@translates(
    "view", "reshape", "_unsafe_view", "flatten.using_ints", "unflatten.int", "view_copy",
    "_reshape_alias", "_reshape_copy",
)  # fmt: skip
def view(t: Translator, x: Tensor, *_: Any) -> Tensor:
    return reshaped(t, x, t.shape)


@translates("squeeze", "squeeze.dim", "squeeze.dims", "squeeze_copy.dims")
def squeeze(t: Translator, x: Tensor, dims: Any = None) -> Tensor:
    given = range(x.rank) if dims is None else dims if isinstance(dims, list) else [dims]
    axes = sorted({axis_of(x, dim) for dim in given})
    return squeezed(t, x, *(axis for axis in axes if axis < x.rank and x.shape[axis] == 1))


@translates("unsqueeze", "unsqueeze_copy")
def unsqueeze(t: Translator, x: Tensor, dim: int) -> Tensor:
    return unsqueezed(t, x, dim % (x.rank + 1))


@translates("permute", "permute_copy")
def permute(t: Translator, x: Tensor, dims: Sequence[int]) -> Tensor:
    return transposed(t, x, dims)


@translates("transpose.int", "swapaxes")
def transpose(t: Translator, x: Tensor, dim0: int, dim1: int) -> Tensor:
    order = list(range(x.rank))
    if order:
        order[dim0], order[dim1] = order[dim1], order[dim0]
    return transposed(t, x, order)


@translates("t", "numpy_T")
def reversed_axes(t: Translator, x: Tensor) -> Tensor:
    return transposed(t, x, list(range(x.rank))[::-1])


@translates("mT")
def matrix_transpose(t: Translator, x: Tensor) -> Tensor:
    return transposed(t, x, [*range(x.rank - 2), -1, -2])


@translates("expand", "expand_copy", "broadcast_to", "expand_as")
def expand(t: Translator, x: Tensor, *_: Any, implicit: bool = False) -> Tensor:
    return expanded(t, x, t.shape)


@translates("repeat", "tile")
def repeat(t: Translator, x: Tensor, repeats: Sequence[Dim]) -> Tensor:
    counts = [1] * (x.rank - len(repeats)) + list(repeats)
    x = reshaped(t, x, (*[1] * (len(counts) - x.rank), *x.shape))
    return x if all(count == 1 for count in counts) else t.emit("Tile", x, t.sizes(counts))


@translates("cat", "concat")
def cat(t: Translator, tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    rank = max(x.rank for x in tensors)
    given = [t.cast(x, t.dtype) for x in tensors if x.rank == rank or x.shape != (0,)]
    return given[0] if len(given) == 1 else t.emit("Concat", *given, axis=dim % rank)


@translates("stack")
def stack(t: Translator, tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    axis = dim % (tensors[0].rank + 1)
    parts = [unsqueezed(t, t.cast(x, t.dtype), axis) for x in tensors]
    return parts[0] if len(parts) == 1 else t.emit("Concat", *parts, axis=axis)


@translates(
    "split.Tensor", "split_with_sizes", "split.sizes", "chunk", "split_with_sizes_copy",
    "split_copy.Tensor", "tensor_split.sections", "tensor_split.indices",
)  # fmt: skip
def split(t: Translator, x: Tensor, _: Any, dim: int = 0) -> Sequence[Tensor]:
    axis = axis_of(x, dim)
    sizes = [result.shape[axis] for result in t.results]
    if len(sizes) == 1:
        return [x]
    made: Sequence[Tensor] = t.emit("Split", x, t.sizes(sizes), outputs=len(sizes), axis=axis)
    return made


@translates("unbind.int", "unbind_copy.int")
def unbind(t: Translator, x: Tensor, dim: int = 0) -> Sequence[Tensor]:
    return [select(t, x, dim, index) for index in range(len(t.results))]


@translates("slice.Tensor", "slice_copy.Tensor")
def slice_(
    t: Translator, x: Tensor, dim: int = 0, start: Any = None, end: Any = None, step: int = 1
) -> Tensor:
    start = 0 if start is None else start
    return sliced(t, x, dim, start, None if end is None or end == END else end, step)


@translates("narrow")
def narrow(t: Translator, x: Tensor, dim: int, start: Any, length: Dim) -> Tensor:
    if isinstance(start, Tensor):
        raise Refused("where it starts is known only once data has been read")
    start = start + x.shape[dim] if isinstance(start, int) and start < 0 else start
    return sliced(t, x, dim, start, start + length)


@translates("select.int", "select_copy.int")
def select(t: Translator, x: Tensor, dim: int, index: Dim) -> Tensor:
    return t.emit("Gather", x, t.scalar_i64(index), axis=axis_of(x, dim))


@translates("flip")
def flip(t: Translator, x: Tensor, dims: Sequence[int]) -> Tensor:
    if not dims or not x.rank:
        return x
    axes = [axis_of(x, dim) for dim in dims]
    starts, ends, steps = ([value] * len(axes) for value in (-1, -END, -1))
    return t.emit("Slice", x, t.ints(*starts), t.ints(*ends), t.ints(*axes), t.ints(*steps))


@translates("roll")
def roll(t: Translator, x: Tensor, shifts: Any, dims: Any = ()) -> Tensor:
    if not dims:
        flat = _rolled(t, reshaped(t, x, (x.type.size,)), shifts[0], 0)
        return reshaped(t, flat, x.shape)
    for shift, dim in zip(shifts, dims, strict=True):
        x = _rolled(t, x, shift, axis_of(x, dim))
    return x


def _rolled(t: Translator, x: Tensor, shift: Dim, axis: int) -> Tensor:
    size = x.shape[axis]
    if size == 0:
        return x
    start = (size - shift) % size
    if start == 0:
        return x
    parts = [sliced(t, x, axis, start), sliced(t, x, axis, 0, start)]
    return t.emit("Concat", *parts, axis=axis)


@translates("tril")
def tril(t: Translator, x: Tensor, diagonal: int = 0) -> Tensor:
    return t.emit("Trilu", x, t.scalar_i64(diagonal), upper=0)


@translates("triu")
def triu(t: Translator, x: Tensor, diagonal: int = 0) -> Tensor:
    return t.emit("Trilu", x, t.scalar_i64(diagonal), upper=1)


@translates("unfold", "unfold_copy")
def unfold(t: Translator, x: Tensor, dim: int, size: int, step: int) -> Tensor:
    """Windows along an axis, their elements along a new last one."""
    if x.rank == 0:
        raise Refused("a tensor of rank 0")
    axis = axis_of(x, dim)
    count = t.shape[axis]
    reach = (count - 1) * step + 1
    taps = [unsqueezed(t, sliced(t, x, axis, i, reach + i, step), x.rank) for i in range(int(size))]
    return taps[0] if len(taps) == 1 else t.emit("Concat", *taps, axis=x.rank)


@translates("diagonal", "diagonal_copy")
def diagonal(t: Translator, x: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    first, second = axis_of(x, dim1), axis_of(x, dim2)
    order = [axis for axis in range(x.rank) if axis not in (first, second)]
    x = transposed(t, x, [*order, first, second])
    rows, columns = x.shape[-2:]
    count = t.shape[-1]
    if not isinstance(columns, int) or not isinstance(count, int):
        raise Refused("a matrix of dynamic sizes")
    flat = reshaped(t, x, (*x.shape[:-2], rows * columns))
    start = offset if offset >= 0 else -offset * columns
    places = [start + i * (columns + 1) for i in range(count)]
    return t.emit("Gather", flat, t.ints(*places), axis=flat.rank - 1)


@translates("pixel_shuffle")
def pixel_shuffle(t: Translator, x: Tensor, upscale_factor: int) -> Tensor:
    if x.rank == 4:
        return t.emit("DepthToSpace", x, blocksize=upscale_factor, mode="CRD")
    return _blocks_to_space(t, x, upscale_factor)


def _blocks_to_space(t: Translator, x: Tensor, factor: int) -> Tensor:
    *outer, channels, height, width = x.shape
    wide = reshaped(t, x, (*outer, channels // (factor * factor), factor, factor, height, width))
    n = len(outer)
    order = [*range(n), n, n + 3, n + 1, n + 4, n + 2]
    return reshaped(t, transposed(t, wide, order), t.shape)


@translates("pixel_unshuffle")
def pixel_unshuffle(t: Translator, x: Tensor, downscale_factor: int) -> Tensor:
    *outer, channels, height, width = x.shape
    by = downscale_factor
    wide = reshaped(t, x, (*outer, channels, height // by, by, width // by, by))
    n = len(outer)
    order = [*range(n), n, n + 2, n + 4, n + 1, n + 3]
    return reshaped(t, transposed(t, wide, order), t.shape)


@translates("channel_shuffle", "native_channel_shuffle")
def channel_shuffle(t: Translator, x: Tensor, groups: int) -> Tensor:
    batch, channels, *spatial = x.shape
    wide = reshaped(t, x, (batch, groups, channels // groups, *spatial))
    order = [0, 2, 1, *range(3, wide.rank)]
    return reshaped(t, transposed(t, wide, order), x.shape)
