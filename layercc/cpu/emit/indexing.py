"""Emission of reads and writes at run-time indices."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ir.diagnostics import UnsupportedError
from ir.dtypes import DType
from layercc.buffers import Tensor
from layercc.cpu.emit.builder import Builder, part_of
from layercc.cpu.emit.movement import CHUNK, moved_as
from layercc.cpu.emit.registry import emitter
from layercc.cpu.kernels import gathering as kernels
from layercc.jobs import indexing as jobs
from layercc.jobs.movement import strides_of
from layercc.kernels.element_types import ELEMENT_TYPES

#: Indices that a task looks up at least.
_LOOKUPS = 1 << 12


@emitter(jobs.Bound)
def bound(builder: Builder, job: jobs.Bound) -> None:
    """One task: such tensors are small."""
    builder.call(
        kernels.in_range.key(str(job.x.dtype)),
        tasks=int(job.x.size > 0),
        x=job.x,
        y=job.y,
        n=job.x.size,
        low=job.low,
        high=job.high,
        fault=builder.check(job.check),
    )


@emitter(jobs.Gather)
def gather(builder: Builder, job: jobs.Gather) -> None:
    """Slices in chunks."""
    x, indices, axis = job.x, job.indices, job.axis
    outer, size = math.prod(x.shape[:axis]), x.shape[axis]
    inner = math.prod(x.shape[axis + 1 :])
    reporting: Any = {} if job.check is None else {"fault": builder.check(job.check)}
    slices = outer * indices.size
    chunk = max(min(CHUNK // max(inner, 1), _LOOKUPS), 1)
    builder.call(
        kernels.gather.key(moved_as(x.dtype), str(indices.dtype)),
        tasks=-(-slices // chunk),
        x=part_of(x, job.y.size),
        indices=indices,
        y=job.y,
        outer=outer,
        size=size,
        count=indices.size,
        inner=inner if x.size else 0,
        chunk=chunk,
        **reporting,
    )


def _dims(builder: Builder, sizes: Sequence[int], strides: Sequence[int]) -> Tensor:
    """Sizes and strides as a constant table."""
    table = np.array([*zip(sizes, strides, strict=True)] or [(1, 0)], np.int64)
    return builder.constant(table)


def _element_dims(builder: Builder, x: Tensor, indices: Tensor, axis: int) -> Tensor:
    """The sizes of the indices, and how x is walked beside them: not along the axis."""
    others = [0 if d == axis else s for d, s in enumerate(strides_of(x.shape))]
    return _dims(builder, indices.shape, others)


@emitter(jobs.GatherElements)
def gather_elements(builder: Builder, job: jobs.GatherElements) -> None:
    """Elements in chunks."""
    x, indices, axis = job.x, job.indices, job.axis
    builder.call(
        kernels.gather_elements.key(moved_as(x.dtype), str(indices.dtype)),
        tasks=-(-indices.size // _LOOKUPS),
        x=part_of(x, indices.size),
        indices=indices,
        y=job.y,
        dims=_element_dims(builder, x, indices, axis),
        rank=len(indices.shape),
        size=x.shape[axis],
        stride=strides_of(x.shape)[axis],
        n=indices.size,
        chunk=_LOOKUPS,
        fault=builder.check(job.check),
    )


@emitter(jobs.GatherND)
def gather_nd(builder: Builder, job: jobs.GatherND) -> None:
    """Tuples in chunks."""
    x, indices, batch = job.x, job.indices, job.batch_dims
    length = indices.shape[-1]
    span = slice(batch, batch + length)
    inner = math.prod(x.shape[batch + length :])
    count = math.prod(indices.shape[:-1])
    chunk = max(min(CHUNK // max(inner, 1), _LOOKUPS), 1)
    builder.call(
        kernels.gather_nd.key(moved_as(x.dtype)),
        tasks=-(-count // chunk),
        x=part_of(x, job.y.size),
        indices=indices,
        y=job.y,
        dims=_dims(builder, x.shape[span], strides_of(x.shape)[span]),
        length=length,
        tuples=max(math.prod(indices.shape[batch:-1]), 1),
        batch_stride=math.prod(x.shape[batch:]),
        count=count,
        inner=inner if x.size else 0,
        chunk=chunk,
        fault=builder.check(job.check),
    )


def _scattered_as(dtype: DType, reduction: str) -> str:
    """The type under which updates are handled: by size if they are only moved."""
    if reduction == "none":
        return moved_as(dtype)
    if str(dtype) not in ELEMENT_TYPES or dtype is DType.bool:
        raise UnsupportedError(f"no kernel for reduction {reduction!r} of {dtype}")
    return str(dtype)


@emitter(jobs.ScatterElements)
def scatter_elements(builder: Builder, job: jobs.ScatterElements) -> None:
    """One task: the last of several updates wins."""
    y, indices, axis = job.y, job.indices, job.axis
    dtype = _scattered_as(y.dtype, job.reduction)
    builder.call(
        kernels.scatter_elements.key(dtype, str(indices.dtype), job.reduction),
        tasks=int(indices.size > 0),
        y=part_of(y, job.updates.size),
        indices=indices,
        updates=job.updates,
        dims=_element_dims(builder, y, indices, axis),
        rank=len(indices.shape),
        size=y.shape[axis],
        stride=strides_of(y.shape)[axis],
        n=indices.size,
        fault=builder.check(job.check),
    )


@emitter(jobs.ScatterND)
def scatter_nd(builder: Builder, job: jobs.ScatterND) -> None:
    """One task: the last of several updates wins."""
    y, indices = job.y, job.indices
    length = indices.shape[-1]
    builder.call(
        kernels.scatter_nd.key(_scattered_as(y.dtype, job.reduction), job.reduction),
        tasks=1,
        y=part_of(y, job.updates.size),
        indices=indices,
        updates=job.updates,
        dims=_dims(builder, y.shape[:length], strides_of(y.shape)[:length]),
        length=length,
        count=math.prod(indices.shape[:-1]),
        inner=math.prod(y.shape[length:]) if y.size else 0,
        fault=builder.check(job.check),
    )


@emitter(jobs.WriteSequence)
def write_sequence(builder: Builder, job: jobs.WriteSequence) -> None:
    """A task for each row of batch and outer dims."""
    x, y, axis = job.x, job.y, job.axis
    rows = math.prod(y.shape[1:axis])
    builder.call(
        kernels.write_sequence.key(moved_as(y.dtype)),
        tasks=y.shape[0] * rows if y.size and x.size else 0,
        x=x,
        starts=job.starts,
        y=part_of(y, x.size),
        rows=rows,
        size=y.shape[axis],
        count=x.shape[axis],
        inner=math.prod(y.shape[axis + 1 :]),
        circular=int(job.circular),
    )


@emitter(jobs.OneHot)
def one_hot(builder: Builder, job: jobs.OneHot) -> None:
    """Off everywhere, then on where the indices say."""
    y, axis = job.y, job.axis
    outer, inner = math.prod(y.shape[:axis]), math.prod(y.shape[axis + 1 :])
    depth = y.shape[axis]
    chunk = max(CHUNK // max(depth * inner, 1), 1)
    builder.call(
        kernels.one_hot.key(moved_as(job.values.dtype), str(job.indices.dtype)),
        tasks=-(-outer // chunk) if y.size else 0,
        indices=job.indices,
        values=job.values,
        y=y,
        outer=outer,
        depth=depth,
        inner=inner,
        chunk=chunk,
    )


@emitter(jobs.ReverseSequence)
def reverse_sequence(builder: Builder, job: jobs.ReverseSequence) -> None:
    """Positions of time and batch, and of the dims before and between, in chunks."""
    x, shape = job.x, job.x.shape
    first, second = sorted((job.time_axis, job.batch_axis))
    n0, n2 = math.prod(shape[:first]), math.prod(shape[first + 1 : second])
    inner = math.prod(shape[second + 1 :])
    positions = n0 * shape[first] * n2 * shape[second]
    chunk = max(min(CHUNK // max(inner, 1), _LOOKUPS), 1)
    builder.call(
        kernels.reverse_sequence.key(moved_as(x.dtype)),
        tasks=-(-positions // chunk) if x.size else 0,
        x=x,
        lengths=job.lengths,
        y=job.y,
        n0=n0,
        n1=shape[first],
        n2=n2,
        n3=shape[second],
        inner=inner,
        batch_first=int(job.batch_axis < job.time_axis),
        chunk=chunk,
    )


@emitter(jobs.Triangle)
def triangle(builder: Builder, job: jobs.Triangle) -> None:
    """Rows of all matrices in chunks."""
    x = job.x
    *_, height, width = x.shape
    rows = math.prod(x.shape[:-1])
    chunk = max(CHUNK // max(width, 1), 1)
    builder.call(
        kernels.triangle.key(moved_as(x.dtype)),
        tasks=-(-rows // chunk) if x.size else 0,
        x=x,
        k=job.k,
        y=job.y,
        rows=rows,
        height=height,
        width=width,
        upper=int(job.upper),
        chunk=chunk,
    )
