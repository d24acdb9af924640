"""Emission of reductions: long ones are split into blocks, whose totals are combined."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ir.dtypes import DType
from layercc.cpu.emit.builder import Builder
from layercc.cpu.emit.registry import emitter
from layercc.cpu.kernels.reduce import COLUMNS, reduce_columns, reduce_rows
from layercc.jobs.reductions import Reduction

#: Elements of a task.
_TASK = 1 << 15


@emitter(Reduction)
def reduction(builder: Builder, job: Reduction) -> None:
    """One call, or one for the totals of blocks and a job that combines them."""
    outer, reduced, inner = job.shape
    block = _block(outer, reduced, inner)
    if block >= reduced:
        _reduce(builder, job, block)
        return
    blocks = -(-reduced // block)
    totals = builder.scratch(DType[job.recipe.accumulator], (outer, blocks, inner))
    _reduce(builder, replace(job, y=totals, recipe=job.recipe.partial()), block)
    shape = outer, blocks, inner
    builder.emit(replace(job, x=totals, shape=shape, recipe=job.recipe.combining()))


def _reduce(builder: Builder, job: Reduction, block: int) -> None:
    """The call that gives a total for each block."""
    outer, reduced, inner = job.shape
    blocks = max(-(-reduced // block), 1)
    parts = -(-inner // COLUMNS)
    outer_block = max(1, _TASK // max(min(reduced, block) * min(inner, COLUMNS), 1))
    family = reduce_rows if inner == 1 else reduce_columns
    optional: dict[str, Any] = {}
    if inner != 1:
        optional["inner"] = inner
    if job.shift is not None:
        optional["shift"] = job.shift
    recipe = job.recipe
    builder.call(
        family.key(recipe.of_element(job.x.dtype), recipe.of_total(job.y.dtype), recipe.combine),
        tasks=-(-outer // outer_block) * blocks * parts,
        flops=outer * reduced * inner * (1 + 2 * len(recipe.before)),
        x=job.x,
        y=job.y,
        count=float(job.count),
        outer=outer,
        outer_block=outer_block,
        reduced=reduced,
        block=block,
        **optional,
    )


def _block(outer: int, reduced: int, inner: int) -> int:
    """How many of `reduced` a task combines: all, unless too few tasks would remain."""
    columns = min(inner, COLUMNS)
    tasks = outer * -(-inner // COLUMNS)
    if tasks * 2 * _TASK >= outer * reduced * inner or tasks >= 64:
        return max(reduced, 1)
    return max(_TASK // columns, 1)
