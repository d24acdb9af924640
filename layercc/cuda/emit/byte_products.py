"""Emission of contractions of bytes: on tensor cores, or element by element."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from ir.dtypes import DTYPE_SETS, DType
from layercc.buffers import Tensor
from layercc.cuda.emit.builder import Builder, countable
from layercc.cuda.kernels import byte_products as kernels
from layercc.jobs.contraction import Contraction
from layercc.jobs.matrices import View, packed_groups
from layercc.jobs.movement import Move, strides_of
from layercc.jobs.pointwise import Pointwise
from layercc.jobs.windows import Axes, Axis
from layercc.kernels.expressions import conversion

BYTES = DTYPE_SETS["byte"]
#: Columns and rows from which tiles are worth their fixed size; which kernel computes an element
#: does not change it, for sums are exact.
_LEAST_COLUMNS, _LEAST_ROWS = 8, 8


def byte_product(
    builder: Builder, job: Contraction, x_zero: Mapping[str, Any] | None = None
) -> None:
    """One launch, and some before where weights or zero points are not constant and must be brought
    in order.

    `x_zero` are zero points of X as the kernels take them, i32 in a record of operands, instead of
    the job's own.
    """
    terms = job.depth * job.taps
    job = replace(
        job,
        x_zero=job.x_zero if terms and not _is_nothing(job.x_zero) else None,
        w_zero=job.w_zero if terms and not _is_nothing(job.w_zero) else None,
    )
    pitch = -(-max(terms, 1) // kernels.CHUNK) * kernels.CHUNK
    countable("an operand of a product", max(job.x.size, pitch * job.columns))
    window = job.window or Axes(w=Axis(inputs=job.rows, outputs=job.rows))
    groups = packed_groups(job, job.columns * pitch)
    words: dict[str, Any] = {
        "x": job.x,
        "w": _ordered(builder, job, pitch),
        "y": job.y,
        "columns_": job.columns,
        "depth": job.depth,
        "taps": job.taps,
        "x_row": job.x_row,
        "y_row": job.y_row,
        "pitch": pitch,
        "groups": [{"size": g.size, "x": g.x, "w": g.w, "y": g.y} for g in groups],
        "window": {name: vars(axis) for name, axis in vars(window).items()},
        "operands": [
            {
                "data": o.tensor,
                "row": o.row,
                "groups": o.groups[-len(job.groups) :] if job.groups else (),
            }
            for o in job.epilogue.operands
        ],
    }
    if x_zero is not None and terms:
        words["x_zero"] = x_zero
    elif job.x_zero is not None:
        words["x_zero"] = _zeros_of_rows(builder, job, job.x_zero)
    if job.w_zero is not None:
        words["w_zero"] = _zeros_of_columns(builder, job, job.w_zero)
    expression = job.epilogue.steps or (("i32",), (), (0,))
    columns = tuple(operand.column for operand in job.epilogue.operands)
    zeroed = "x_zero" in words, "w_zero" in words
    of_key = (expression, columns, len(job.groups), job.window is not None, *zeroed)
    types = str(job.x.dtype), str(job.weights.tensor.dtype)
    if job.columns < _LEAST_COLUMNS or job.rows < _LEAST_ROWS:
        n = job.group_count * job.rows * job.columns
        builder.call(
            kernels.byte_direct.key(*types, *of_key),
            -(-n // kernels.DIRECT_THREADS),
            flops=job.flops,
            algorithm="direct, of bytes",
            n=n,
            group_count=job.group_count,
            **words,
        )
        return
    row_blocks = -(-job.rows // kernels.ROWS)
    column_blocks = -(-job.columns // kernels.COLUMNS)
    builder.call(
        kernels.byte_tiles.key(*types, _is_wide(job), *of_key),
        row_blocks * column_blocks * job.group_count,
        flops=job.flops,
        algorithm="tiles of bytes",
        rows_=job.rows,
        row_blocks=row_blocks,
        column_blocks=column_blocks,
        **words,
    )


def _is_nothing(zero: Tensor | None) -> bool:
    """Whether zero points are known to be 0, as those of weights often are."""
    return zero is None or (zero.array is not None and not zero.array.any())


def _is_wide(job: Contraction) -> bool:
    """Whether chunks of X are aligned, and none is of two taps."""
    steps = [job.x.offset, job.x_row, *(group.x for group in job.groups if group.size > 1)]
    if job.window is not None:
        steps.append(job.depth)
    return not any(step % kernels.CHUNK for step in steps)


def _ordered(builder: Builder, job: Contraction, pitch: int) -> Tensor:
    """Weights as [groups, columns, pitch], a column's terms side by side; constants are packed now,
    others by each run. What is behind the terms is not read."""
    view, tensor = View.of(job), job.weights.tensor
    terms = job.depth * job.taps
    if tensor.array is not None:

        def pack(array: np.ndarray) -> np.ndarray:
            seen = view.of_array(array).reshape(view.count, terms, job.columns)
            return np.pad(seen.swapaxes(1, 2), ((0, 0), (0, 0), (0, pitch - terms)))

        return builder.packed(tensor, f"columns of bytes, {view}", pack)
    made = builder.scratch(tensor.dtype, (view.count, job.columns, pitch))
    dims = (*view.groups, *view.taps, view.depth, *view.columns)
    sizes, strides = (tuple(part) for part in zip(*dims, strict=True))
    group_sizes, column_sizes = ([size for size, _ in d] for d in (view.groups, view.columns))
    targets = (
        *(step * job.columns * pitch for step in strides_of(group_sizes)),
        *strides_of([*(size for size, _ in view.taps), job.depth]),
        *(step * pitch for step in strides_of(column_sizes)),
    )
    builder.emit(Move(tensor, made, sizes, strides, targets, view.start))
    return made


def _zeros_of_rows(builder: Builder, job: Contraction, zero: Tensor) -> dict[str, Any]:
    """Zero points of X as i32: one, or one for each of its rows."""
    if zero.size == 1:
        return {"data": _converted(builder, zero, (1,)), "row": 0, "groups": (0,) * len(job.groups)}
    levels = _converted(builder, zero, (*job.x.shape[:-1], 1))
    depth = max(job.x.shape[-1], 1)
    groups = tuple(group.x // depth for group in job.groups)
    return {"data": levels, "row": job.x_row // depth, "groups": groups}


def _zeros_of_columns(builder: Builder, job: Contraction, zero: Tensor) -> dict[str, Any]:
    """Zero points of W as i32, one for each column of each group."""
    view, tensor = View.of(job), job.weights.tensor
    if zero.array is not None and tensor.size:

        def spread(array: np.ndarray) -> np.ndarray:
            whole = np.broadcast_to(array, tensor.shape)
            return view.of_array(whole)[:, 0, 0].astype(np.int32)

        levels = builder.packed(zero, f"zeros of columns {tensor.shape} {view}", spread)
    else:
        levels = builder.scratch(DType.i32, (view.count, job.columns))
        whole = _converted(builder, zero, tensor.shape)
        dims = (*view.groups, *view.columns)
        sizes, strides = (tuple(part) for part in zip(*dims, strict=True))
        builder.emit(Move(whole, levels, sizes, strides, strides_of(sizes), view.start))
    groups = tuple(group.w for group in packed_groups(job, job.columns))
    return {"data": levels, "row": 0, "groups": groups}


def _converted(builder: Builder, zero: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Zero points as i32, broadcast to a shape."""
    given = zero.reshaped((1,)) if zero.size == 1 else zero
    if given.array is not None:

        def spread(array: np.ndarray) -> np.ndarray:
            return np.broadcast_to(array.astype(np.int32), shape)

        return builder.packed(given, f"zeros {shape}", spread)
    levels = builder.scratch(DType.i32, shape)
    if math.prod(shape):
        builder.emit(Pointwise(conversion(str(zero.dtype), "i32"), (given,), (levels,), shape, 0))
    return levels
