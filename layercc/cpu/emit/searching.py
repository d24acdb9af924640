"""Emission of searches, of the best elements in order, and of running totals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from layercc.buffers import Tensor
from layercc.cpu.emit.builder import Builder
from layercc.cpu.emit.registry import emitter
from layercc.cpu.kernels import cumulate as cumulating
from layercc.cpu.kernels import search as searching
from layercc.cpu.kernels.selection import top_k as top_k_kernel
from layercc.jobs.reductions import along_axis
from layercc.jobs.searching import Cumulate, Search, TopK

#: Elements that a task looks at.
_SEARCH_TASK = 1 << 15
_TOP_K_TASK = 1 << 14
_TOP_K_FLOPS = 4  # an element


@emitter(Search)
def search(builder: Builder, job: Search) -> None:
    """Rows, or columns side by side."""
    x = job.x
    outer, n, inner = along_axis(x.shape, job.axis)
    params = (str(x.dtype), job.largest, job.last)
    if inner == 1:
        outer_block = max(1, _SEARCH_TASK // n)
        builder.call(
            searching.search_rows.key(*params),
            tasks=-(-outer // outer_block),
            flops=x.size,
            x=x, y=job.y, outer=outer, outer_block=outer_block, n=n,
        )  # fmt: skip
        return
    builder.call(
        searching.search_columns.key(*params),
        tasks=outer * -(-inner // searching.COLUMNS),
        flops=x.size,
        x=x, y=job.y, n=n, inner=inner,
    )  # fmt: skip


@emitter(TopK)
def top_k(builder: Builder, job: TopK) -> None:
    """Rows, which need not be dense, in chunks."""
    x = job.x
    outer, n, inner = along_axis(x.shape, job.axis)
    rows = outer * inner
    chunk = max(_TOP_K_TASK // max(n, 1), 1)
    builder.call(
        top_k_kernel.key(str(x.dtype), job.largest),
        tasks=-(-rows // chunk) if job.values.size else 0,
        flops=_TOP_K_FLOPS * x.size,
        x=x,
        values=job.values,
        indices=job.indices,
        rows=rows,
        n=n,
        k=job.values.shape[job.axis],
        inner=inner,
        chunk=chunk,
    )


@emitter(Cumulate)
def cumulate(builder: Builder, job: Cumulate) -> None:
    """One call; one for each axis, all but one of which do nothing, where only a run knows it."""
    x, axis = job.x, job.axis
    rank = len(x.shape)
    axes: Sequence[int]
    asked: dict[str, Any] = {}
    if isinstance(axis, Tensor):
        axes, asked = range(rank), {"axis": axis, "rank": rank}
    else:
        axes = [axis]
    for only in axes:
        outer, n, inner = along_axis(x.shape, only)
        builder.call(
            cumulating.cumulate.key(str(x.dtype), job.accumulator, job.product, job.exclusive),
            tasks=outer * -(-inner // cumulating.COLUMNS),
            flops=x.size,
            x=x, y=job.y, n=n, inner=inner, reverse=int(job.reverse), only=only, **asked,
        )  # fmt: skip
