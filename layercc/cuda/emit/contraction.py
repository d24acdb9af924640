"""Emission of contractions: on CUDA cores, in tiles or element by element."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ir.diagnostics import UnsupportedError
from layercc.buffers import Tensor
from layercc.cuda.emit.builder import Builder, countable
from layercc.cuda.emit.byte_products import BYTES, byte_product
from layercc.cuda.emit.registry import emitter
from layercc.cuda.kernels import contraction as kernels
from layercc.jobs.contraction import Contraction, GroupDim
from layercc.jobs.matrices import View, merged, packed_groups
from layercc.jobs.movement import Move, strides_of
from layercc.jobs.windows import Axes, Axis
from layercc.kernels.element_types import MULTIPLIED, SIZES, UNSIGNED

#: Columns and rows from which tiles are worth their fixed size. Which kernel computes an element
#: does not change its bits.
_LEAST_COLUMNS, _LEAST_ROWS = 8, 8
#: Products and sums that wrap around are the same bits for either sign: one kernel serves both.
_SIGNED = {name: f"i{name[1:]}" for name in MULTIPLIED if name in UNSIGNED.values()}


@dataclass(frozen=True)
class _Weights:
    """Matrices [terms, columns] of each group, `step` and `column` elements apart."""

    tensor: Tensor
    step: int
    column: int
    groups: Sequence[GroupDim]


@emitter(Contraction)
def contraction(builder: Builder, job: Contraction) -> None:
    """One launch, and one before where weights are not constant and must be brought in order."""
    dtype, w_dtype = job.x.dtype, job.weights.tensor.dtype
    of_bytes = dtype in BYTES and w_dtype in BYTES
    if not of_bytes and (str(dtype) not in MULTIPLIED or dtype is not w_dtype):
        raise UnsupportedError(
            f"no kernel multiplies {dtype} by {w_dtype} on a GPU; {', '.join(MULTIPLIED)} would fit"
        )
    countable("a product", job.group_count * job.rows * job.columns)
    if of_bytes and job.group_count * job.rows * job.columns:
        byte_product(builder, job)
        return
    countable("an operand of a product", max(job.x.size, job.depth * job.taps * job.columns))
    if not job.group_count * job.rows * job.columns:
        return
    weights = _ordered(builder, job)
    if job.columns < _LEAST_COLUMNS or job.rows < _LEAST_ROWS:
        _direct(builder, job, weights)
    else:
        _tiles(builder, job, weights)


def _tiles(builder: Builder, job: Contraction, weights: _Weights) -> None:
    dtype = _element(job)
    row_blocks = -(-job.rows // kernels.block_rows(SIZES[dtype]))
    column_blocks = -(-job.columns // kernels.COLUMNS)
    along = "columns" if weights.column == 1 else "depth"
    builder.call(
        kernels.tiles.key(dtype, *_of_key(job, weights), along),
        row_blocks * column_blocks * job.group_count,
        flops=job.flops,
        algorithm="tiles",
        w_step=weights.step if along == "columns" else weights.column,
        row_blocks=row_blocks,
        column_blocks=column_blocks,
        rows_=job.rows,
        **_common(job, weights),
    )


def _direct(builder: Builder, job: Contraction, weights: _Weights) -> None:
    n = job.group_count * job.rows * job.columns
    groups_inner = any(group.y < job.y_row for group in job.groups if group.size > 1)
    builder.call(
        kernels.direct.key(_element(job), *_of_key(job, weights), groups_inner),
        -(-n // kernels.DIRECT_THREADS),
        flops=job.flops,
        algorithm="direct",
        n=n,
        rows=job.rows,
        w_step=weights.step,
        w_column=weights.column,
        group_count=job.group_count,
        **_common(job, weights),
    )


def _element(job: Contraction) -> str:
    """The type that the kernel multiplies."""
    dtype = str(job.x.dtype)
    return dtype if job.epilogue.steps else _SIGNED.get(dtype, dtype)


def _of_key(job: Contraction, weights: _Weights) -> tuple[Any, ...]:
    """What of a job is compiled into its kernel: the epilogue, how many dims the groups have, and
    whether there is a window."""
    element = _element(job)
    expression = job.epilogue.steps or ((element,), (), (0,))
    columns = tuple(operand.column for operand in job.epilogue.operands)
    return expression, columns, len(weights.groups), job.window is not None


def _common(job: Contraction, weights: _Weights) -> dict[str, Any]:
    """The arguments that both kernels take."""
    window = job.window or Axes(w=Axis(inputs=job.rows, outputs=job.rows))
    operands = [
        {
            "data": o.tensor,
            "row": o.row,
            "groups": o.groups[-len(job.groups) :] if job.groups else (),
        }
        for o in job.epilogue.operands
    ]
    return {
        "x": job.x,
        "w": weights.tensor,
        "y": job.y,
        "columns_": job.columns,
        "depth": job.depth,
        "taps": job.taps,
        "x_row": job.x_row,
        "y_row": job.y_row,
        "groups": [{"size": g.size, "x": g.x, "w": g.w, "y": g.y} for g in weights.groups],
        "window": {name: vars(axis) for name, axis in vars(window).items()},
        "operands": operands,
    }


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
