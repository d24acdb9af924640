"""Lowering of ops that move data: copies, views, transposes, padding."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ir.diagnostics import UnsupportedError
from ir.dtypes import DType
from ir.graph import Node
from layercc.cpu.kernels import movement as kernels
from layercc.cpu.kernels.copy import copy as copy_kernel
from layercc.lower.context import Context, Tensor
from layercc.lower.registry import lowering

#: Elements a task of a simple loop takes: large enough to hide the cost of a task.
CHUNK = 1 << 15
_OUTER_DIMS = 5
#: Outer dims of the transpose kernel, the least side of its tasks' blocks, and a multiple of the
#: side of its register tiles.
_TRANSPOSE_DIMS = 4
_TRANSPOSE_BLOCK = 64
_TILE = 16
_BY_SIZE = {1: "u8", 2: "u16", 4: "u32", 8: "u64"}


def moved_as(dtype: DType) -> str:
    """The unsigned type under which movement kernels handle elements of `dtype`.

    Raises UnsupportedError for elements of 16 bytes (c128).
    """
    if dtype.itemsize not in _BY_SIZE:
        raise UnsupportedError(f"no kernel moves elements of type {dtype}")
    return _BY_SIZE[dtype.itemsize]


def copy(context: Context, source: Tensor, target: Tensor) -> None:
    """Copies a dense tensor into another place of the same size."""
    context.call(
        copy_kernel.key(moved_as(source.dtype)),
        tasks=-(-source.size // CHUNK),
        x=source,
        y=target,
        n=source.size,
        chunk=CHUNK,
    )


def strided_copy(
    context: Context,
    source: Tensor,
    target: Tensor,
    shape: Sequence[int],
    source_strides: Sequence[int],
    target_strides: Sequence[int],
    source_start: int = 0,
    target_start: int = 0,
) -> None:
    """Copies an index space of `shape` between two tensors; starts and strides in elements.

    Strides may be negative or 0. Dims that both sides walk through as one are collapsed.
    """
    if 0 in shape:
        return
    dims = _collapsed(shape, source_strides, target_strides)
    itemsize = source.dtype.itemsize
    if len(dims) == 1 and dims[0][1:] == (1, 1):
        flat = source.moved(source_start * itemsize).reshaped((dims[0][0],))
        copy(context, flat, target.moved(target_start * itemsize))
        return
    *outer, (n, sx, ty) = _long_rows_divided(dims)
    if len(outer) > _OUTER_DIMS:  # rare: a call for each position of the first dim
        (size, s, t), *rest = [*outer, (n, sx, ty)]
        sizes, sources, targets = zip(*rest, strict=True)
        for i in range(size):
            starts = (source_start + i * s, target_start + i * t)
            strided_copy(context, source, target, sizes, sources, targets, *starts)
        return
    outer = [(1, 0, 0)] * (_OUTER_DIMS - len(outer)) + outer
    positions = math.prod(size for size, _, _ in outer)
    chunk = max(CHUNK // n, 1)
    words: dict[str, int] = {}
    for i, (size, s, t) in enumerate(outer):
        words |= {f"n{i}": size, f"s{i}": s, f"t{i}": t}
    context.call(
        kernels.strided_copy.key(moved_as(source.dtype), sx == 1 and ty == 1),
        tasks=-(-positions // chunk),
        x=source.moved(source_start * itemsize),
        y=target.moved(target_start * itemsize),
        n=n,
        sx=sx,
        ty=ty,
        chunk=chunk,
        **words,
    )


def _collapsed(
    shape: Sequence[int], source: Sequence[int], target: Sequence[int]
) -> list[tuple[int, int, int]]:
    """(size, source stride, target stride) a dim, neighbours joined where both sides allow it."""
    dims: list[tuple[int, int, int]] = []
    for size, s, t in zip(shape, source, target, strict=True):
        if size == 1:
            continue
        if dims and dims[-1][1] == s * size and dims[-1][2] == t * size:
            dims[-1] = (dims[-1][0] * size, s, t)
        else:
            dims.append((size, s, t))
    return dims or [(1, 1, 1)]


def _long_rows_divided(dims: list[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
    """The innermost dim in two, if it alone would be a task that is far too long."""
    *outer, (n, s, t) = dims
    for parts in range(2, min(n // CHUNK, 1 << 10) + 1):
        if n % parts == 0 and n // parts <= 2 * CHUNK:
            part = n // parts
            return [*outer, (parts, s * part, t * part), (part, s, t)]
    return dims


def strides_of(shape: Sequence[int]) -> list[int]:
    """Row-major strides in elements."""
    strides = [1] * len(shape)
    for axis in range(len(shape) - 2, -1, -1):
        strides[axis] = strides[axis + 1] * shape[axis + 1]
    return strides


def transposed(context: Context, x: Tensor, permutation: Sequence[int], y: Tensor) -> None:
    """y = x with its dims permuted as `numpy.transpose` does it."""
    source = [strides_of(x.shape)[axis] for axis in permutation]
    target = strides_of(y.shape)
    if 0 in y.shape:
        return
    *dims, last = _collapsed(y.shape, source, target)
    dense = [dim for dim in dims if dim[1] == 1]
    if last[1] == 1 or not dense or len(dims) > _TRANSPOSE_DIMS + 1:
        strided_copy(context, x, y, y.shape, source, target)
        return
    dims.remove(dense[0])
    _transpose_matrices(context, x, y, dims, dense[0], last)


def _transpose_matrices(
    context: Context,
    x: Tensor,
    y: Tensor,
    outer: list[tuple[int, int, int]],
    along_x: tuple[int, int, int],
    along_y: tuple[int, int, int],
) -> None:
    """Matrices whose one dim is dense in x and the other in y; dims as (size, stride, stride)."""
    columns, _, column = along_x
    rows, row, _ = along_y
    row_block = _block_size(rows, max(CHUNK // columns, _TRANSPOSE_BLOCK))
    column_block = _block_size(columns, max(CHUNK // row_block, _TRANSPOSE_BLOCK))
    row_blocks, column_blocks = -(-rows // row_block), -(-columns // column_block)
    positions = math.prod(size for size, _, _ in outer)
    chunk = max(CHUNK // (row_block * column_block), 1)
    words: dict[str, int] = {}
    for i, (size, s, t) in enumerate([(1, 0, 0)] * (_TRANSPOSE_DIMS - len(outer)) + outer):
        words |= {f"n{i}": size, f"s{i}": s, f"t{i}": t}
    context.call(
        kernels.transpose.key(moved_as(x.dtype)),
        tasks=-(-positions // chunk) * row_blocks * column_blocks,
        x=x,
        y=y,
        chunk=chunk,
        rows=rows,
        columns=columns,
        row=row,
        column=column,
        row_block=row_block,
        column_block=column_block,
        row_blocks=row_blocks,
        column_blocks=column_blocks,
        **words,
    )


def _block_size(size: int, most: int) -> int:
    """The size of even blocks of at most `most`, whole register tiles where there are several."""
    blocks = -(-size // most)
    even = -(-size // blocks)
    return size if blocks == 1 else -(-even // _TILE) * _TILE


def pad_spatial(context: Context, x: Tensor, begins: Sequence[int], ends: Sequence[int]) -> Tensor:
    """A channels-last tensor with zeros around its spatial dims, in scratch memory."""
    batch, *spatial, channels = x.shape
    padded = [b + dim + e for b, dim, e in zip(begins, spatial, ends, strict=True)]
    y = context.scratch(x.dtype, (batch, *padded, channels))
    missing = 3 - len(spatial)
    in_d, in_h, in_w = [1] * missing + list(spatial)
    out_d, out_h, out_w = [1] * missing + padded
    begin_d, begin_h, begin_w = [0] * missing + list(begins)
    rows = batch * out_d * out_h
    chunk = max(CHUNK // max(out_w * channels, 1), 1)
    context.call(
        kernels.pad_rows.key(moved_as(x.dtype)),
        tasks=-(-rows // chunk),
        x=x,
        y=y,
        rows=rows,
        chunk=chunk,
        in_d=in_d,
        in_h=in_h,
        out_d=out_d,
        out_h=out_h,
        begin_d=begin_d,
        begin_h=begin_h,
        before=begin_w * channels,
        inside=in_w * channels,
        row=out_w * channels,
    )
    return y


@lowering("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity")
def view(context: Context, node: Node) -> None:
    """Another shape over the same memory: no kernel at all."""
    shape = context.shape(node.outputs[0])
    context.bind(node.outputs[0], context.tensor(node.inputs[0]).reshaped(shape))


@lowering("Transpose")
def transpose(context: Context, node: Node) -> None:
    """A permutation of dims; one that moves only dims of size 1 is a view."""
    x = context.tensor(node.inputs[0])
    permutation = context.call_of(node).perm or tuple(reversed(range(len(x.shape))))
    shape = context.shape(node.outputs[0])
    moved = [axis for axis in permutation if x.shape[axis] != 1]
    if moved == sorted(moved):
        context.bind(node.outputs[0], x.reshaped(shape))
    else:
        transposed(context, x, permutation, context.output(node.outputs[0]))
