"""Emission of reductions: long ones are split into parts, whose totals are combined."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ir.dtypes import DType
from layercc.cuda.emit.builder import Builder, countable
from layercc.cuda.emit.registry import emitter
from layercc.cuda.kernels.reduce import THREADS, WARP, reduce_columns, reduce_rows
from layercc.jobs.reductions import Reduction

#: Elements up to which a warp has a row; those of a part; those from which there are parts.
WARP_ROW, _PART, _LONG = 1024, 1 << 13, 1 << 15


@emitter(Reduction)
def reduction(builder: Builder, job: Reduction) -> None:
    """One launch, or one for the totals of parts and one that combines them.

    Parts depend on what is reduced alone, so that a sample gives the same within any batch.
    """
    outer, reduced, inner = job.shape
    countable("a reduction", outer * reduced * inner)
    whole = reduced // _PART * _PART
    if reduced < _LONG or job.shift is not None or whole != reduced:
        _reduce(builder, job)
        return
    parts = reduced // _PART
    totals = builder.scratch(DType[job.recipe.accumulator], (outer, parts, inner))
    shape = (outer * parts, _PART, inner)
    _reduce(builder, replace(job, y=totals, shape=shape, recipe=job.recipe.partial()))
    shape = (outer, parts, inner)
    _reduce(builder, replace(job, x=totals, shape=shape, recipe=job.recipe.combining()))


def _reduce(builder: Builder, job: Reduction) -> None:
    outer, reduced, inner = job.shape
    recipe = job.recipe
    steps = (recipe.of_element(job.x.dtype), recipe.of_total(job.y.dtype), recipe.combine)
    words: dict[str, Any] = {} if job.shift is None else {"shift": job.shift}
    words |= {"x": job.x, "y": job.y, "outer": outer, "reduced": reduced}
    flops = outer * reduced * inner * (1 + 2 * len(recipe.before))
    if inner == 1:
        warp = reduced <= WARP_ROW
        blocks = -(-outer // (THREADS // WARP)) if warp else outer
        key = reduce_rows.key(*steps, warp)
    else:
        column_blocks = -(-inner // WARP)
        blocks = outer * column_blocks
        words |= {"inner": inner, "column_blocks": column_blocks}
        key = reduce_columns.key(*steps)
    builder.call(key, blocks, flops=flops, count=float(job.count), **words)
