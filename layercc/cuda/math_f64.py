"""Elementary functions on float64 for GPUs, where there is no C library.

They stand in for those of `layercc.kernels.math_f64` (`layercc.cuda.codegen.words`), and are made
as `layercc.kernels.math_f32` makes its own: Cody and Waite's reduction, then a polynomial. Errors
are in units in the last place.

Importing this module imports Numba; its functions are called from kernels only.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from layercc.kernels.helper import jit
from layercc.kernels.math_intrinsics import absolute, as_bits, copysign, select

_F, _I = np.float64, np.int64
_ZERO, _HALF, _ONE, _TWO = _F(0), _F(0.5), _F(1), _F(2)
_INF, _NAN = _F(np.inf), _F(np.nan)

_LOG2_E = _F(1 / math.log(2))
#: ln 2 in two parts, the first with zeros behind, so that its products with exponents are exact.
_LN2_HIGH, _LN2_LOW = _F(6.93147180369123816490e-01), _F(1.90821492927058770002e-10)
_ROUNDER = _F(3 * 2.0**51)  # added, it leaves an integer in the low bits
_ROUNDER_BITS = int(_ROUNDER.view(np.int64))
_BIAS, _FRACTION = 1023, 52
_EXP_LEAST, _EXP_MOST = _F(-746.0), _F(710.0)  # beyond: 0 and infinity
# 1 / k! from k = 2 on: the rest of the series is below 2^-57 for |r| <= ln(2)/2
_T2, _T3, _T4, _T5, _T6, _T7, _T8, _T9, _T10, _T11, _T12, _T13 = (
    _F(1 / math.factorial(k)) for k in range(2, 14)
)


@jit
def _reduce(x: Any) -> Any:
    """(n, r) with x = n ln 2 + r and n the nearest integer."""
    shifted = x * _LOG2_E + _ROUNDER
    n = shifted - _ROUNDER
    return as_bits(shifted) - _ROUNDER_BITS, (x - n * _LN2_HIGH) - n * _LN2_LOW


@jit
def _power_of_two(n: Any) -> Any:
    """2**n for n in [-1022, 1023]."""
    return as_bits(_I((n + _BIAS) << _FRACTION))


@jit
def _expm1_polynomial(r: Any) -> Any:
    """e**r - 1 for |r| <= ln(2)/2."""
    q = ((((_T13 * r + _T12) * r + _T11) * r + _T10) * r + _T9) * r + _T8
    q = (((((q * r + _T7) * r + _T6) * r + _T5) * r + _T4) * r + _T3) * r + _T2
    return q * (r * r) + r


@jit
def exp(x: Any) -> Any:
    """e**x; 1 ulp."""
    x = select(x < _EXP_LEAST, _EXP_LEAST, x)
    x = select(x > _EXP_MOST, _EXP_MOST, x)
    n, r = _reduce(x)
    half = n >> 1  # 2**n in two steps, so that denormals come out
    return ((_expm1_polynomial(r) + _ONE) * _power_of_two(half)) * _power_of_two(n - half)


_EXPM1_LEAST = _F(-40.0)


@jit
def expm1(x: Any) -> Any:
    """e**x - 1, 2**n (p + 1) - 1 taken apart as 2**n p + (2**n - 1); 1.8 ulp."""
    clamped = select(x < _EXPM1_LEAST, _EXPM1_LEAST, x)
    clamped = select(clamped > _EXP_MOST, _EXP_MOST, clamped)
    n, r = _reduce(clamped)
    p = _expm1_polynomial(r)
    half = _power_of_two(n - 1)  # half of 2**n, which may itself overflow
    y = (p * half + (half - _HALF)) * _TWO
    return copysign(select(n == _I(0), p, y), x)


_TANH_MOST = _F(44.0)
_TANH_SPLIT = _F(1.1)  # twice where tanh is about 1/2


@jit
def tanh(x: Any) -> Any:
    """-z / (z + 2) with z = expm1(-2 |x|), or where that is above 1/2, 1 - 2 e / (z + 2) with
    e = z + 1; 2.5 ulp."""
    twice = absolute(x) * _TWO
    n, r = _reduce(-select(twice > _TANH_MOST, _TANH_MOST, twice))
    scale = _power_of_two(n)
    p = _expm1_polynomial(r)
    z = p * scale + (scale - _ONE)
    power = p * scale + scale
    big = twice > _TANH_SPLIT
    ratio = select(big, power + power, -z) / (z + _TWO)
    return copysign(select(big, _ONE - ratio, ratio), x)


# log(1 + f) by s = f / (2 + f), as FreeBSD's e_log.c has it: coefficients of s^2, s^4, ...
_L1, _L2, _L3 = (
    _F(6.666666666666735130e-01),
    _F(3.999999999940941908e-01),
    _F(2.857142874366239149e-01),
)
_L4, _L5, _L6 = (
    _F(2.222219843214978396e-01),
    _F(1.818357216161805012e-01),
    _F(1.531383769920937332e-01),
)
_L7 = _F(1.479819860511658591e-01)
_ROOT_HALF = int(_F(math.sqrt(0.5)).view(np.int64))
_LEAST_NORMAL, _TWO_54 = _F(2.0**-1022), _F(2.0**54)


@jit
def _split(x: Any) -> Any:
    """(k, f) with x = 2**k (1 + f), 1 + f in [sqrt(1/2), sqrt(2)) and k a float, for normal x."""
    bits = as_bits(x)
    k = (bits - _ROOT_HALF) >> _FRACTION
    return _F(k), as_bits(_I(bits - (k << _FRACTION))) - _ONE


@jit
def _log_of_parts(k: Any, f: Any, low: Any) -> Any:
    """k ln 2 + log(1 + f) + low, for a small `low`."""
    s = f / (_TWO + f)
    z = s * s
    rest = ((((((_L7 * z + _L6) * z + _L5) * z + _L4) * z + _L3) * z + _L2) * z + _L1) * z
    square = _HALF * f * f
    return k * _LN2_HIGH - ((square - (s * (square + rest) + (k * _LN2_LOW + low))) - f)


@jit
def log(x: Any) -> Any:
    """Natural logarithm; 0.8 ulp."""
    tiny = x < _LEAST_NORMAL
    k, f = _split(select(tiny, x * _TWO_54, x))
    k = select(tiny, k - _F(54), k)
    y = select(x == _INF, _INF, _log_of_parts(k, f, _ZERO))
    return select(x > _ZERO, y, select(x == _ZERO, -_INF, _NAN))


@jit
def log1p(x: Any) -> Any:
    """log(1 + x): the log of the rounded sum, plus the rounding error over the sum; 0.8 ulp."""
    u = _ONE + x
    k, f = _split(u)
    y = _log_of_parts(k, f, (x - (u - _ONE)) / u)
    y = copysign(select(x == _INF, _INF, y), x)
    return select(u > _ZERO, y, select(u == _ZERO, -_INF, _NAN))
