# mypy: ignore-errors
"""Tiles of a product in registers: tuples, row by row, that LLVM takes apart.

Importing this module imports Numba; kernel files import it inside their families.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from layercc.cuda.intrinsics import constant_of, vector_at
from layercc.kernels.numba_types import storage_type

_I64 = ir.IntType(64)


def _multiply_add(builder: Any, kind: Any, a: Any, b: Any, c: Any) -> Any:
    """a * b + c: rounded once, or wrapping."""
    if isinstance(kind, types.Float):
        return builder.fma(a, b, c)
    return builder.add(builder.mul(a, b), c)


@intrinsic
def multiply_add(typingctx: Any, a: Any, b: Any, c: Any) -> Any:
    """a * b + c of scalars of one type: rounded once, or wrapping."""
    if not a == b == c:
        return None

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _multiply_add(builder, a, *args)

    return a(a, b, c), codegen


@intrinsic(prefer_literal=True)
def zero_tile(typingctx: Any, dtype: Any, count: Any) -> Any:
    """`count` zeros of a type; both are constants."""
    element = storage_type(dtype.literal_value)
    result = types.UniTuple(element, constant_of(count, "zero_tile"))

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return ir.Constant(context.get_value_type(result), None)

    return result(dtype, count), codegen


@intrinsic
def accumulate(typingctx: Any, tile: Any, column: Any, row: Any) -> Any:
    """tile[i, j] + column[i] * row[j]."""
    if tile.count != column.count * row.count:
        return None

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        result, left, right = args
        for i in range(column.count):
            a = builder.extract_value(left, i)
            for j in range(row.count):
                place = i * row.count + j
                total = builder.extract_value(result, place)
                b = builder.extract_value(right, j)
                total = _multiply_add(builder, tile.dtype, a, b, total)
                result = builder.insert_value(result, total, place)
        return result

    return tile(tile, column, row), codegen


@intrinsic
def add_tiles(typingctx: Any, a: Any, b: Any) -> Any:
    """The sums of two tiles, element by element."""
    if a != b:
        return None

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        add = builder.fadd if isinstance(a.dtype, types.Float) else builder.add
        result = args[0]
        for i in range(a.count):
            pair = [builder.extract_value(each, i) for each in args]
            result = builder.insert_value(result, add(*pair), i)
        return result

    return a(a, b), codegen


@intrinsic
def scale_and_add(typingctx: Any, tile: Any, factors: Any, other: Any) -> Any:
    """tile * factors + other, element by element, each rounded once."""
    if not tile == factors == other:
        return None

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        result = args[2]
        for i in range(tile.count):
            a, b, c = (builder.extract_value(each, i) for each in args)
            result = builder.insert_value(result, _multiply_add(builder, tile.dtype, a, b, c), i)
        return result

    return tile(tile, factors, other), codegen


@intrinsic(prefer_literal=True)
def put_tile(typingctx: Any, pointer: Any, tile: Any, columns: Any, pitch: Any) -> Any:
    """Writes a tile of `columns` (a constant) to rows `pitch` (a constant) elements apart, each in
    as few accesses as can be; rows are aligned for these."""
    width, step = constant_of(columns, "put_tile"), constant_of(pitch, "put_tile")

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = context.get_data_type(tile.dtype)
        for first in range(0, tile.count, width):
            at = builder.gep(args[0], [_I64(first // width * step)])
            place, align = vector_at(context, builder, at, tile.dtype, width)
            vector = ir.Constant(ir.VectorType(kind, width), ir.Undefined)
            for j in range(width):
                value = builder.extract_value(args[1], first + j)
                vector = builder.insert_element(vector, value, ir.IntType(32)(j))
            builder.store(vector, place, align=align)
        return context.get_dummy_value()

    return types.void(pointer, tile, columns, pitch), codegen
