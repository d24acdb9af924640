"""Products of bytes in words of four, unsigned ones by signed ones, where zero points allow it.

    Σ (a - a_zero) b = Σ a b - a_zero Σ b

Fits an a with one zero point, and constant weights b of which nothing is to be taken off: signed
ones with zero points of 0, or unsigned ones with 128, which are the same, 128 further up. Sums are
exact in 32 bits. Costs a quarter of what 32-bit integers do.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ir.dtypes import DType
from layercc.buffers import Tensor
from layercc.cpu.algorithms.algorithm import Algorithm, rows_of
from layercc.cpu.algorithms.direct import LOOK_UP
from layercc.cpu.algorithms.pairs import BYTES as OPERANDS
from layercc.cpu.algorithms.pairs import in_words
from layercc.cpu.algorithms.panels import BYTES, Packed, Product, multiply_groups, pack_bytes
from layercc.cpu.emit.builder import Builder
from layercc.cpu.emit.records import Strided
from layercc.cpu.tiles import QUADS, choose_vectors, lanes
from layercc.jobs.contraction import Contraction, Epilogue, Operand
from layercc.jobs.matrices import View, packed_groups
from layercc.jobs.movement import Move
from layercc.jobs.pointwise import Pointwise
from layercc.kernels.expressions import ExpressionBuilder, conversion
from layercc.limits import Limits

#: From signed bytes to unsigned ones.
_SHIFT = 128


def fits(job: Contraction, precision: str) -> bool:
    """At every precision: sums are exact. Not where weights differ between groups of a batch, for
    the sums of their columns are told by group of columns alone."""
    weights = job.weights.tensor
    if job.x.dtype not in OPERANDS or weights.dtype not in OPERANDS or weights.array is None:
        return False
    if job.x_zero is not None and job.x_zero.size != 1:
        return False
    if job.epilogue.steps or (job.window is None and any(group.w for group in job.groups)):
        return False
    levels = np.zeros(1) if job.w_zero is None else job.w_zero.array
    wanted = 0 if weights.dtype is DType.i8 else _SHIFT
    return levels is not None and bool((levels == wanted).all())


def cost(job: Contraction, limits: Limits) -> float:
    """Four products a word."""
    terms = job.taps * (job.depth / 4 + LOOK_UP)
    return 2 * rows_of(job) * job.group_count * job.columns * terms / limits.flops["f32"]


def emit(builder: Builder, job: Contraction) -> None:
    """Bytes in words, one call; its epilogue takes off the zero point times the sums of weights."""
    words = -(-job.depth // BYTES)
    vectors = choose_vectors(builder.isa, job.columns, QUADS)
    width = vectors * lanes(builder.isa, QUADS)
    size = -(-job.columns // width) * width * job.taps * words
    x, zero = job.x, job.x_zero
    if x.dtype is DType.i8:
        nothing = builder.constant(np.zeros(1, np.int8))
        x, zero = _unsigned(builder, x), _unsigned(builder, zero or nothing)
    epilogue, outside = Epilogue(), None
    if zero is not None:
        epilogue = _less_zero(builder, job, zero)
        if job.window is not None and _leaves(job):
            outside = builder.scratch(DType.u8, (words * BYTES,))
            _spread(builder, zero, outside)
    product = Product(
        x=Strided(_in_quads(builder, x, job.depth), 0, 0, job.x_row // max(job.depth, 1) * words),
        weights=Packed(_panels(builder, job, vectors), vectors, words=QUADS),
        y=Strided(job.y, 0, 0, job.y_row),
        rows=job.rows,
        columns=job.columns,
        depth=words,
        window=job.window,
        epilogue=epilogue,
        outside=outside,
    )
    multiply_groups(builder, product, in_words(packed_groups(job, size), job.depth, words))


def _leaves(job: Contraction) -> bool:
    """Whether the window may leave the images."""
    assert job.window is not None
    return any(
        axis.pad
        or (axis.outputs - 1) * axis.stride + (axis.taps - 1) * axis.dilation >= axis.inputs
        for axis in (job.window.d, job.window.h, job.window.w)
    )


def _signed(job: Contraction, array: np.ndarray) -> np.ndarray:
    """The weights as signed bytes, `[groups, taps, depth, columns]`."""
    unsigned = array.dtype == np.uint8
    array = (array ^ np.uint8(_SHIFT)).view(np.int8) if unsigned else array
    return View.of(job).of_array(array)


def _panels(builder: Builder, job: Contraction, vectors: int) -> Tensor:
    recipe = f"quads {vectors} {View.of(job)}"
    return builder.packed(
        job.weights.tensor,
        recipe,
        lambda array: pack_bytes(builder.isa, _signed(job, array), vectors),
    )


def _less_zero(builder: Builder, job: Contraction, zero: Tensor) -> Epilogue:
    """Takes off the zero point times the sum of each column's weights."""

    def sums(array: np.ndarray) -> np.ndarray:
        return _signed(job, array).sum(axis=(1, 2), dtype=np.int32).view(np.uint32)

    recipe = f"sums {View.of(job)}"
    level = builder.scratch(DType.u32, (1,))
    _spread(builder, zero, level)
    nowhere = (0,) * len(job.groups)
    along = tuple(job.columns if group.w else 0 for group in job.groups)
    steps = ExpressionBuilder(3)
    less = steps("subtract", 0, steps("multiply", 1, 2, dtype="u32"), dtype="u32")
    operands = (
        Operand(level, nowhere, 0, 0),
        Operand(builder.packed(job.weights.tensor, recipe, sums), along, 0, 1),
    )
    return Epilogue(steps.expression(("u32",) * 3, less), operands)


def _in_quads(builder: Builder, x: Tensor, depth: int) -> Tensor:
    """Bytes in words of four; what is beyond the depth of a row meets weights of 0."""
    count, even = x.size // max(depth, 1), -(-depth // BYTES) * BYTES
    if depth != even:
        wide = builder.scratch(DType.u8, (count, even))
        builder.emit(Move(x, wide, (count, depth), (depth, 1), (even, 1)))
        x = wide
    return replace(x, dtype=DType.u32, shape=(count * even // BYTES,))


def _unsigned(builder: Builder, x: Tensor) -> Tensor:
    """Signed bytes moved up into the range of unsigned ones."""
    steps = ExpressionBuilder(1)
    wide = steps("identity", 0, dtype="i16")
    moved = steps("add", wide, steps.constant(_SHIFT, "i16"), dtype="i16")
    expression = steps.expression(("i8",), steps("identity", moved, dtype="u8"))
    y = builder.scratch(DType.u8, x.shape)
    builder.emit(Pointwise(expression, (x,), (y,), x.shape, 1))
    return y


def _spread(builder: Builder, zero: Tensor, y: Tensor) -> None:
    """The zero point in all elements of `y`."""
    expression = conversion(str(zero.dtype), str(y.dtype))
    builder.emit(Pointwise(expression, (zero.reshaped((1,)),), (y,), y.shape, 0))


ALGORITHMS = (Algorithm("quads", fits, cost, emit),)
