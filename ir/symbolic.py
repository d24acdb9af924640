"""Arithmetic on shape values: what pointwise ops do to symbolic dims, element by element.

A value known before running holds ints, floats, bools, symbolic dims, and `Quotient`s, which stand
for a dim divided by an integer on its way through float tensors (Cast, Div, Floor, Cast). What
cannot be decided without the values of the symbols raises `Undecided`: the result is then unknown.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from ir.dims import (
    Dim,
    SymbolicDim,
    ceil_div,
    definitely_equal,
    exact_div,
    is_non_negative,
    max_dim,
    may_equal,
    min_dim,
)

#: Floats are taken as fractions with a denominator up to this; others end the propagation.
_MAX_DENOMINATOR = 1 << 12


class Undecided(ValueError):
    """The result depends on the values of symbols."""


@dataclass(frozen=True, slots=True)
class Quotient:
    """`over / under` as a rational number; not an integer, as far as can be shown."""

    over: Dim
    under: int


def is_symbolic(value: object) -> bool:
    return isinstance(value, (SymbolicDim, Quotient))


def as_dim(value: Any) -> Dim:
    """An element of a known integer tensor: a Python int or a symbolic dim."""
    return value if isinstance(value, SymbolicDim) else int(value)


def as_object_array(value: Any) -> np.ndarray:
    """An array that holds `value` (NumPy would take a dim for a string)."""
    if isinstance(value, np.ndarray):
        return value
    box = np.empty((), dtype=object)
    box[()] = value
    return box


def _fraction(value: Any) -> tuple[Dim, int]:
    if isinstance(value, Quotient):
        return value.over, value.under
    if isinstance(value, SymbolicDim):
        return value, 1
    number = Fraction(value)  # Inf and NaN: OverflowError, ValueError
    if number.denominator > _MAX_DENOMINATOR:
        raise Undecided(f"{value} is no simple fraction")
    return number.numerator, number.denominator


def _quotient(over: Dim, under: int) -> Any:
    if under < 0:
        over, under = -over, -under
    whole = exact_div(over, under)
    return Quotient(over, under) if whole is None else whole


def add(a: Any, b: Any) -> Any:
    (p, q), (r, s) = _fraction(a), _fraction(b)
    return _quotient(p * s + r * q, q * s)


def subtract(a: Any, b: Any) -> Any:
    return add(a, negative(b))


def negative(a: Any) -> Any:
    p, q = _fraction(a)
    return _quotient(-p, q)


def multiply(a: Any, b: Any) -> Any:
    (p, q), (r, s) = _fraction(a), _fraction(b)
    return _quotient(p * r, q * s)


def divide(a: Any, b: Any) -> Any:
    """Division of floats."""
    (p, q), (r, s) = _fraction(a), _fraction(b)
    if isinstance(r, int):
        if r == 0:
            raise Undecided("division by zero")
        return _quotient(p * s, q * r)
    whole = exact_div(p * s, q * r)
    if whole is None:
        raise Undecided(f"{a} / {b}")
    return whole


def divide_integers(a: Dim, b: Dim) -> Dim:
    """Division that truncates toward zero."""
    if b == 0:
        raise Undecided("division by zero")
    if isinstance(a, int) and isinstance(b, int):
        return int(Fraction(a, b))
    whole = exact_div(a, b)
    if whole is not None:
        return whole
    if is_non_negative(a) and is_non_negative(b):
        return a // b
    raise Undecided(f"{a} / {b} may be negative")


def modulo(a: Dim, b: Dim, fmod: int = 0) -> Dim:
    if b == 0 or (fmod and not (is_non_negative(a) and is_non_negative(b))):
        raise Undecided(f"{a} % {b}")
    return a % b


def power(a: Any, b: Any) -> Any:
    if isinstance(b, SymbolicDim) or b != int(b) or b < 0:
        raise Undecided(f"{a} ** {b}")
    result: Any = 1
    for _ in range(int(b)):
        result = multiply(result, a)
    return result


def absolute(a: Any) -> Any:
    p, q = _fraction(a)
    if is_non_negative(p):
        return a
    if is_non_negative(-p):
        return _quotient(-p, q)
    raise Undecided(f"sign of {p}")


def floor(a: Any) -> Dim:
    p, q = _fraction(a)
    return p // q


def ceil(a: Any) -> Dim:
    p, q = _fraction(a)
    return ceil_div(p, q)


def to_integer(a: Any) -> Dim:
    """Cast to an integer type: truncates toward zero."""
    p, q = _fraction(a)
    if q == 1:
        return p
    return divide_integers(p, q)


def largest(*values: Any) -> Any:
    return max_dim(*map(_whole, values))


def smallest(*values: Any) -> Any:
    return min_dim(*map(_whole, values))


def clip(x: Any, low: Any = None, high: Any = None) -> Any:
    if low is not None:
        x = largest(x, low)
    return x if high is None else smallest(x, high)


def _whole(value: Any) -> Dim:
    p, q = _fraction(value)
    if q != 1:
        raise Undecided(f"{p}/{q} is no integer")
    return p


def equal(a: Any, b: Any) -> bool:
    (p, q), (r, s) = _fraction(a), _fraction(b)
    if definitely_equal(p * s, r * q):
        return True
    if not may_equal(p * s, r * q):
        return False
    raise Undecided(f"{a} == {b}")


def greater(a: Any, b: Any) -> bool:
    (p, q), (r, s) = _fraction(a), _fraction(b)
    difference = p * s - r * q
    if is_non_negative(difference - 1):
        return True
    if is_non_negative(-difference):
        return False
    raise Undecided(f"{a} > {b}")


def less(a: Any, b: Any) -> bool:
    return greater(b, a)


def greater_or_equal(a: Any, b: Any) -> bool:
    return not greater(b, a)


def less_or_equal(a: Any, b: Any) -> bool:
    return not greater(a, b)


def select(condition: Any, x: Any, y: Any) -> Any:
    if is_symbolic(condition):
        raise Undecided(f"{condition} != 0")
    return x if condition else y
