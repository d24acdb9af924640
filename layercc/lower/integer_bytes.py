"""Operands of integer contractions as words of four bytes, where zero points allow it.

    Σ (a - a_zero) b = Σ a b - a_zero Σ b

for an a with one zero point, and constant weights b of which nothing is to be taken off: signed
ones with zero points of 0, or unsigned ones with 128, which are the same, 128 further up. Other
operands are taken less their zero points, in pairs (`layercc.lower.integer`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from ir.dtypes import DType
from layercc.cpu.tiles import QUADS, choose_vectors
from layercc.jobs.movement import strides_of
from layercc.lower.context import Context, Tensor
from layercc.lower.contraction import BYTES, Packed, pack_bytes
from layercc.lower.epilogue import Epilogue, Operand
from layercc.lower.movement import strided_copy
from layercc.lower.pointwise import ExpressionBuilder

#: From signed bytes to unsigned ones.
_SHIFT = 128


@dataclass(frozen=True)
class Form:
    """A weight seen as [groups, taps, depth, columns]: sizes, and strides in elements."""

    sizes: tuple[int, int, int, int]
    strides: tuple[int, int, int, int]

    def of(self, array: np.ndarray) -> np.ndarray:
        """The dense array, seen so."""
        strides = [array.itemsize * step for step in self.strides]
        return np.lib.stride_tricks.as_strided(array, self.sizes, strides)


@dataclass(frozen=True)
class Operands:
    """What a contraction of integers takes: x in words (its last dim), weights, how their sums are
    finished, and what a window reads outside of x (None: zeros)."""

    x: Tensor
    weights: Packed
    epilogue: Epilogue
    outside: Tensor | None = None


def suits(context: Context, zero: Tensor | None, weight: tuple[str, str]) -> bool:
    """Whether activations with the zero points `zero` and a weight, given by the names of its
    levels and its zero points, can be taken as bytes."""
    name, b_zero = weight
    if name not in context.graph.constants or (zero is not None and zero.size != 1):
        return False
    levels = context.value(b_zero) if b_zero else np.zeros(1)
    wanted = {DType.i8: 0, DType.u8: _SHIFT}.get(context.dtype(name))
    return levels is not None and wanted is not None and bool((levels == wanted).all())


def in_bytes(
    context: Context, x: Tensor, zero: Tensor | None, name: str, form: Form, padded: bool
) -> Operands:
    """The operands x, [..., groups * depth], and weight `name`; `padded`: a window leaves x."""
    groups, _, _, columns = form.sizes
    vectors = choose_vectors(context.isa, columns, QUADS)
    unsigned = context.dtype(name) is DType.u8

    def signed(array: np.ndarray) -> np.ndarray:
        return form.of((array ^ np.uint8(_SHIFT)).view(np.int8) if unsigned else array)

    def sums(array: np.ndarray) -> np.ndarray:
        return signed(array).sum(axis=(1, 2), dtype=np.int32).view(np.uint32)

    packed = context.packed(
        name,
        f"bytes {form} {vectors}",
        lambda array: pack_bytes(context.isa, signed(array), vectors),
    )
    weights = Packed(packed, vectors, 0, packed.size // max(groups, 1), QUADS)
    if x.dtype is DType.i8:
        x, zero = _unsigned(context, x), _unsigned(context, zero or _nothing(context))
    words = _words(context, x, groups)
    if zero is None:
        return Operands(words, weights, Epilogue())
    level = context.scratch(DType.u32, (1,))
    _spread(context, zero, level)
    outside = None
    if padded:
        outside = context.scratch(DType.u8, (words.shape[-1] // groups * BYTES,))
        _spread(context, zero, outside)
    steps = (("multiply", (1, 2), (), "u32"), ("subtract", (0, 3), (), "u32"))
    operands = (
        Operand(level, 0, 0, 0, 0),
        Operand(context.packed(name, f"sums {form}", sums), 0, columns, 0, 1),
    )
    return Operands(words, weights, Epilogue((("u32",) * 3, steps, (4,)), operands), outside)


def _words(context: Context, x: Tensor, groups: int) -> Tensor:
    """Bytes in words of four; what is beyond the depth of a group meets weights of 0."""
    *leading, channels = x.shape
    depth = channels // groups
    even = -(-depth // BYTES) * BYTES
    if depth != even:
        sizes = (math.prod(leading), groups, depth)
        wide = context.scratch(DType.u8, (*leading, groups * even))
        strides = strides_of((*sizes[:2], even))
        strided_copy(context, x, wide, sizes, (channels, depth, 1), strides)
        x = wide
    return replace(x, dtype=DType.u32, shape=(*leading, groups * even // BYTES))


def _unsigned(context: Context, x: Tensor) -> Tensor:
    """Signed bytes moved up into the range of unsigned ones."""
    steps = ExpressionBuilder(1)
    wide = steps("identity", 0, dtype="i16")
    moved = steps("add", wide, steps.constant(_SHIFT, "i16"), dtype="i16")
    y = context.scratch(DType.u8, x.shape)
    steps.emit(context, [x], [y], [steps("identity", moved, dtype="u8")])
    return y


def _nothing(context: Context) -> Tensor:
    return context.constant(np.zeros(1, np.int8))


def _spread(context: Context, zero: Tensor, y: Tensor) -> None:
    """The zero point in all elements of `y`."""
    steps = ExpressionBuilder(1)
    value = steps("identity", 0, dtype=str(y.dtype))
    steps.emit(context, [zero.reshaped((1,))], [y], [value])
