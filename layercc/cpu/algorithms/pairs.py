"""Products of 8-bit integers in pairs of 16-bit numbers, less their zero points.

Fits any zero points, known or not: operands are centred first, so what a window reads outside is 0.
Sums are exact in 32 bits. Costs half of what 32-bit integers do, and the centred copies.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ir.dtypes import DTYPE_SETS, DType
from layercc.buffers import Tensor
from layercc.cpu.algorithms.algorithm import Algorithm, rows_of
from layercc.cpu.algorithms.direct import LOOK_UP
from layercc.cpu.algorithms.panels import (
    Packed,
    Product,
    multiply_groups,
    pack_at_run_time,
    pack_weights,
)
from layercc.cpu.emit.builder import Builder
from layercc.cpu.emit.records import Strided
from layercc.cpu.tiles import PAIRS, choose_vectors, lanes
from layercc.jobs.contraction import Contraction, GroupDim
from layercc.jobs.matrices import View, packed_groups
from layercc.jobs.movement import Move, strides_of
from layercc.jobs.pointwise import Pointwise
from layercc.kernels.expressions import ExpressionBuilder
from layercc.limits import Limits

BYTES = DTYPE_SETS["byte"]


def fits(job: Contraction, precision: str) -> bool:
    """At every precision: sums are exact."""
    return job.x.dtype in BYTES and job.weights.tensor.dtype in BYTES


def cost(job: Contraction, limits: Limits) -> float:
    """Two products a word."""
    terms = job.taps * (job.depth / 2 + LOOK_UP)
    return 2 * rows_of(job) * job.group_count * job.columns * terms / limits.flops["f32"]


def emit(builder: Builder, job: Contraction) -> None:
    """Centred operands in words, and one call for two dims of groups."""
    half = -(-job.depth // 2)
    vectors = choose_vectors(builder.isa, job.columns, PAIRS)
    size = -(-job.columns // (vectors * lanes(builder.isa, PAIRS))) * vectors
    size *= lanes(builder.isa, PAIRS) * job.taps * half
    groups = in_words(packed_groups(job, size), job.depth, half)
    x = _paired(builder, centred(builder, job.x, job.x_zero), job.depth)
    product = Product(
        x=Strided(x, 0, 0, job.x_row // max(job.depth, 1) * half),
        weights=_weights(builder, job, vectors),
        y=Strided(job.y, 0, 0, job.y_row),
        rows=job.rows,
        columns=job.columns,
        depth=half,
        window=job.window,
        epilogue=job.epilogue,
    )
    multiply_groups(builder, product, groups)


def in_words(groups: tuple[GroupDim, ...], depth: int, words: int) -> tuple[GroupDim, ...]:
    """Groups whose strides in x count words, where `words` hold the `depth` elements of a row."""
    return tuple(replace(group, x=group.x // max(depth, 1) * words) for group in groups)


def centred(builder: Builder, x: Tensor, zero: Tensor | None) -> Tensor:
    """A tensor less its zero points, which broadcast with it, as i16."""
    operands = [x, zero] if zero else [x]
    steps = ExpressionBuilder(len(operands))
    level, *less = [steps("identity", i, dtype="i16") for i in range(len(operands))]
    if less:
        level = steps("subtract", level, *less, dtype="i16")
    y = builder.scratch(DType.i16, x.shape)
    expression = steps.expression([str(operand.dtype) for operand in operands], level)
    builder.emit(Pointwise(expression, tuple(operands), (y,), x.shape, 1))
    return y


def _weights(builder: Builder, job: Contraction, vectors: int) -> Packed:
    """The weights less their zero points in panels, packed now if both are known."""
    depth, half, columns, taps = job.depth, -(-job.depth // 2), job.columns, job.taps
    tensor, zero = job.weights.tensor, job.w_zero
    view = View.of(job)
    count = view.count
    levels = np.zeros((), np.int8) if zero is None else zero.array
    if tensor.array is not None and levels is not None:
        known = levels.astype(np.int16)

        def pack(array: np.ndarray) -> np.ndarray:
            less = np.ascontiguousarray(array.astype(np.int16) - known)
            even = np.pad(view.of_array(less), ((0, 0), (0, 0), (0, depth % 2), (0, 0)))
            pairs = even.reshape(count, taps, half, 2, columns).swapaxes(3, 4)
            words = np.ascontiguousarray(pairs).view(np.int32)[..., 0]
            return pack_weights(builder.isa, words, vectors)

        recipe = f"pairs {vectors} {view} less {known.tolist()} of {known.shape}"
        return Packed(builder.packed(tensor, recipe, pack), vectors, words=PAIRS)
    less = centred(builder, tensor, zero)
    leading = (*view.groups, *view.taps)
    sizes, strides = tuple(n for n, _ in leading), tuple(step for _, step in leading)
    (_, row), ((_, column),) = view.depth, view.columns
    words = builder.scratch(DType.i16, (*sizes, half, columns, 2))
    target = strides_of(words.shape)[:-1]
    for odd in (0, 1):
        shape = (*sizes, (depth + 1 - odd) // 2, columns)
        skip = (*strides, 2 * row, column)
        builder.emit(Move(less, words, shape, skip, target, view.start + odd * row, odd))
    if depth % 2:
        nothing = builder.constant(np.zeros(1, np.int16))
        shape = (*sizes, columns)
        places = (*target[:-2], target[-1])
        last = (half - 1) * target[-2] + 1
        builder.emit(Move(nothing, words, shape, (0,) * len(shape), places, 0, last))
    matrix = replace(words, dtype=DType.i32, shape=(count, taps * half, columns))
    strides_of_matrix = (0, taps * half * columns, columns, 1)
    made = pack_at_run_time(
        builder, matrix, (1, count), strides_of_matrix, taps * half, columns, vectors
    )
    return replace(made, words=PAIRS)


def _paired(builder: Builder, x: Tensor, depth: int) -> Tensor:
    """Rows of `depth` i16 as words of two; an odd depth gets a 0 more."""
    count = x.size // max(depth, 1)
    if depth % 2:
        even = builder.scratch(x.dtype, (count, depth + 1))
        builder.emit(Move(x, even, (count, depth), (depth, 1), (depth + 1, 1)))
        nothing = builder.constant(np.zeros(1, np.int16))
        builder.emit(Move(nothing, even, (count,), (0,), (depth + 1,), 0, depth))
        x = even
    return replace(x, dtype=DType.i32, shape=(count * -(-depth // 2),))


ALGORITHMS = (Algorithm("pairs", fits, cost, emit),)
