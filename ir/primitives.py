"""The primitives that scalar functions (`ir.scalar`) are written with, as NumPy functions.

The CPU and GPU back ends give each of them, by name, an implementation of their own. All follow
IEEE 754: NaN and infinities go through as in the C library. Besides these, scalar functions use
Python's operators `+ - * / // ~ & | ^ << >>`, unary minus and comparisons.

| primitives | meaning |
|---|---|
| exp expm1 log log1p sqrt erf sin cos tan asin acos atan | as in C |
| sinh cosh tanh asinh acosh atanh | as in C |
| floor ceil rint absolute sign | `rint`: half to even; `sign(NaN)` is NaN |
| minimum maximum | NaN if either operand is NaN |
| divide | floats: `/`; integers: truncates toward zero, as in C; x/0 is 0 for integers |
| fmod remainder | the sign of the dividend (C) or of the divisor (Python) |
| power | dtype of the first operand; integers with a negative exponent truncate toward zero |
| where isnan isinf logical_not | |
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

exp, expm1, log, log1p, sqrt = np.exp, np.expm1, np.log, np.log1p, np.sqrt
sin, cos, tan = np.sin, np.cos, np.tan
asin, acos, atan = np.arcsin, np.arccos, np.arctan
sinh, cosh, tanh = np.sinh, np.cosh, np.tanh
asinh, acosh, atanh = np.arcsinh, np.arccosh, np.arctanh
floor, ceil, rint, absolute, sign = np.floor, np.ceil, np.rint, np.absolute, np.sign
minimum, maximum, fmod, remainder = np.minimum, np.maximum, np.fmod, np.remainder
where, isnan, isinf, logical_not = np.where, np.isnan, np.isinf, np.logical_not

_erf = np.frompyfunc(math.erf, 1, 1)


def erf(x: Any) -> Any:
    """The error function, in float64 by the C library, rounded to the dtype of `x`."""
    x = np.asarray(x)
    return np.asarray(_erf(x.astype(np.float64))).astype(x.dtype)


def divide(a: Any, b: Any) -> Any:
    """`a / b`; integers truncate toward zero."""
    dtype = np.result_type(a, b)
    if dtype.kind not in "iu":
        return np.divide(a, b)
    quotient = np.floor_divide(a, b)
    inexact = (np.asarray(a) % b != 0) & ((np.asarray(a) < 0) != (np.asarray(b) < 0))
    return (quotient + inexact).astype(dtype)


def power(a: Any, b: Any) -> Any:
    """`a` to the power of `b`, in the dtype of `a`."""
    a, b = np.asarray(a), np.asarray(b)
    if a.dtype.kind not in "iu":
        return np.power(a, b).astype(a.dtype)
    if b.dtype.kind not in "iu":
        return np.power(a.astype(np.float64), b).astype(a.dtype)
    exact = np.power(a, np.maximum(b, 0).astype(a.dtype))
    small = np.power(a.astype(np.float64), np.minimum(b, 0).astype(np.float64))
    return np.where(b < 0, np.trunc(small).astype(a.dtype), exact)
