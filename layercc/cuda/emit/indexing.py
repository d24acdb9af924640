"""Emission of reads and writes at places that only a run knows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ir.diagnostics import UnsupportedError
from ir.dtypes import DType
from layercc.buffers import Tensor
from layercc.cuda.emit.builder import Builder, countable
from layercc.cuda.emit.movement import moved_as, moved_together
from layercc.cuda.emit.registry import emitter
from layercc.cuda.kernels import indexing as kernels
from layercc.cuda.kernels import placing as placing_kernels
from layercc.cuda.kernels import scatter as scatter_kernels
from layercc.jobs import indexing as jobs
from layercc.jobs.movement import strides_of
from layercc.jobs.pointwise import collapse
from layercc.jobs.reductions import along_axis
from layercc.kernels.element_types import ELEMENT_TYPES

#: Lines of a scatter from which a warp has neighbouring ones, and how many.
_LEAST_LINES, _LANES = 8, 32
#: Blocks that a scatter is spread over, and places for which an owner is worth while.
_SCATTER_BLOCKS, _PLACES_OF_OWNER = 256, 4


@emitter(jobs.Gather)
def gather(builder: Builder, job: jobs.Gather) -> None:
    """An element a thread, and where indices are checked a launch that tells which was wrong."""
    _, size, inner = along_axis(job.x.shape, job.axis)
    countable("what is gathered from", job.x.size)
    countable("a gather", job.y.size)
    checked = job.check is not None and not _are_known(job.indices, size)
    fault = builder.check(job.check) if job.check is not None and checked else {}
    words: dict[str, Any] = {"fault": fault} if checked else {}
    dtype, inner, together = moved_together(inner, job.x, job.y)
    n = job.y.size // together if job.x.size else 0
    builder.call(
        kernels.gather.key(dtype, str(job.indices.dtype), checked),
        -(-n // kernels.THREADS),
        x=job.x,
        indices=job.indices,
        y=job.y,
        n=n,
        size=size,
        count=job.indices.size,
        inner=inner,
        **words,
    )
    if checked and not n:
        _inspect(builder, job.indices, [(size, 0)], fault)
    if checked:
        tell(builder, job.indices, -size, size - 1, fault)


@emitter(jobs.Bound)
def bound(builder: Builder, job: jobs.Bound) -> None:
    """An element a thread, and a launch that tells which was wrong."""
    n = countable("what is checked", job.x.size)
    fault = builder.check(job.check)
    builder.call(
        kernels.bound.key(str(job.x.dtype)), -(-n // kernels.THREADS),
        x=job.x, y=job.y, n=n, low=job.low, high=job.high, fault=fault,
    )  # fmt: skip
    tell(builder, job.x, job.low, job.high, fault)


def tell(builder: Builder, x: Tensor, low: int, high: int, fault: dict[str, Any]) -> None:
    """The launch that writes down the value whose place a kernel before it reported."""
    blocks = int(x.size > 0)
    key = kernels.tell.key(str(x.dtype))
    builder.call(key, blocks, x=x, n=x.size, low=low, high=high, fault=fault)


def _are_known(indices: Tensor, size: int) -> bool:
    """Whether these are constants in range."""
    array = indices.array
    return array is not None and bool(((array >= -size) & (array < size)).all())


Dims = Sequence[tuple[int, int]]  # (size, stride) a dim


def _dims(dims: Dims) -> list[dict[str, int]]:
    """Records `layercc.cuda.kernels.indexing.DIM`."""
    return [{"size": size, "stride": stride} for size, stride in dims]


def _inspect(builder: Builder, indices: Tensor, dims: Dims, fault: dict[str, Any]) -> None:
    """Indices are checked, tuples for `dims`, where nothing is read or written at them."""
    n = indices.size // max(len(dims), 1)
    key = kernels.inspect.key(str(indices.dtype), len(dims))
    blocks = -(-n // kernels.THREADS)
    builder.call(key, blocks, indices=indices, n=n, dims=_dims(dims), fault=fault)


def _tell_tuple(builder: Builder, indices: Tensor, dims: Dims, fault: dict[str, Any]) -> None:
    blocks = int(indices.size > 0)
    key = kernels.tell_tuple.key(len(dims))
    builder.call(key, blocks, x=indices, n=indices.size, dims=_dims(dims), fault=fault)


def _beside(x: Tensor, indices: Tensor, axis: int) -> Dims:
    """The dims of the indices, and how x is walked beside them: not along the axis."""
    others = [0 if d == axis else s for d, s in enumerate(strides_of(x.shape))]
    sizes, (strides,) = collapse(indices.shape, [others])
    return list(zip(sizes, strides, strict=True))


@emitter(jobs.GatherElements)
def gather_elements(builder: Builder, job: jobs.GatherElements) -> None:
    """An element a thread, and a launch that tells which index was wrong."""
    x, indices, axis = job.x, job.indices, job.axis
    n = countable("a gather", indices.size)
    countable("what is gathered from", x.size)
    dims, fault, size = _beside(x, indices, axis), builder.check(job.check), x.shape[axis]
    builder.call(
        kernels.gather_elements.key(moved_as(x.dtype), str(indices.dtype), len(dims)),
        -(-n // kernels.THREADS),
        x=x,
        indices=indices,
        y=job.y,
        n=n,
        size=size,
        stride=strides_of(x.shape)[axis],
        dims=_dims(dims),
        fault=fault,
    )
    tell(builder, indices, -size, size - 1, fault)


@emitter(jobs.GatherND)
def gather_nd(builder: Builder, job: jobs.GatherND) -> None:
    """An element a thread, and a launch that tells which index was wrong."""
    x, indices, batch = job.x, job.indices, job.batch_dims
    countable("a gather", job.y.size)
    countable("what is gathered from", x.size)
    length = indices.shape[-1]
    span = slice(batch, batch + length)
    dtype, inner, together = moved_together(math.prod(x.shape[batch + length :]), x, job.y)
    dims = [
        (size, stride // together)
        for size, stride in zip(x.shape[span], strides_of(x.shape)[span], strict=True)
    ]
    n = job.y.size // together if x.size else 0
    fault = builder.check(job.check)
    builder.call(
        kernels.gather_nd.key(dtype, length),
        -(-n // kernels.THREADS),
        x=x,
        indices=indices,
        y=job.y,
        n=n,
        inner=inner,
        tuples=max(math.prod(indices.shape[batch:-1]), 1),
        batch_stride=math.prod(x.shape[batch:]) // together,
        dims=_dims(dims),
        fault=fault,
    )
    if not n:
        _inspect(builder, indices, dims, fault)
    _tell_tuple(builder, indices, dims, fault)


def _scattered_as(dtype: DType, reduction: str) -> str:
    """The type under which updates are handled: by size if they are only moved."""
    if reduction == "none":
        return moved_as(dtype)
    if str(dtype) not in ELEMENT_TYPES or dtype is DType.bool:
        raise UnsupportedError(f"no kernel for reduction {reduction!r} of {dtype}")
    return str(dtype)


def _spread(lines: int, places: int, updates: int) -> tuple[int, int, int]:
    """(lanes, parts of the owners, blocks) of a scatter: owners enough for the places that updates
    go to, but no more blocks than keep a device busy."""
    lanes = _LANES if lines >= _LEAST_LINES else 1
    groups = max(-(-lines // lanes), 1)
    owners = -(-min(places, updates) // _PLACES_OF_OWNER)
    wanted = -(-owners * lanes // scatter_kernels.THREADS)
    parts = max(min(wanted, _SCATTER_BLOCKS // groups), 1)
    return lanes, parts, groups * parts


@emitter(jobs.ScatterElements)
def scatter_elements(builder: Builder, job: jobs.ScatterElements) -> None:
    """One launch, and one that tells which index was wrong."""
    y, indices, axis = job.y, job.indices, job.axis
    dtype = _scattered_as(y.dtype, job.reduction)
    countable("updates", indices.size)
    countable("what is scattered to", y.size)
    fault, size = builder.check(job.check), y.shape[axis]
    outer, count, inner = along_axis(indices.shape, axis)
    others = indices.shape[:axis] + indices.shape[axis + 1 :]
    strides = list(strides_of(y.shape))
    stride = strides.pop(axis)
    sizes, (walk,) = collapse(others, [strides])
    lanes, parts, blocks = _spread(outer * inner, size, count)
    builder.call(
        scatter_kernels.scatter_elements.key(
            dtype, str(indices.dtype), job.reduction, lanes, len(sizes)
        ),
        blocks if indices.size else 0,
        y=y,
        indices=indices,
        updates=job.updates,
        lines=outer * inner,
        inner=inner,
        count=count,
        size=size,
        stride=stride,
        parts=parts,
        dims=_dims(list(zip(sizes, walk, strict=True))),
        fault=fault,
    )
    tell(builder, indices, -size, size - 1, fault)


@emitter(jobs.ScatterND)
def scatter_nd(builder: Builder, job: jobs.ScatterND) -> None:
    """One launch, and one that tells which index was wrong."""
    y, indices = job.y, job.indices
    length, count = indices.shape[-1], math.prod(indices.shape[:-1])
    countable("updates", max(job.updates.size, indices.size))
    countable("what is scattered to", y.size)
    dtype, inner = _scattered_as(y.dtype, job.reduction), math.prod(y.shape[length:])
    if job.reduction == "none":
        dtype, inner, _ = moved_together(inner, y, job.updates)
    sizes = y.shape[:length]
    dims = list(zip(sizes, strides_of(sizes), strict=True))
    fault = builder.check(job.check)
    lanes, parts, blocks = _spread(inner, math.prod(sizes), count)
    written = bool(count and inner and y.size)
    builder.call(
        scatter_kernels.scatter_nd.key(dtype, job.reduction, lanes, length),
        blocks if written else 0,
        y=y,
        indices=indices,
        updates=job.updates,
        count=count,
        inner=inner,
        parts=parts,
        dims=_dims(dims),
        fault=fault,
    )
    if not written:
        _inspect(builder, indices, dims, fault)
    _tell_tuple(builder, indices, dims, fault)


@emitter(jobs.WriteSequence)
def write_sequence(builder: Builder, job: jobs.WriteSequence) -> None:
    """An element a thread."""
    x, y, axis = job.x, job.y, job.axis
    countable("a sequence", max(x.size, y.size))
    dtype, inner, together = moved_together(math.prod(y.shape[axis + 1 :]), x, y)
    n = x.size // together if y.size else 0
    builder.call(
        placing_kernels.write_sequence.key(dtype, job.circular),
        -(-n // placing_kernels.THREADS),
        x=x,
        starts=job.starts,
        y=y,
        n=n,
        rows=math.prod(y.shape[1:axis]),
        size=y.shape[axis],
        count=x.shape[axis],
        inner=inner,
    )


@emitter(jobs.OneHot)
def one_hot(builder: Builder, job: jobs.OneHot) -> None:
    """An element a thread."""
    n = countable("marks", job.y.size)
    _, depth, inner = along_axis(job.y.shape, job.axis)
    builder.call(
        placing_kernels.one_hot.key(moved_as(job.values.dtype), str(job.indices.dtype)),
        -(-n // placing_kernels.THREADS),
        indices=job.indices,
        values=job.values,
        y=job.y,
        n=n,
        depth=depth,
        inner=inner,
    )


@emitter(jobs.ReverseSequence)
def reverse_sequence(builder: Builder, job: jobs.ReverseSequence) -> None:
    """An element a thread."""
    x, shape = job.x, job.x.shape
    countable("sequences", x.size)
    first, second = sorted((job.time_axis, job.batch_axis))
    dtype, inner, together = moved_together(math.prod(shape[second + 1 :]), x, job.y)
    n = x.size // together
    builder.call(
        placing_kernels.reverse_sequence.key(dtype, job.batch_axis < job.time_axis),
        -(-n // placing_kernels.THREADS),
        x=x,
        lengths=job.lengths,
        y=job.y,
        n=n,
        n1=shape[first],
        n2=math.prod(shape[first + 1 : second]),
        n3=shape[second],
        inner=inner,
    )


@emitter(jobs.Triangle)
def triangle(builder: Builder, job: jobs.Triangle) -> None:
    """An element a thread."""
    n = countable("triangles", job.x.size)
    *_, height, width = job.x.shape
    builder.call(
        placing_kernels.triangle.key(moved_as(job.x.dtype), job.upper),
        -(-n // placing_kernels.THREADS),
        x=job.x,
        k=job.k,
        y=job.y,
        n=n,
        height=height,
        width=width,
    )
