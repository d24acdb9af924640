"""Scalar operations that the elementary functions are built from, as single LLVM instructions.

Importing this module imports Numba. All names are called from kernels only. Operations on int32
wrap; Numba's own operators would widen to int64.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

_FLOATS = {types.float32: "f32", types.float64: "f64"}
_SAME_WIDTH: dict[Any, Any] = {
    types.float32: types.int32,
    types.float64: types.int64,
    types.int32: types.float32,
    types.int64: types.float64,
}


@intrinsic
def select(typingctx: Any, condition: Any, yes: Any, no: Any) -> Any:
    """``yes if condition else no`` without a branch; both have the same type."""
    if condition != types.boolean or yes != no:
        return None

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.select(*args)

    return yes(condition, yes, no), codegen


@intrinsic
def as_bits(typingctx: Any, value: Any) -> Any:
    """float32 as int32, float64 as int64, and back: the same bits."""
    result = _SAME_WIDTH.get(value)
    if result is None:
        return None

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], context.get_value_type(result))

    return result(value), codegen


def _llvm_function(name: str, doc: str, *, binary: bool = False) -> Any:
    """The LLVM intrinsic ``name`` on one float32 or float64, or on two of one type."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        result = signature.return_type
        kind = context.get_value_type(result)
        function = cgutils.get_or_insert_function(
            builder.module,
            ir.FunctionType(kind, [kind] * len(args)),
            f"llvm.{name}.{_FLOATS[result]}",
        )
        return builder.call(function, args)

    def unary_typing(typingctx: Any, x: Any) -> Any:
        return (x(x), codegen) if x in _FLOATS else None

    def binary_typing(typingctx: Any, x: Any, y: Any) -> Any:
        return (x(x, y), codegen) if x in _FLOATS and x == y else None

    typing: Any = binary_typing if binary else unary_typing
    typing.__doc__ = doc
    return intrinsic(typing)


sqrt = _llvm_function("sqrt", "Square root, correctly rounded.")
floor = _llvm_function("floor", "Round down.")
ceil = _llvm_function("ceil", "Round up.")
rint = _llvm_function("rint", "Round to nearest, ties to even.")
trunc = _llvm_function("trunc", "Round towards zero.")
absolute = _llvm_function("fabs", "Clear the sign.")
maximum = _llvm_function("maximum", "The larger, or NaN if either is NaN.", binary=True)
minimum = _llvm_function("minimum", "The smaller, or NaN if either is NaN.", binary=True)
copysign = _llvm_function("copysign", "The magnitude of x with the sign of y.", binary=True)


@intrinsic
def remainder_of_division(typingctx: Any, x: Any, y: Any) -> Any:
    """C's fmod of two floats."""
    if x not in _FLOATS or x != y:
        return None

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.frem(*args)

    return x(x, y), codegen


def _int32_operation(emit: Callable[[Any, Any, Any], Any], doc: str) -> Any:
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


add_i32 = _int32_operation(lambda builder, a, b: builder.add(a, b), "a + b, wrapping.")
subtract_i32 = _int32_operation(lambda builder, a, b: builder.sub(a, b), "a - b, wrapping.")
and_i32 = _int32_operation(lambda builder, a, b: builder.and_(a, b), "a & b.")
shift_left_i32 = _int32_operation(lambda builder, a, b: builder.shl(a, b), "a << b, wrapping.")
shift_right_i32 = _int32_operation(lambda builder, a, b: builder.ashr(a, b), "a >> b.")


def c_function(name: str, operands: int = 1, dtype: str = "f64") -> Any:
    """The C library's function ``name`` (``"erf"``, ``"asinf"``), for float64 or float32."""
    numba_type, llvm_type = (
        (types.float64, ir.DoubleType()) if dtype == "f64" else (types.float32, ir.FloatType())
    )

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        function = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(llvm_type, [llvm_type] * operands), name
        )
        return builder.call(function, args)

    if operands == 1:

        def unary(typingctx: Any, x: Any) -> Any:
            return (numba_type(x), codegen) if x == numba_type else None

        return intrinsic(unary)

    def binary(typingctx: Any, x: Any, y: Any) -> Any:
        return (numba_type(x, y), codegen) if x == y == numba_type else None

    return intrinsic(binary)
