"""On CUDA cores, in tiles or element by element: whatever has elements that kernels multiply.

Which of the two kernels computes an element does not change its bits. Costs multiplications and
additions, of tiles that may be filled in part.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ir.dtypes import HALVES
from layercc.algorithms import Algorithm, rows_of
from layercc.buffers import Tensor
from layercc.cuda.algorithms.arguments import common, multiplied, of_key
from layercc.cuda.emit.builder import Builder
from layercc.cuda.kernels import contraction as kernels
from layercc.jobs.contraction import Contraction, GroupDim
from layercc.jobs.matrices import View, merged, packed_groups
from layercc.jobs.movement import Move, strides_of
from layercc.kernels.element_types import MULTIPLIED, SIZES
from layercc.kernels.expressions import compute_dtype
from layercc.limits import Limits

#: Columns and rows from which tiles are worth their fixed size.
_LEAST_COLUMNS, _LEAST_ROWS = 8, 8


@dataclass(frozen=True)
class _Weights:
    """Matrices [terms, columns] of each group, `step` and `column` elements apart."""

    tensor: Tensor
    step: int
    column: int
    groups: Sequence[GroupDim]


def fits(job: Contraction, precision: str) -> bool:
    """At every precision."""
    dtype = str(job.x.dtype)
    plain = not job.x_zero and not job.w_zero
    known = dtype in MULTIPLIED or job.x.dtype in HALVES
    return known and plain and job.weights.tensor.dtype == job.x.dtype


def cost(job: Contraction, limits: Limits) -> float:
    """Multiplications and additions at the peak, with what a tile has beyond the columns."""
    columns = max(job.columns, _LEAST_COLUMNS) if job.columns > 1 else 1
    products = rows_of(job) * job.group_count * columns * job.taps * job.depth
    return limits.seconds(2 * products, 0, compute_dtype(str(job.x.dtype)))


def emit(builder: Builder, job: Contraction) -> None:
    """One launch, and one before where weights are not constant and must be brought in order."""
    weights = _ordered(builder, job)
    if job.columns < _LEAST_COLUMNS or job.rows < _LEAST_ROWS:
        _direct(builder, job, weights)
    else:
        _tiles(builder, job, weights)


def _tiles(builder: Builder, job: Contraction, weights: _Weights) -> None:
    dtype = multiplied(job)
    row_blocks = -(-job.rows // kernels.block_rows(SIZES[compute_dtype(dtype)]))
    column_blocks = -(-job.columns // kernels.COLUMNS)
    along = "columns" if weights.column == 1 else "depth"
    builder.call(
        kernels.tiles.key(dtype, *of_key(job, dtype, weights.groups), along),
        row_blocks * column_blocks * job.group_count,
        flops=job.flops,
        w_step=weights.step if along == "columns" else weights.column,
        row_blocks=row_blocks,
        column_blocks=column_blocks,
        rows_=job.rows,
        **common(job, weights.tensor, weights.groups),
    )


def _direct(builder: Builder, job: Contraction, weights: _Weights) -> None:
    dtype = multiplied(job)
    n = job.group_count * job.rows * job.columns
    groups_inner = any(group.y < job.y_row for group in job.groups if group.size > 1)
    builder.call(
        kernels.direct.key(dtype, *of_key(job, dtype, weights.groups), groups_inner),
        -(-n // kernels.DIRECT_THREADS),
        flops=job.flops,
        n=n,
        rows=job.rows,
        w_step=weights.step,
        w_column=weights.column,
        group_count=job.group_count,
        **common(job, weights.tensor, weights.groups),
    )


def _ordered(builder: Builder, job: Contraction) -> _Weights:
    """Weights as matrices whose terms are evenly apart: constants are packed now, others are read
    in place where they can be, else copied by each run."""
    view, tensor = View.of(job), job.weights.tensor
    terms = job.taps * job.depth
    packed = packed_groups(job, terms * job.columns)
    if tensor.array is not None:

        def pack(array: np.ndarray) -> np.ndarray:
            return np.ascontiguousarray(view.of_array(array)).reshape(-1)

        made = builder.packed(tensor, f"terms by columns of {view}", pack)
        return _Weights(made, job.columns, 1, packed)
    rows, columns = merged((*view.taps, view.depth)), merged(view.columns)
    if len(rows) <= 1 and len(columns) <= 1:
        (_, step), (_, column) = (*rows, (1, 1))[0], (*columns, (1, 1))[0]
        if 1 in (step, column) or job.columns < _LEAST_COLUMNS or job.rows < _LEAST_ROWS:
            at = tensor.moved(view.start * tensor.dtype.itemsize)
            return _Weights(at, step, column, job.groups)
    dims = (*view.groups, *view.taps, view.depth, *view.columns)
    sizes, strides = (tuple(part) for part in zip(*dims, strict=True))
    ordered = builder.scratch(tensor.dtype, sizes)
    builder.emit(Move(tensor, ordered, sizes, strides, strides_of(sizes), view.start))
    return _Weights(ordered, job.columns, 1, packed)


ALGORITHMS = (Algorithm("cuda_cores", fits, cost, emit),)
