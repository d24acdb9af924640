"""Integer division, remainders and powers, defined for every operand.

On the machine a division by zero, or of the least integer by -1, is a trap. Here, as in NumPy,
x/0 and x%0 are 0, and the least integer over -1 is itself. All functions take two integers of one
type, and give that type. Importing this module imports Numba.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic


def _integers(a: Any, b: Any) -> bool:
    return isinstance(a, types.Integer) and a == b


def _parts(builder: Any, kind: Any, a: Any, b: Any) -> tuple[Any, Any, Any]:
    """Quotient and remainder truncating toward zero; and whether b is zero."""
    zero, one = ir.Constant(a.type, 0), ir.Constant(a.type, 1)
    by_zero = builder.icmp_unsigned("==", b, zero)
    if not kind.signed:
        safe = builder.select(by_zero, one, b)
        return builder.udiv(a, safe), builder.urem(a, safe), by_zero
    minus = builder.icmp_unsigned("==", b, ir.Constant(a.type, -1))
    safe = builder.select(builder.or_(by_zero, minus), one, b)
    quotient = builder.select(minus, builder.sub(zero, a), builder.sdiv(a, safe))
    return quotient, builder.srem(a, safe), by_zero


@intrinsic
def divide(typingctx: Any, a: Any, b: Any) -> Any:
    """a / b, truncated toward zero."""
    if not _integers(a, b):
        return None

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        quotient, _, by_zero = _parts(builder, a, *args)
        return builder.select(by_zero, ir.Constant(quotient.type, 0), quotient)

    return a(a, b), codegen


@intrinsic
def fmod(typingctx: Any, a: Any, b: Any) -> Any:
    """The remainder of ``divide``: it has the sign of a."""
    if not _integers(a, b):
        return None

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        _, rest, by_zero = _parts(builder, a, *args)
        return builder.select(by_zero, ir.Constant(rest.type, 0), rest)

    return a(a, b), codegen


def _emit_floored(builder: Any, kind: Any, args: Any) -> tuple[Any, Any]:
    quotient, rest, by_zero = _parts(builder, kind, *args)
    zero, one = ir.Constant(rest.type, 0), ir.Constant(rest.type, 1)
    if kind.signed:
        differ = builder.icmp_signed("<", builder.xor(rest, args[1]), zero)
        adjust = builder.and_(builder.icmp_unsigned("!=", rest, zero), differ)
        rest = builder.select(adjust, builder.add(rest, args[1]), rest)
        quotient = builder.select(adjust, builder.sub(quotient, one), quotient)
    return builder.select(by_zero, zero, quotient), builder.select(by_zero, zero, rest)


@intrinsic
def remainder(typingctx: Any, a: Any, b: Any) -> Any:
    """The remainder of ``floor_divide``: it has the sign of b."""
    if not _integers(a, b):
        return None

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _emit_floored(builder, a, args)[1]

    return a(a, b), codegen


@intrinsic
def floor_divide(typingctx: Any, a: Any, b: Any) -> Any:
    """a / b, rounded down."""
    if not _integers(a, b):
        return None

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _emit_floored(builder, a, args)[0]

    return a(a, b), codegen
