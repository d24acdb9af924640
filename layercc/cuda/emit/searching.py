"""Emission of searches for the largest and smallest elements."""

from __future__ import annotations

from layercc.cuda.emit.builder import Builder, countable
from layercc.cuda.emit.registry import emitter
from layercc.cuda.kernels import search as kernels
from layercc.jobs.reductions import along_axis
from layercc.jobs.searching import Search


@emitter(Search)
def search(builder: Builder, job: Search) -> None:
    """One launch."""
    outer, n, inner = along_axis(job.x.shape, job.axis)
    countable("what is searched", job.x.size)
    total, rows = outer * inner, inner == 1
    columns = kernels.THREADS // kernels.WARP if rows else kernels.THREADS
    builder.call(
        kernels.search.key(str(job.x.dtype), job.largest, job.last, rows), -(-total // columns),
        x=job.x, y=job.y, total=total, n=n, inner=inner,
    )  # fmt: skip
