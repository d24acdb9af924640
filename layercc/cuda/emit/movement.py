"""Emission of moves: strided copies in wide accesses, transposes in shared memory, fills."""

from __future__ import annotations

import math
from typing import Any

from ir.diagnostics import UnsupportedError
from ir.dtypes import DType
from layercc.buffers import Tensor
from layercc.cuda.emit.builder import Builder, countable
from layercc.cuda.emit.registry import emitter
from layercc.cuda.kernels import movement as kernels
from layercc.jobs.movement import Fill, Move
from layercc.kernels.element_types import UNSIGNED

#: The widest element that is moved as one, in bytes, and how many of them a thread moves at once.
_WIDEST, _AT_ONCE = 8, 2

StridedDim = tuple[int, int, int]  # size, source stride, target stride


def moved_as(dtype: DType) -> str:
    """The unsigned type under which movement kernels handle elements of `dtype`.

    Raises UnsupportedError for elements of 16 bytes (c128).
    """
    if dtype.itemsize not in UNSIGNED:
        raise UnsupportedError(f"no kernel moves elements of type {dtype}")
    return UNSIGNED[dtype.itemsize]


def moved_together(inner: int, *tensors: Tensor) -> tuple[str, int, int]:
    """The unsigned type as which slices of `inner` dense elements are moved, how many of it they
    are, and how many elements each of it is: as wide as slices and places allow.

    Raises UnsupportedError for elements of 16 bytes.
    """
    moved_as(tensors[0].dtype)
    size = tensors[0].dtype.itemsize
    together = 1
    while (
        2 * together * size <= _WIDEST
        and inner % (2 * together) == 0
        and not any(tensor.offset % (2 * together * size) for tensor in tensors)
    ):
        together *= 2
    return UNSIGNED[together * size], inner // together, together


@emitter(Move)
def move(builder: Builder, job: Move) -> None:
    """Squares turned in shared memory, or elements copied with strides."""
    moved_as(job.source.dtype)  # elements that cannot be moved, however few
    if 0 in job.shape:
        return
    countable("a copy", math.prod(job.shape))
    size = job.source.dtype.itemsize
    source = job.source.moved(job.source_start * size)
    target = job.target.moved(job.target_start * size)
    dims = job.dims()
    *outer, last = dims
    along_x = next((dim for dim in outer if dim[1] == 1), None)
    if last[2] == 1 and last[1] > 1 and along_x is not None:
        outer.remove(along_x)
        _transpose(builder, source, target, outer, along_x, last)
    else:
        _strided(builder, source, target, dims)


def _strided(builder: Builder, source: Tensor, target: Tensor, dims: list[StridedDim]) -> None:
    size = source.dtype.itemsize
    together = 1  # neighbours that are moved as one element
    while 2 * together * size <= _WIDEST and _divide(source, target, dims, 2 * together):
        together *= 2
    wide = together
    if together * size == _WIDEST and _divide(source, target, dims, _AT_ONCE * together):
        wide *= _AT_ONCE
    *outer, (inner, s, t) = dims
    dims = [(count, s // together, t // together) for count, s, t in outer]
    dims.append((inner // together, s, t))
    n = math.prod(n for n, _, _ in dims)
    width = wide // together
    words: dict[str, Any] = {}
    for d, (count, s, t) in enumerate(dims):
        words |= {f"size{d}": count, f"s{d}": s, f"t{d}": t}
    builder.call(
        kernels.strided_copy.key(UNSIGNED[size * together], len(dims), width),
        -(-n // (kernels.THREADS * width)),
        x=source,
        y=target,
        n=n,
        **words,
    )


def _divide(source: Tensor, target: Tensor, dims: list[StridedDim], together: int) -> bool:
    """Whether so many neighbours along the last dim can be moved as one."""
    *outer, (n, s, t) = dims
    steps = [n, *(step for _, *walk in outer for step in walk)]
    nbytes = together * source.dtype.itemsize
    offsets = (source.offset, target.offset)
    return (
        (s, t) == (1, 1)
        and not any(step % together for step in steps)
        and not any(offset % nbytes for offset in offsets)
    )


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
    row_blocks, column_blocks = (-(-size // kernels.SIDE) for size in (rows, columns))
    words: dict[str, Any] = {}
    for d, (size, s, t) in enumerate(outer):
        words |= {f"size{d}": size, f"s{d}": s, f"t{d}": t}
    builder.call(
        kernels.transpose.key(moved_as(x.dtype), len(outer)),
        math.prod(size for size, _, _ in outer) * row_blocks * column_blocks,
        x=x,
        y=y,
        rows=rows,
        columns=columns,
        row=row,
        column=column,
        row_blocks=row_blocks,
        column_blocks=column_blocks,
        **words,
    )


@emitter(Fill)
def fill(builder: Builder, job: Fill) -> None:
    """One value, a thread an element."""
    n = countable("a fill", job.target.size)
    words: dict[str, Any] = {} if job.value is None else {"value": job.value}
    builder.call(
        kernels.fill.key(moved_as(job.target.dtype), job.value is not None),
        -(-n // kernels.THREADS),
        y=job.target,
        n=n,
        **words,
    )
