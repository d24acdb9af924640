"""Emission of moves: copies, strided copies, transposes in registers, fills, and padded images."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ir.diagnostics import UnsupportedError
from ir.dtypes import DType
from layercc.buffers import Tensor
from layercc.cpu.emit.builder import Builder, part_of
from layercc.cpu.emit.registry import emitter
from layercc.cpu.kernels import movement as kernels
from layercc.cpu.kernels.copy import copy as copy_kernel
from layercc.cpu.kernels.fill import fill as fill_kernel
from layercc.jobs.movement import Fill, Move
from layercc.kernels.element_types import UNSIGNED

#: Elements a task of a simple loop takes: large enough to hide the cost of a task.
CHUNK = 1 << 15
_OUTER_DIMS = 5
#: Outer dims of the transpose kernel, the least side of its tasks' blocks, and a multiple of the
#: side of its register tiles.
_TRANSPOSE_DIMS = 4
_TRANSPOSE_BLOCK = 64
_TILE = 16

StridedDim = tuple[int, int, int]  # size, source stride, target stride


def moved_as(dtype: DType) -> str:
    """The unsigned type under which movement kernels handle elements of `dtype`.

    Raises UnsupportedError for elements of 16 bytes (c128).
    """
    if dtype.itemsize not in UNSIGNED:
        raise UnsupportedError(f"no kernel moves elements of type {dtype}")
    return UNSIGNED[dtype.itemsize]


@emitter(Move)
def move(builder: Builder, job: Move) -> None:
    """A copy, squares turned in registers, or rows copied with strides."""
    moved_as(job.source.dtype)  # elements that cannot be moved, however few
    if 0 in job.shape:
        return
    itemsize = job.source.dtype.itemsize
    source = job.source.moved(job.source_start * itemsize)
    target = job.target.moved(job.target_start * itemsize)
    dims = job.dims()
    if len(dims) == 1 and dims[0][1:] == (1, 1):
        _copy(builder, source, target, dims[0][0])
        return
    *outer, last = dims
    dense = [dim for dim in outer if dim[1] == 1]
    if last[2] == 1 and last[1] > 1 and dense and len(outer) <= _TRANSPOSE_DIMS + 1:
        outer.remove(dense[0])
        _transpose(builder, source, target, outer, dense[0], last)
    else:
        _strided(builder, source, target, dims)


def _copy(builder: Builder, source: Tensor, target: Tensor, size: int) -> None:
    builder.call(
        copy_kernel.key(moved_as(source.dtype)),
        tasks=-(-size // CHUNK),
        x=part_of(source, size),
        y=part_of(target, size),
        n=size,
        chunk=CHUNK,
    )


def _strided(builder: Builder, source: Tensor, target: Tensor, dims: list[StridedDim]) -> None:
    *outer, (n, sx, ty) = _long_rows_divided(dims)
    if len(outer) > _OUTER_DIMS:  # rare: a call for each position of the first dim
        (size, s, t), *rest = [*outer, (n, sx, ty)]
        itemsize = source.dtype.itemsize
        for i in range(size):
            at = source.moved(i * s * itemsize), target.moved(i * t * itemsize)
            _strided(builder, *at, rest)
        return
    positions = math.prod(size for size, _, _ in outer)
    chunk = max(CHUNK // n, 1)
    touched = positions * n
    builder.call(
        kernels.strided_copy.key(moved_as(source.dtype), sx == 1 and ty == 1),
        tasks=-(-positions // chunk),
        x=part_of(source, touched),
        y=part_of(target, touched),
        n=n,
        sx=sx,
        ty=ty,
        chunk=chunk,
        **_outer_words(outer, _OUTER_DIMS),
    )


def _outer_words(outer: Sequence[StridedDim], count: int) -> dict[str, int]:
    """The outer dims as a kernel takes them, with some of size 1 in front."""
    words: dict[str, int] = {}
    for i, (size, s, t) in enumerate([(1, 0, 0)] * (count - len(outer)) + [*outer]):
        words |= {f"n{i}": size, f"s{i}": s, f"t{i}": t}
    return words


def _long_rows_divided(dims: list[StridedDim]) -> list[StridedDim]:
    """The innermost dim in two, if it alone would be a task that is far too long."""
    *outer, (n, s, t) = dims
    for parts in range(2, min(n // CHUNK, 1 << 10) + 1):
        if n % parts == 0 and n // parts <= 2 * CHUNK:
            part = n // parts
            return [*outer, (parts, s * part, t * part), (part, s, t)]
    return dims


def _transpose(
    builder: Builder,
    x: Tensor,
    y: Tensor,
    outer: list[StridedDim],
    along_x: StridedDim,
    along_y: StridedDim,
) -> None:
    """Matrices whose one dim is dense in x and the other in y."""
    columns, _, column = along_x
    rows, row, _ = along_y
    row_block = _block_size(rows, max(CHUNK // columns, _TRANSPOSE_BLOCK))
    column_block = _block_size(columns, max(CHUNK // row_block, _TRANSPOSE_BLOCK))
    row_blocks, column_blocks = -(-rows // row_block), -(-columns // column_block)
    positions = math.prod(size for size, _, _ in outer)
    chunk = max(CHUNK // (row_block * column_block), 1)
    touched = positions * rows * columns
    builder.call(
        kernels.transpose.key(moved_as(x.dtype)),
        tasks=-(-positions // chunk) * row_blocks * column_blocks,
        x=part_of(x, touched),
        y=part_of(y, touched),
        chunk=chunk,
        rows=rows,
        columns=columns,
        row=row,
        column=column,
        row_block=row_block,
        column_block=column_block,
        row_blocks=row_blocks,
        column_blocks=column_blocks,
        **_outer_words(outer, _TRANSPOSE_DIMS),
    )


def _block_size(size: int, most: int) -> int:
    """The size of even blocks of at most `most`, whole register tiles where there are several."""
    blocks = -(-size // most)
    even = -(-size // blocks)
    return size if blocks == 1 else -(-even // _TILE) * _TILE


@emitter(Fill)
def fill(builder: Builder, job: Fill) -> None:
    """One value in chunks."""
    y = job.target
    dtype = moved_as(y.dtype)
    value = job.value or builder.constant(_ZEROS[dtype])
    builder.call(
        fill_kernel.key(dtype), tasks=-(-y.size // CHUNK), value=value, y=y, n=y.size, chunk=CHUNK
    )


_ZEROS = {f"u{8 * size}": np.zeros(1, f"u{size}") for size in (1, 2, 4, 8)}


def pad_spatial(builder: Builder, x: Tensor, begins: Sequence[int], ends: Sequence[int]) -> Tensor:
    """A channels-last tensor with zeros around its spatial dims, in scratch memory."""
    batch, *spatial, channels = x.shape
    padded = [b + dim + e for b, dim, e in zip(begins, spatial, ends, strict=True)]
    y = builder.scratch(x.dtype, (batch, *padded, channels))
    missing = 3 - len(spatial)
    in_d, in_h, in_w = [1] * missing + list(spatial)
    out_d, out_h, out_w = [1] * missing + padded
    begin_d, begin_h, begin_w = [0] * missing + list(begins)
    rows = batch * out_d * out_h
    chunk = max(CHUNK // max(out_w * channels, 1), 1)
    builder.call(
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
