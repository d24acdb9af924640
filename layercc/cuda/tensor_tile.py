# mypy: ignore-errors
"""Tiles of several matrices of tensor cores: loads, conversions, products, and sums kept elsewhere.

Importing this module imports Numba; kernel files import it inside their families.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from layercc.cuda.intrinsics import constant_of, vector_at
from layercc.cuda.tensor_cores import assembly, mma_text, unsigned

_I32, _I64, _F32 = ir.IntType(32), ir.IntType(64), ir.FloatType()


@intrinsic(prefer_literal=True)
def ldmatrix_tile(typingctx: Any, address: Any, count: Any, pitch: Any) -> Any:
    """`count` times four matrices, `pitch` bytes apart (both constants): see `ldmatrix`."""
    tiles, step = constant_of(count, "ldmatrix_tile"), constant_of(pitch, "ldmatrix_tile")
    if not isinstance(address, types.Integer):
        return None
    result = types.UniTuple(types.uint32, 4 * tiles)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        place = unsigned(context, builder, signature, args, 0)
        parts = []
        for i in range(tiles):
            text = f"ldmatrix.sync.aligned.m8n8.x4.shared.b16 {{$0, $1, $2, $3}}, [$4+{i * step}];"
            parts += assembly(builder, text, _I32, 4, [place], memory=True)
        return context.make_tuple(builder, result, parts)

    return result(address, count, pitch), codegen


def _four_matrices(builder: Any, place: Any, past: int) -> Any:
    text = f"ldmatrix.sync.aligned.m8n8.x4.shared.b16 {{$0, $1, $2, $3}}, [$4+{past}];"
    return assembly(builder, text, _I32, 4, [place], memory=True)


def _rounded(builder: Any, bits: Any) -> Any:
    # ties away from zero; what is not finite, or becomes so, has a rest that is not
    return builder.and_(builder.add(bits, _I32(0x8000)), _I32(0xFFFF0000))


def _rest(builder: Any, bits: Any) -> Any:
    big = builder.bitcast(_rounded(builder, bits), _F32)
    return builder.bitcast(builder.fsub(builder.bitcast(bits, _F32), big), _I32)


def _of_each(function: Any, doc: str) -> Any:
    def typing(typingctx: Any, registers: Any) -> Any:
        if not isinstance(registers, types.UniTuple):
            return None

        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            parts = [builder.extract_value(args[0], i) for i in range(registers.count)]
            made = [function(builder, part) for part in parts]
            return context.make_tuple(builder, registers, made)

        return registers(registers), codegen

    typing.__doc__ = doc
    return intrinsic(typing)


rounded_to_bf16 = _of_each(_rounded, "Registers of float32, each rounded to bfloat16.")
rest_of_bf16 = _of_each(
    _rest, "Registers of float32: what `rounded_to_bf16` leaves; not finite where that is not."
)


@intrinsic(prefer_literal=True)
def bf16_of_f32(typingctx: Any, registers: Any, first: Any, second: Any) -> Any:
    """Two tiles of float32, each of 8 terms, as one of bfloat16 of 16.

    `registers` (a constant) are those of a matrix: 4 of A, 2 of B. Terms are in another order, the
    same for A and B.
    """
    each = constant_of(registers, "bf16_of_f32")
    if first != second or first.count % each:
        return None
    half = each // 2

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        made = []
        for start in range(0, first.count, each):
            for tile in args[1:]:
                for r in range(start, start + half):
                    pair = [builder.extract_value(tile, r + half), builder.extract_value(tile, r)]
                    values = [builder.bitcast(part, _F32) for part in pair]
                    text = "cvt.rn.bf16x2.f32 $0, $1, $2;"
                    made += assembly(builder, text, _I32, 1, values, memory=False)
        return context.make_tuple(builder, first, made)

    return first(registers, first, second), codegen


@intrinsic(prefer_literal=True)
def mma_f32(typingctx: Any, c: Any, a0: Any, a1: Any, pitch: Any, b0: Any, b1: Any) -> Any:
    """c + a · b of float32, 16 terms in two tiles of 8, as nearly as float32 has it.

    A is loaded from two addresses for `ldmatrix`, 16 rows `pitch` bytes (a constant) from the next,
    when their turn comes: registers are few. Each number is a TF32 number and a rest, of which
    tensor cores take as much as TF32 has. The product of the rests is below what counts. Tensor
    cores cut off, so the small products come first, and c is added at the end.
    """
    columns = b0.count // 2
    rows, step = c.count // (4 * columns), constant_of(pitch, "mma_f32")
    if b0 != b1 or c.count != 4 * rows * columns:
        return None
    text = mma_text("tf32")

    def pieces(builder: Any, bits: Any) -> tuple[Any, Any]:
        # as cvt.rna does, but in two instructions rather than four: what is not finite, or becomes
        # so, has a rest that is not
        big = builder.and_(builder.add(bits, _I32(0x1000)), _I32(0xFFFFE000))
        rest = builder.fsub(builder.bitcast(bits, _F32), builder.bitcast(big, _F32))
        return big, builder.bitcast(rest, _I32)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        result, *tiles = args[0], *args[4:]
        places = [unsigned(context, builder, signature, args, i) for i in (1, 2)]
        right = [
            [pieces(builder, builder.extract_value(tile, r)) for r in range(b0.count)]
            for tile in tiles
        ]
        zero = ir.Constant(_F32, 0.0)
        for i in range(rows):
            left = [
                [pieces(builder, part) for part in _four_matrices(builder, place, i * step)]
                for place in places
            ]
            for j in range(columns):
                total = [zero] * 4
                # which tile of 8 terms, and which piece of a and b
                for k, p, q in ((0, 1, 0), (0, 0, 1), (1, 1, 0), (1, 0, 1), (0, 0, 0), (1, 0, 0)):
                    values = [left[k][r][p] for r in range(4)]
                    values += [right[k][2 * j + r][q] for r in range(2)]
                    total = assembly(builder, text, _F32, 4, [*values, *total], memory=False)
                start = 4 * (i * columns + j)
                for r in range(4):
                    before = builder.extract_value(result, start + r)
                    added = builder.fadd(before, total[r])
                    result = builder.insert_value(result, added, start + r)
        return result

    return c(c, a0, a1, pitch, b0, b1), codegen


@intrinsic(prefer_literal=True)
def put_products(typingctx: Any, pointer: Any, tile: Any, columns: Any, pitch: Any) -> Any:
    """Writes a tile of sums, `columns` matrices side by side, to rows `pitch` elements apart (both
    constants). The pointer is to the lane's first element, and aligned to two."""
    across, step = constant_of(columns, "put_products"), constant_of(pitch, "put_products")

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = context.get_data_type(tile.dtype)
        for first in range(0, tile.count, 2):
            matrix, r = divmod(first // 2, 2)
            i, j = divmod(matrix, across)
            at = builder.gep(args[0], [_I64((16 * i + 8 * r) * step + 8 * j)])
            place, align = vector_at(context, builder, at, tile.dtype, 2)
            pair = ir.Constant(ir.VectorType(kind, 2), ir.Undefined)
            for n in range(2):
                value = builder.extract_value(args[1], first + n)
                pair = builder.insert_element(pair, value, _I32(n))
            builder.store(pair, place, align=align)
        return context.get_dummy_value()

    return types.void(pointer, tile, columns, pitch), codegen


@intrinsic(prefer_literal=True)
def add_tile_at(typingctx: Any, pointer: Any, step: Any, tile: Any, fresh: Any) -> Any:
    """Adds a tile to what lies in memory, an element each `step` (a constant); with `fresh` (a
    constant), writes it."""
    between, new = constant_of(step, "add_tile_at"), bool(fresh.literal_value)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        for i in range(tile.count):
            place = builder.gep(args[0], [_I64(i * between)])
            value = builder.extract_value(args[2], i)
            if not new:
                value = builder.fadd(builder.load(place), value)
            builder.store(value, place)
        return context.get_dummy_value()

    return types.void(pointer, step, tile, fresh), codegen


@intrinsic(prefer_literal=True)
def take_tile(typingctx: Any, pointer: Any, step: Any, count: Any) -> Any:
    """The tile of `count` elements that lie in memory, one each `step` (both constants)."""
    between, length = constant_of(step, "take_tile"), constant_of(count, "take_tile")
    result = types.UniTuple(pointer.dtype, length)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        places = [builder.gep(args[0], [_I64(i * between)]) for i in range(length)]
        return context.make_tuple(builder, result, [builder.load(place) for place in places])

    return result(pointer, step, count), codegen
