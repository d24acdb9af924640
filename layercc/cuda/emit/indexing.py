"""Emission of reads at places that only a run knows."""

from __future__ import annotations

from typing import Any

from layercc.buffers import Tensor
from layercc.cuda.emit.builder import Builder, countable
from layercc.cuda.emit.movement import moved_as
from layercc.cuda.emit.registry import emitter
from layercc.cuda.kernels import indexing as kernels
from layercc.jobs.indexing import Bound, Gather
from layercc.jobs.reductions import along_axis


@emitter(Gather)
def gather(builder: Builder, job: Gather) -> None:
    """An element a thread, and where indices are checked a launch that tells which was wrong."""
    _, size, inner = along_axis(job.x.shape, job.axis)
    n = countable("a gather", job.y.size)
    countable("what is gathered from", job.x.size)
    checked = job.check is not None and not _are_known(job.indices, size)
    fault = builder.check(job.check) if job.check is not None and checked else {}
    words: dict[str, Any] = {"fault": fault} if checked else {}
    builder.call(
        kernels.gather.key(moved_as(job.x.dtype), str(job.indices.dtype), checked),
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
    if checked and n:
        tell(builder, job.indices, -size, size - 1, fault)


@emitter(Bound)
def bound(builder: Builder, job: Bound) -> None:
    """An element a thread, and a launch that tells which was wrong."""
    n = countable("what is checked", job.x.size)
    fault = builder.check(job.check)
    builder.call(
        kernels.bound.key(str(job.x.dtype)), -(-n // kernels.THREADS),
        x=job.x, y=job.y, n=n, low=job.low, high=job.high, fault=fault,
    )  # fmt: skip
    if n:
        tell(builder, job.x, job.low, job.high, fault)


def tell(builder: Builder, x: Tensor, low: int, high: int, fault: dict[str, Any]) -> None:
    builder.call(kernels.tell.key(str(x.dtype)), 1, x=x, n=x.size, low=low, high=high, fault=fault)


def _are_known(indices: Tensor, size: int) -> bool:
    """Whether these are constants in range."""
    array = indices.array
    return array is not None and bool(((array >= -size) & (array < size)).all())
