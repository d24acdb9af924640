"""The transpose of a square of vector registers, as shuffles of pairs of rows.

Stage by stage, elements whose row and column differ in one bit of their numbers change places
(Eklundh, "A fast computer method for matrix transposing", 1972): log2(n) stages of n shuffles for
n × n elements. Importing this module imports Numba.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.extending import intrinsic

from layercc.cpu.isa import Isa
from layercc.kernels.numba_types import types

_I32, _I64 = ir.IntType(32), ir.IntType(64)


def tile_side(isa: Isa, itemsize: int) -> int:
    """Elements of `itemsize` bytes in a vector register, at most 16: the side of a tile."""
    return min(isa.vector_bytes // itemsize, 16)


def make_transpose_tile(isa: Isa, itemsize: int) -> Any:
    """The intrinsic `transpose_tile(source, source_row, target, target_row)` for kernels.

    `target[j * target_row + i] = source[i * source_row + j]` for i, j < `tile_side`; both are
    pointers to elements of `itemsize` bytes, which need no alignment.
    """
    side = tile_side(isa, itemsize)

    @intrinsic
    def transpose_tile(typingctx, source, source_row, target, target_row):  # type: ignore[no-untyped-def]
        if not all(isinstance(item, types.CPointer) for item in (source, target)):
            return None

        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            strides = [
                context.cast(builder, args[i], signature.args[i], types.int64) for i in (1, 3)
            ]
            vector = ir.VectorType(context.get_value_type(source.dtype), side)

            def place(pointer: Any, stride: Any, row: int) -> Any:
                at = builder.gep(pointer, [builder.mul(stride, _I64(row))])
                return builder.bitcast(at, vector.as_pointer())

            rows = [
                builder.load(place(args[0], strides[0], i), align=itemsize) for i in range(side)
            ]
            distance = side // 2
            while distance:
                rows = _exchanged(builder, rows, distance)
                distance //= 2
            for i, row in enumerate(rows):
                builder.store(row, place(args[2], strides[1], i), align=itemsize)
            return context.get_dummy_value()

        return types.void(source, source_row, target, target_row), codegen

    return transpose_tile


def _exchanged(builder: Any, rows: list[Any], distance: int) -> list[Any]:
    """The rows after elements `distance` above and below the diagonal have changed places."""
    side = len(rows)
    numbers = ir.VectorType(_I32, side)
    upper = [lane + side - distance if lane & distance else lane for lane in range(side)]
    lower = [lane + side if lane & distance else lane + distance for lane in range(side)]
    made = list(rows)
    for i in range(side):
        if not i & distance:
            pair = rows[i], rows[i + distance]
            made[i] = builder.shuffle_vector(*pair, ir.Constant(numbers, upper))
            made[i + distance] = builder.shuffle_vector(*pair, ir.Constant(numbers, lower))
    return made
