"""Emission of searches, of the best elements in order, and of running totals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ir.dtypes import DType
from layercc.buffers import Tensor
from layercc.cuda.emit.builder import Builder, countable
from layercc.cuda.emit.registry import emitter
from layercc.cuda.kernels import cumulate as cumulating
from layercc.cuda.kernels import search as kernels
from layercc.cuda.kernels import selection
from layercc.jobs.reductions import along_axis
from layercc.jobs.searching import Cumulate, Search, TopK

_SORT_FLOPS = 4  # an element


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


@emitter(TopK)
def top_k(builder: Builder, job: TopK) -> None:
    """Tiles sorted, then sorted runs merged in pairs until a row is one."""
    x, k = job.x, along_axis(job.values.shape, job.axis)[1]
    _, n, inner = along_axis(x.shape, job.axis)
    rows = countable("what is sorted", x.size) // max(n, 1)
    if not job.values.size:
        return
    params = (str(x.dtype), job.largest)
    size = min(1 << max(n - 1, 1).bit_length(), selection.TILE)
    runs, kept = -(-n // size), min(k, size)
    final = runs == 1
    values, indices = _runs(builder, job, rows, runs, kept)
    builder.call(
        selection.sorted_tiles.key(*params, final), -(-rows * runs * size // selection.TILE),
        flops=_SORT_FLOPS * x.size,
        x=x, values=values, indices=indices, rows=rows, n=n, inner=inner, runs=runs, size=size,
        kept=kept,
    )  # fmt: skip
    while not final:
        had, pairs = kept, -(-runs // 2)
        kept, final = min(k, 2 * had), pairs == 1
        x, places = values, indices
        values, indices = _runs(builder, job, rows, pairs, kept)
        total = countable("runs that are merged", rows * 2 * pairs * had)
        builder.call(
            selection.merged_runs.key(*params, final), -(-total // selection.THREADS),
            x=x, places=places, values=values, indices=indices, n=total, inner=inner, runs=runs,
            had=had, kept=kept,
        )  # fmt: skip
        runs = pairs


def _runs(builder: Builder, job: TopK, rows: int, runs: int, kept: int) -> tuple[Tensor, Tensor]:
    """Where sorted runs go: a single one of each row is the result."""
    if runs == 1:
        return job.values, job.indices
    shape = (rows, runs, kept)
    return builder.scratch(job.x.dtype, shape), builder.scratch(DType.i32, shape)


@emitter(Cumulate)
def cumulate(builder: Builder, job: Cumulate) -> None:
    """Piece by piece; for each axis, all but one of which do nothing, where only a run knows it."""
    countable("a running total", job.x.size)
    axis, rank = job.axis, len(job.x.shape)
    axes: Sequence[int]
    words: dict[str, Any] = {"reverse": int(job.reverse)}
    if isinstance(axis, Tensor):
        axes = range(rank)
        words |= {"axis": axis, "rank": rank}
    else:
        axes = [axis]
    for only in axes:
        shape = along_axis(job.x.shape, only)
        _cumulate(builder, job, job.x, job.y, shape, job.exclusive, {**words, "only": only})


def _cumulate(
    builder: Builder,
    job: Cumulate,
    x: Tensor,
    y: Tensor,
    shape: tuple[int, int, int],
    exclusive: bool,
    words: dict[str, Any],
) -> None:
    """Running totals of x, seen as [outer, n, inner], go to y."""
    outer, n, inner = shape
    if not outer * n * inner:
        return
    pieces = -(-n // cumulating.PIECE)
    total = outer * pieces * inner
    blocks = -(-total // cumulating.THREADS)
    params = (str(x.dtype), job.accumulator, job.product)
    sizes: dict[str, Any] = {"total": total, "n": n, "inner": inner}
    before: dict[str, Any] = {}
    if pieces > 1:
        kind, whole = DType[job.accumulator], (outer, pieces, inner)
        totals, before["before"] = builder.scratch(kind, whole), builder.scratch(kind, whole)
        key = cumulating.piece_totals.key(*params)
        builder.call(key, blocks, x=x, y=totals, **sizes, **words)
        inner_words = {**words, "reverse": 0}  # pieces are numbered in the order of the walk
        _cumulate(builder, job, totals, before["before"], whole, True, inner_words)
    builder.call(
        cumulating.cumulate.key(*params, exclusive, pieces > 1), blocks,
        flops=outer * n * inner, x=x, y=y, **sizes, **before, **words,
    )  # fmt: skip
