"""The primitives of `ir.primitives` on the CPU, by name and data type.

`primitive("exp", "f32")` is a helper for kernels. Importing this module imports Numba.

f32 functions of one argument vectorise, but for asin acos atan sinh cosh asinh acosh atanh, fmod
and remainder, which call the C library. NaN and infinities go through as in NumPy.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from layercc.kernels import math_f32, math_f32_wide, math_f64, math_int
from layercc.kernels import math_intrinsics as base
from layercc.kernels.element_types import FLOATS as FLOATS
from layercc.kernels.element_types import SCALAR as SCALAR
from layercc.kernels.helper import jit
from layercc.kernels.math_intrinsics import select

_BASE = ("sqrt", "floor", "ceil", "rint", "absolute")


@functools.cache
def primitive(name: str, dtype: str) -> Callable[..., Any]:
    """The helper for primitive `name` on operands of `dtype`; KeyError where there is none.

    All operands have `dtype`, but for `power` on f32, whose second operand is float64, and
    `where`, whose first is a bool. `isnan`, `isinf` and `logical_not` give bools.
    """
    found = _general(name, dtype)
    if found is None:
        found = _on_floats(name, dtype) if dtype in FLOATS else _on_integers(name, dtype)
    if found is None:
        raise KeyError(f"no CPU implementation of {name!r} on {dtype}")
    return found


def _general(name: str, dtype: str) -> Callable[..., Any] | None:
    zero = SCALAR[dtype](0)

    def minimum(a: Any, b: Any) -> Any:
        return select(a != a, a, select(b > a, a, b))  # NaN if either is NaN

    def maximum(a: Any, b: Any) -> Any:
        return select(a != a, a, select(b < a, a, b))

    def minimum_of_bits(a: Any, b: Any) -> Any:
        return a & b

    def maximum_of_bits(a: Any, b: Any) -> Any:
        return a | b

    def where(condition: Any, a: Any, b: Any) -> Any:
        return select(condition, a, b)

    def logical_not(x: Any) -> Any:
        return x == zero

    if dtype == "bool":
        made: dict[str, Callable[..., Any]] = {
            "minimum": minimum_of_bits, "maximum": maximum_of_bits, "where": where,
            "logical_not": logical_not,
        }  # fmt: skip
    else:
        made = {
            "minimum": minimum, "maximum": maximum, "where": where, "logical_not": logical_not
        }  # fmt: skip
    return jit(made[name]) if name in made else None


def _on_floats(name: str, dtype: str) -> Callable[..., Any] | None:
    if name in _BASE:
        return getattr(base, name)
    modules = (math_f32, math_f32_wide) if dtype == "f32" else (math_f64,)
    for module in modules:
        if hasattr(module, name):
            return getattr(module, name)
    scalar = SCALAR[dtype]
    zero, one, inf, nan = scalar(0), scalar(1), scalar(np.inf), scalar(np.nan)

    def sign(x: Any) -> Any:
        return select(x > zero, one, select(x < zero, -one, select(x == zero, zero, x)))

    def isnan(x: Any) -> Any:
        return x != x

    def isinf(x: Any) -> Any:
        return base.absolute(x) == inf

    def divide(a: Any, b: Any) -> Any:
        return a / b

    def fmod(a: Any, b: Any) -> Any:
        return base.remainder_of_division(a, b)

    def remainder(a: Any, b: Any) -> Any:
        rest = base.remainder_of_division(a, b)
        moved = select((rest < zero) != (b < zero), rest + b, rest)
        rest = select(rest != zero, moved, base.copysign(zero, b))
        return select(b == zero, nan, rest)

    def floor_divide(a: Any, b: Any) -> Any:
        return base.floor(a / b)

    made: dict[str, Callable[..., Any]] = {
        "sign": sign, "isnan": isnan, "isinf": isinf, "divide": divide, "fmod": fmod,
        "remainder": remainder, "floor_divide": floor_divide,
    }  # fmt: skip
    return jit(made[name]) if name in made else None


def _on_integers(name: str, dtype: str) -> Callable[..., Any] | None:
    scalar = SCALAR[dtype]
    zero, one = scalar(0), scalar(1)

    def itself(x: Any) -> Any:
        return x

    def absolute(x: Any) -> Any:
        return select(x < zero, scalar(-x), x)

    def sign(x: Any) -> Any:
        return select(x > zero, one, select(x < zero, scalar(-one), zero))

    def false(x: Any) -> Any:
        return x != x

    def power(a: Any, b: Any) -> Any:
        """By squaring, wrapping; with a negative exponent the truncated reciprocal."""
        result = one
        factor = a
        left = b
        while left > zero:
            if left & one:
                result = scalar(result * factor)
            factor = scalar(factor * factor)
            left = scalar(left >> one)
        if b < zero:
            if a == one:
                result = one
            elif a == scalar(-one):
                result = select((b & one) != zero, a, one)
            else:
                result = zero
        return result

    made: dict[str, Callable[..., Any]] = {
        "floor": itself, "ceil": itself, "rint": itself, "absolute": absolute, "sign": sign,
        "isnan": false, "isinf": false, "power": power,
    }  # fmt: skip
    if dtype == "bool":
        return None
    if name in ("divide", "fmod", "remainder", "floor_divide"):
        return getattr(math_int, name)
    return jit(made[name]) if name in made else None
