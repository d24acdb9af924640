# mypy: ignore-errors
"""What GPU kernels can do beyond numba.cuda's words: wide accesses, 32-bit division, pointers.

Importing this module imports Numba; kernel files import it inside their families.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.errors import TypingError
from numba.extending import intrinsic

_I32 = ir.IntType(32)
_WIDEST = 16  # bytes


def _division(emit: Any, doc: str) -> Any:
    def typing(typingctx: Any, a: Any, b: Any) -> Any:
        if not isinstance(a, types.Integer) or not isinstance(b, types.Integer):
            return None

        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            a32, b32 = (
                context.cast(builder, value, kind, types.int32)
                for value, kind in zip(args, signature.args, strict=True)
            )
            return emit(builder, a32, b32)

        return types.int32(a, b), codegen

    typing.__doc__ = doc
    return intrinsic(typing)


quotient = _division(lambda b, x, y: b.udiv(x, y), "x // y of what fits 31 bits; y > 0.")
rest = _division(lambda b, x, y: b.urem(x, y), "x % y of what fits 31 bits; y > 0.")


@intrinsic
def rotated_right(typingctx: Any, bits: Any, by: Any) -> Any:
    """The low 32 bits of an integer, rotated to the right by the low 5 of another, as uint32."""
    if not isinstance(bits, types.Integer) or not isinstance(by, types.Integer):
        return None

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        word, count = (
            context.cast(builder, value, kind, types.uint32)
            for value, kind in zip(args, signature.args, strict=True)
        )
        kind = ir.FunctionType(_I32, [_I32] * 3)
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.fshr.i32")
        return builder.call(function, [word, word, count])

    return types.uint32(bits, by), codegen


def constant_of(value: Any, where: str) -> int:
    if not isinstance(value, types.IntegerLiteral):
        raise TypingError(f"{where}: the number of elements must be a constant integer")
    return value.literal_value


def vector_at(context: Any, builder: Any, pointer: Any, element: Any, count: int) -> Any:
    """(pointer to a vector, its alignment: that of the widest access at most)."""
    kind = context.get_data_type(element)
    size = min(context.get_abi_sizeof(kind) * count, _WIDEST)
    return builder.bitcast(pointer, ir.VectorType(kind, count).as_pointer()), size


@intrinsic(prefer_literal=True)
def load_vector(typingctx: Any, pointer: Any, count: Any) -> Any:
    """`count` (a constant) neighbouring elements as a tuple, in as few accesses as can be.

    The pointer is aligned to all of them, or to 16 bytes.
    """
    if not isinstance(pointer, types.CPointer):
        return None
    length = constant_of(count, "load_vector")
    result = types.UniTuple(pointer.dtype, length)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        place, size = vector_at(context, builder, args[0], pointer.dtype, length)
        vector = builder.load(place, align=size)
        parts = [builder.extract_element(vector, _I32(i)) for i in range(length)]
        return context.make_tuple(builder, result, parts)

    return result(pointer, count), codegen


@intrinsic
def store_vector(typingctx: Any, pointer: Any, values: Any) -> Any:
    """A tuple of elements to neighbouring places; aligned as for `load_vector`."""
    if not isinstance(pointer, types.CPointer) or not isinstance(values, types.UniTuple):
        return None

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        place, size = vector_at(context, builder, args[0], pointer.dtype, values.count)
        kind = context.get_data_type(pointer.dtype)
        vector = ir.Constant(ir.VectorType(kind, values.count), ir.Undefined)
        for index in range(values.count):
            part = builder.extract_value(args[1], index)
            part = context.cast(builder, part, values.dtype, pointer.dtype)
            vector = builder.insert_element(vector, part, _I32(index))
        builder.store(vector, place, align=size)
        return context.get_dummy_value()

    return types.void(pointer, values), codegen


@intrinsic
def first_of(typingctx: Any, array: Any) -> Any:
    """The pointer to the first element of an array: what it points to is not checked or wrapped."""
    if not isinstance(array, types.Array):
        return None
    result = types.CPointer(array.dtype)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return context.make_array(array)(context, builder, args[0]).data

    return result(array), codegen


@intrinsic
def atomic_least(typingctx: Any, pointer: Any, value: Any) -> Any:
    """Makes the int64 in memory the smaller of itself and `value`, whoever else does so."""
    if not isinstance(pointer, types.CPointer) or pointer.dtype != types.int64:
        return None

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        least = context.cast(builder, args[1], signature.args[1], types.int64)
        builder.atomic_rmw("min", args[0], least, "monotonic")
        return context.get_dummy_value()

    return types.void(pointer, value), codegen


def _as_pointer_to(element: Any) -> Any:
    def typing(typingctx: Any, pointer: Any) -> Any:
        if not isinstance(pointer, types.CPointer):
            return None
        result = types.CPointer(element)

        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return builder.bitcast(args[0], context.get_value_type(result))

        return result(pointer), codegen

    typing.__doc__ = f"""The same pointer, to {element}; the place must be aligned for them."""
    return intrinsic(typing)


as_words, as_floats = _as_pointer_to(types.uint32), _as_pointer_to(types.float32)


@intrinsic(prefer_literal=True)
def four_bytes_added(typingctx: Any, word: Any, total: Any, signed: Any) -> Any:
    """total + the four bytes of a uint32, `signed` (a constant) or not, as int32."""
    if word != types.uint32 or total != types.int32:
        return None
    name = "s.s" if signed.literal_value else "u.u"

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        function = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(_I32, [_I32] * 3), f"llvm.nvvm.idp4a.{name}"
        )
        return builder.call(function, [args[0], _I32(0x01010101), args[1]])

    return types.int32(word, total, signed), codegen


@intrinsic
def power_of_two(typingctx: Any, value: Any) -> Any:
    """2 to the power of a float32, to 2 ulp; 0 where it would be denormal."""
    if value != types.float32:
        return None

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = ir.FunctionType(ir.FloatType(), [ir.FloatType()])
        code = ir.InlineAsm(kind, "ex2.approx.ftz.f32 $0, $1;", "=f,f", side_effect=False)
        return builder.call(code, args)

    return types.float32(value), codegen


@intrinsic
def as_type_of(typingctx: Any, value: Any, other: Any) -> Any:
    """A number converted to the type of another."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return context.cast(builder, args[0], value, other)

    return other(value, other), codegen
