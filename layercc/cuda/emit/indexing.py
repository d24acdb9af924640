"""Emission of reads at places that only a run knows."""

from __future__ import annotations

from ir.diagnostics import UnsupportedError
from layercc.buffers import Tensor
from layercc.cuda.emit.builder import Builder, countable
from layercc.cuda.emit.movement import moved_as
from layercc.cuda.emit.registry import emitter
from layercc.cuda.kernels import indexing as kernels
from layercc.jobs.indexing import Gather
from layercc.jobs.reductions import along_axis


@emitter(Gather)
def gather(builder: Builder, job: Gather) -> None:
    """An element a thread. Raises UnsupportedError where only a run can check the indices."""
    _, size, inner = along_axis(job.x.shape, job.axis)
    if job.check is not None and not _are_known(job.indices, size):
        raise UnsupportedError("no kernel for a GPU checks indices yet")
    n = countable("a gather", job.y.size)
    countable("what is gathered from", job.x.size)
    builder.call(
        kernels.gather.key(moved_as(job.x.dtype), str(job.indices.dtype)),
        -(-n // kernels.THREADS),
        x=job.x,
        indices=job.indices,
        y=job.y,
        n=n,
        size=size,
        count=job.indices.size,
        inner=inner,
    )


def _are_known(indices: Tensor, size: int) -> bool:
    """Whether these are constants in range."""
    array = indices.array
    return array is not None and bool(((array >= -size) & (array < size)).all())
