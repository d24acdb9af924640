"""Emission of pointwise jobs: one loop nest over collapsed, broadcast dims."""

from __future__ import annotations

import math
from collections.abc import Sequence

from layercc.buffers import Tensor
from layercc.cpu.emit.builder import Builder
from layercc.cpu.emit.registry import emitter
from layercc.cpu.kernels.pointwise import pointwise as kernel
from layercc.jobs.movement import Move
from layercc.jobs.pointwise import Pointwise, collapse, row_major_strides

#: Elements of a task: cheap expressions are bound by memory, costly ones by arithmetic.
_CHEAP_TASK, _COSTLY_TASK = 1 << 15, 1 << 13
_COSTLY_FLOPS = 8  # an element
#: Rows shorter than the first are made up to the second long, if there are enough elements.
_SHORT_ROW, _LONG_ROW, _WORTH_LENGTHENING = 64, 1024, 1 << 13


def _lengthen_rows(
    builder: Builder, sizes: list[int], walks: list[list[int]], operands: Sequence[Tensor]
) -> tuple[list[int], list[list[int]], list[Tensor]]:
    """Makes rows of few elements longer, where that is possible: several rows become one.

    Operands that are the same for all of these rows (a bias of three channels) are repeated in
    scratch memory. Takes and gives sizes, strides and tensors of the operands.
    """
    *_, rows, inner = (1, *sizes)
    if inner == 0:
        return sizes, walks, list(operands)
    steps = [(0, *walk)[-2:] for walk in walks]
    repeats = next((d for d in range(_LONG_ROW // inner, 1, -1) if rows % d == 0), 1)
    if (
        repeats * inner < _SHORT_ROW
        or math.prod(sizes) < _WORTH_LENGTHENING
        or any(step not in ((inner, 1), (0, 1), (0, 0)) for step in steps)
    ):
        return sizes, walks, list(operands)
    sizes = [*sizes[:-2], rows // repeats, repeats * inner]
    longer, tensors = [], []
    for walk, step, tensor in zip(walks, steps, operands, strict=True):
        if step == (0, 1):
            periods = tensor.size // inner
            repeated = builder.scratch(tensor.dtype, (periods, repeats, inner))
            steps_of = (inner, 0, 1), (repeats * inner, inner, 1)
            builder.emit(Move(tensor, repeated, repeated.shape, *steps_of))
            tensor = repeated
            walk = [*(stride * repeats for stride in walk[:-2]), 0, 1]
        elif step == (inner, 1):
            walk = [*walk[:-2], repeats * inner, 1]
        tensors.append(tensor)
        longer.append(walk)
    return sizes, longer, tensors


@emitter(Pointwise)
def pointwise(builder: Builder, job: Pointwise) -> None:
    """One call; short rows are made longer where that is possible."""
    shape, outputs, flops = job.shape, job.outputs, job.flops
    operands: Sequence[Tensor] = job.operands
    rank = len(shape)
    dense = row_major_strides(shape, rank)
    walks = [row_major_strides(tensor.shape, rank) for tensor in operands]
    sizes, merged = collapse(shape, [*walks, dense])
    merged.pop()  # the outputs
    if sizes[-1] < _SHORT_ROW and len(sizes) > 1:
        sizes, merged, operands = _lengthen_rows(builder, sizes, merged, operands)
    *outer, inner = sizes
    rows = math.prod(outer)
    chunk = _COSTLY_TASK if flops >= _COSTLY_FLOPS else _CHEAP_TASK
    inner_block = inner if inner < 2 * chunk else chunk
    row_block = max(1, chunk // max(inner_block, 1))
    arguments: dict[str, int | Tensor] = {
        **{f"x{k}": tensor for k, tensor in enumerate(operands)},
        **{f"y{k}": tensor for k, tensor in enumerate(outputs)},
        "rows": rows,
        "row_block": row_block,
        "inner": inner,
        "inner_block": max(inner_block, 1),
    }
    for d, size in enumerate(outer):
        arguments[f"size{d}"] = size
        for k, walk in enumerate(merged):
            arguments[f"x{k}_stride{d}"] = walk[d]
    strides = tuple(walk[-1] for walk in merged)
    tasks = -(-rows // row_block) * -(-inner // max(inner_block, 1))
    builder.call(
        kernel.key(job.expression, strides, len(outer)),
        tasks=tasks,
        flops=flops * rows * inner,
        **arguments,
    )
