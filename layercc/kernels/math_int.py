"""Integer division and remainders, defined for every operand.

On the machine a division by zero, or of the least integer by -1, is a trap. Here, as in NumPy,
x/0 and x%0 are 0, and the least integer over -1 is itself. All functions take two integers of one
type, and give that type. Importing this module imports Numba.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic


def _operation(emit: Callable[[Any, Any, Any, Any], Any]) -> Any:
    """The function of two integers for which `emit(builder, type, a, b)` writes LLVM IR."""

    def typing(typingctx: Any, a: Any, b: Any) -> Any:
        if not isinstance(a, types.Integer) or a != b:
            return None

        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return emit(builder, a, *args)

        return a(a, b), codegen

    typing.__name__, typing.__doc__ = emit.__name__, emit.__doc__
    return intrinsic(typing)


def _truncated(builder: Any, kind: Any, a: Any, b: Any) -> tuple[Any, Any]:
    """Quotient and remainder truncating toward zero; zeros where b is zero."""
    zero, one = ir.Constant(a.type, 0), ir.Constant(a.type, 1)
    by_zero = builder.icmp_unsigned("==", b, zero)
    if kind.signed:
        minus = builder.icmp_unsigned("==", b, ir.Constant(a.type, -1))
        safe = builder.select(builder.or_(by_zero, minus), one, b)
        quotient = builder.select(minus, builder.sub(zero, a), builder.sdiv(a, safe))
        rest = builder.srem(a, safe)
    else:
        safe = builder.select(by_zero, one, b)
        quotient, rest = builder.udiv(a, safe), builder.urem(a, safe)
    return builder.select(by_zero, zero, quotient), builder.select(by_zero, zero, rest)


def _floored(builder: Any, kind: Any, a: Any, b: Any) -> tuple[Any, Any]:
    """Quotient rounded down, and its remainder; zeros where b is zero."""
    quotient, rest = _truncated(builder, kind, a, b)
    if not kind.signed:
        return quotient, rest
    zero, one = ir.Constant(a.type, 0), ir.Constant(a.type, 1)
    differ = builder.icmp_signed("<", builder.xor(rest, b), zero)
    adjust = builder.and_(builder.icmp_unsigned("!=", rest, zero), differ)
    return (
        builder.select(adjust, builder.sub(quotient, one), quotient),
        builder.select(adjust, builder.add(rest, b), rest),
    )


@_operation
def divide(builder: Any, kind: Any, a: Any, b: Any) -> Any:
    """a / b, truncated toward zero."""
    return _truncated(builder, kind, a, b)[0]


@_operation
def fmod(builder: Any, kind: Any, a: Any, b: Any) -> Any:
    """The remainder of ``divide``: it has the sign of a."""
    return _truncated(builder, kind, a, b)[1]


@_operation
def floor_divide(builder: Any, kind: Any, a: Any, b: Any) -> Any:
    """a / b, rounded down."""
    return _floored(builder, kind, a, b)[0]


@_operation
def remainder(builder: Any, kind: Any, a: Any, b: Any) -> Any:
    """The remainder of ``floor_divide``: it has the sign of b."""
    return _floored(builder, kind, a, b)[1]
