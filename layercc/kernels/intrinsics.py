# mypy: ignore-errors
"""What kernels can do beyond arithmetic: pointers, stack scratch, prefetch, half precision.

Importing this module imports Numba; kernel files import it inside their families. All names are
called from kernels only, never from Python.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.errors import TypingError
from numba.extending import intrinsic

from layercc.kernels.numba_types import storage_type

_I16 = ir.IntType(16)
_I32 = ir.IntType(32)
_I64 = ir.IntType(64)
_F32 = ir.FloatType()
_STACK_ALIGNMENT = 64


def _literal_dtype(dtype: Any, where: str) -> Any:
    if not isinstance(dtype, types.StringLiteral):
        raise TypingError(f"{where}: the data type must be a constant string")
    return storage_type(dtype.literal_value)


@intrinsic
def offset(typingctx: Any, pointer: Any, elements: Any) -> Any:
    """``pointer`` moved on by a number of elements."""
    if not isinstance(pointer, types.CPointer) or not isinstance(elements, types.Integer):
        return None

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        index = context.cast(builder, args[1], signature.args[1], types.int64)
        return builder.gep(args[0], [index])

    return pointer(pointer, elements), codegen


@intrinsic
def address(typingctx: Any, pointer: Any) -> Any:
    """The address in ``pointer``, as int64."""
    if not isinstance(pointer, types.CPointer):
        return None

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.ptrtoint(args[0], _I64)

    return types.int64(pointer), codegen


@intrinsic
def pointer_at(typingctx: Any, address: Any, dtype: Any) -> Any:
    """A pointer to ``dtype`` (a constant string) at an int64 address."""
    if not isinstance(address, types.Integer):
        return None
    result = types.CPointer(_literal_dtype(dtype, "pointer_at"))

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        value = context.cast(builder, args[0], signature.args[0], types.int64)
        return builder.inttoptr(value, context.get_value_type(result))

    return result(address, dtype), codegen


@intrinsic
def stack_array(typingctx: Any, count: Any, dtype: Any) -> Any:
    """A pointer to ``count`` (a constant) uninitialised elements on the stack, aligned to 64.

    The array lives until the kernel returns, wherever the call is written; a call in a loop gives
    the same array each time. Stay below 256 KiB: worker threads have ordinary stacks.
    """
    if not isinstance(count, types.IntegerLiteral):
        raise TypingError("stack_array: the number of elements must be a constant integer")
    element = _literal_dtype(dtype, "stack_array")
    result = types.CPointer(element)
    length = count.literal_value

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        array = ir.ArrayType(context.get_data_type(element), length)
        with builder.goto_entry_block():
            slot = builder.alloca(array)
            slot.align = _STACK_ALIGNMENT
        return builder.bitcast(slot, context.get_value_type(result))

    return result(count, dtype), codegen


@intrinsic
def prefetch(typingctx: Any, pointer: Any) -> Any:
    """Ask for the cache line at ``pointer``, for reading, into all levels of the cache."""
    if not isinstance(pointer, types.CPointer):
        return None

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        bytes_type = ir.IntType(8).as_pointer()
        function = cgutils.get_or_insert_function(
            builder.module,
            ir.FunctionType(ir.VoidType(), [bytes_type, _I32, _I32, _I32]),
            "llvm.prefetch.p0",
        )
        read, all_levels, data = _I32(0), _I32(3), _I32(1)
        builder.call(function, [builder.bitcast(args[0], bytes_type), read, all_levels, data])
        return context.get_dummy_value()

    return types.void(pointer), codegen


@intrinsic
def bits_f32(typingctx: Any, value: Any) -> Any:
    """The bits of a float32, as uint32."""
    if value != types.float32:
        return None

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], _I32)

    return types.uint32(value), codegen


@intrinsic
def f32_from_bits(typingctx: Any, bits: Any) -> Any:
    """The float32 with the low 32 bits of an integer."""
    if not isinstance(bits, types.Integer):
        return None

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(context.cast(builder, args[0], bits, types.uint32), _F32)

    return types.float32(bits), codegen


@intrinsic
def f32_from_bf16(typingctx: Any, bits: Any) -> Any:
    """The float32 equal to the bfloat16 with these 16 bits."""
    if bits != types.uint16:
        return None

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(builder.shl(builder.zext(args[0], _I32), _I32(16)), _F32)

    return types.float32(bits), codegen


@intrinsic
def bf16_from_f32(typingctx: Any, value: Any) -> Any:
    """The bits of the bfloat16 nearest to a float32, ties to even; NaN stays NaN.

    Written with integer operations: ``vcvtneps2bf16`` would flush denormals.
    """
    if value != types.float32:
        return None

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        bits = builder.bitcast(args[0], _I32)
        lowest = builder.and_(builder.lshr(bits, _I32(16)), _I32(1))
        rounded = builder.add(bits, builder.add(lowest, _I32(0x7FFF)))
        is_nan = builder.fcmp_unordered("uno", args[0], args[0])
        result = builder.select(is_nan, builder.or_(bits, _I32(0x400000)), rounded)
        return builder.trunc(builder.lshr(result, _I32(16)), _I16)

    return types.uint16(value), codegen


@intrinsic
def f32_from_f16(typingctx: Any, bits: Any) -> Any:
    """The float32 equal to the IEEE half with these 16 bits.

    Without a conversion instruction: the bit method of Maratyszcza's FP16 library, since LLVM
    would call a compiler-rt function that a Python process does not have.
    """
    if bits != types.uint16:
        return None

    def convert(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.fpext(builder.bitcast(args[0], ir.HalfType()), _F32)

    def compute(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        word = builder.shl(builder.zext(args[0], _I32), _I32(16))
        sign = builder.and_(word, _I32(0x80000000))
        twice = builder.add(word, word)
        exponent = builder.add(builder.lshr(twice, _I32(4)), _I32(0xE0 << 23))
        normal = builder.fmul(builder.bitcast(exponent, _F32), _F32(2.0**-112))
        mantissa = builder.or_(builder.lshr(twice, _I32(17)), _I32(126 << 23))
        denormal = builder.fsub(builder.bitcast(mantissa, _F32), _F32(0.5))
        small = builder.icmp_unsigned("<", twice, _I32(1 << 27))
        value = builder.select(
            small, builder.bitcast(denormal, _I32), builder.bitcast(normal, _I32)
        )
        return builder.bitcast(builder.or_(sign, value), _F32)

    def codegen(context: Any, *given: Any) -> Any:
        return (convert if context.half_conversion else compute)(context, *given)

    return types.float32(bits), codegen


@intrinsic
def f16_from_f32(typingctx: Any, value: Any) -> Any:
    """The bits of the IEEE half nearest to a float32, ties to even; NaN stays NaN.

    Without a conversion instruction: the bit method of Maratyszcza's FP16 library.
    """
    if value != types.float32:
        return None

    def convert(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(builder.fptrunc(args[0], ir.HalfType()), _I16)

    def compute(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        word = builder.bitcast(args[0], _I32)
        magnitude = builder.bitcast(builder.and_(word, _I32(0x7FFFFFFF)), _F32)
        to_infinity = builder.fmul(magnitude, _F32(2.0**112))
        base = builder.fmul(to_infinity, _F32(2.0**-110))
        twice = builder.add(word, word)
        exponent = builder.and_(twice, _I32(0xFF000000))
        least = _I32(0x71000000)
        bias = builder.select(builder.icmp_unsigned("<", exponent, least), least, exponent)
        bias = builder.add(builder.lshr(bias, _I32(1)), _I32(0x07800000))
        bits = builder.bitcast(builder.fadd(builder.bitcast(bias, _F32), base), _I32)
        high = builder.and_(builder.lshr(bits, _I32(13)), _I32(0x7C00))
        number = builder.add(high, builder.and_(bits, _I32(0x0FFF)))
        is_nan = builder.icmp_unsigned(">", twice, _I32(0xFF000000))
        number = builder.select(is_nan, _I32(0x7E00), number)
        sign = builder.and_(builder.lshr(word, _I32(16)), _I32(0x8000))
        return builder.trunc(builder.or_(sign, number), _I16)

    def codegen(context: Any, *given: Any) -> Any:
        return (convert if context.half_conversion else compute)(context, *given)

    return types.uint16(value), codegen
