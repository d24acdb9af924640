"""Elementary functions on float32, without branches, so that LLVM vectorises loops over them.

Every function is right at NaN, infinities, signed zeros and denormals, and needs no fused
multiply-add (with one it is as accurate or better). Polynomials are minimax approximations found
by Remez exchange in 50-digit arithmetic. The greatest error, in units in the last place against
a float64 reference, is stated with each function; `tests/cpu/test_math.py` holds them to it.

Importing this module imports Numba; its functions are called from kernels only.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from layercc.kernels.helper import jit
from layercc.kernels.math_intrinsics import (
    absolute,
    add_i32,
    and_i32,
    as_bits,
    c_function,
    copysign,
    select,
    shift_left_i32,
    shift_right_i32,
    subtract_i32,
)

_F = np.float32
_ZERO, _HALF, _ONE, _TWO = _F(0), _F(0.5), _F(1), _F(2)
_INF, _NAN = _F(np.inf), _F(np.nan)
_LOG2_E = _F(1.44269504088896341)
# ln 2 in two parts: the product of the first with an integer of 15 bits is exact.
_LN2_HIGH, _LN2_LOW = _F(0.693359375), _F(-2.12194440054690583e-4)
#: Added to a float below 2**22 in magnitude, it leaves the nearest integer in the low bits.
_ROUNDER = 12582912  # 1.5 * 2**23
_BIAS = 127  # of the exponent of float32
#: With a bias added, the low bits are an exponent, ready to be shifted to its place.
_BIASED, _BIASED_HALF = _F(_ROUNDER + _BIAS), _F(_ROUNDER + _BIAS - 1)
_BIASED_TWICE = _F(_ROUNDER + 2 * _BIAS)

# exp(r) = 1 + r + r^2 * (...) for |r| <= ln(2)/2
_E0, _E1, _E2 = _F(0.49999994), _F(0.1666652), _F(0.0416684)
_E3, _E4 = _F(0.008368852), _F(0.001381432)
_EXP_LEAST, _EXP_MOST = _F(-104.0), _F(89.0)  # beyond: 0 and infinity
_EXP_NORMAL = _F(-87.33)  # below: denormal


@jit
def _reduce(x: Any, rounder: Any) -> Any:
    """(n + rounder, r) with x = n ln 2 + r and n the nearest integer; Cody and Waite (1980)."""
    shifted = x * _LOG2_E + rounder
    n = shifted - rounder
    return shifted, (x - n * _LN2_HIGH) - n * _LN2_LOW


@jit
def _power_of_two(shifted: Any) -> Any:
    """2**n from n + `_BIASED`, for n in [-126, 127]; half of that from n + `_BIASED_HALF`."""
    return as_bits(shift_left_i32(as_bits(shifted), 23))


@jit
def _exp_polynomial(r: Any) -> Any:
    q = (((_E4 * r + _E3) * r + _E2) * r + _E1) * r + _E0
    return (q * (r * r) + r) + _ONE


@jit
def exp(x: Any) -> Any:
    """e**x. Cody-Waite reduction, polynomial of degree 6; 1.0 ulp."""
    x = select(x < _EXP_LEAST, _EXP_LEAST, x)
    x = select(x > _EXP_MOST, _EXP_MOST, x)
    shifted, r = _reduce(x, _BIASED_TWICE)
    # 2**n is made in two steps, n/2 rounded down and up, so that denormals come out
    bits = as_bits(shifted)
    half = shift_right_i32(bits, 1)
    low = as_bits(shift_left_i32(half, 23))
    high = as_bits(shift_left_i32(subtract_i32(bits, half), 23))
    return (_exp_polynomial(r) * low) * high


@jit
def exp_nonpositive(x: Any) -> Any:
    """e**x for x <= 0 (or NaN), 0 below -87.3 where `exp` is denormal; 1.0 ulp."""
    shifted, r = _reduce(x, _BIASED)
    return select(x < _EXP_NORMAL, _ZERO, _exp_polynomial(r) * _power_of_two(shifted))


# expm1(r) = r + r^2 * (...) for |r| <= ln(2)/2
_M0, _M1, _M2 = _F(0.5), _F(0.16666666), _F(0.04166636)
_M3, _M4, _M5 = _F(0.00833339), _F(0.0013940824), _F(0.00019845933)
_EXPM1_LEAST = _F(-17.5)


@jit
def _expm1_polynomial(r: Any) -> Any:
    q = ((((_M5 * r + _M4) * r + _M3) * r + _M2) * r + _M1) * r + _M0
    return q * (r * r) + r


@jit
def expm1(x: Any) -> Any:
    """e**x - 1. As `exp`, with 2**n (p + 1) - 1 taken apart as 2**n p + (2**n - 1); 1.5 ulp."""
    clamped = select(x < _EXPM1_LEAST, _EXPM1_LEAST, x)
    clamped = select(clamped > _EXP_MOST, _EXP_MOST, clamped)
    shifted, r = _reduce(clamped, _BIASED_HALF)
    p = _expm1_polynomial(r)
    half = _power_of_two(shifted)  # half of 2**n, which may itself overflow
    y = (p * half + (half - _HALF)) * _TWO
    return copysign(select(shifted == _BIASED_HALF, p, y), x)


_TANH_MOST = _F(19.0)
_TANH_SPLIT = _F(1.1)  # twice where tanh is about 1/2


@jit
def tanh(x: Any) -> Any:
    """-z / (z + 2) with z = expm1(-2 |x|), or where that is above 1/2, 1 - 2 e / (z + 2) with
    e = z + 1, which loses less; 2.3 ulp."""
    twice = absolute(x) * _TWO
    shifted, r = _reduce(-select(twice > _TANH_MOST, _TANH_MOST, twice), _BIASED)
    scale = _power_of_two(shifted)
    p = _expm1_polynomial(r)
    z = p * scale + (scale - _ONE)
    power = p * scale + scale
    big = twice > _TANH_SPLIT
    ratio = select(big, power + power, -z) / (z + _TWO)
    return copysign(select(big, _ONE - ratio, ratio), x)


@jit
def sigmoid(x: Any) -> Any:
    """1 / (1 + exp(-x)), from exp(-|x|) so that nothing overflows; 2.3 ulp."""
    small = exp(-absolute(x))
    return select(x < _ZERO, small, _ONE) / (_ONE + small)


# log(1 + f) = f - f^2 / 2 + f^3 * (...) for -1/3 <= f <= 1/3
_L0, _L1, _L2, _L3 = _F(0.33333224), _F(-0.24999689), _F(0.20010044), _F(-0.16685465)
_L4, _L5, _L6, _L7 = _F(0.14010915), _F(-0.121151306), _F(0.1396247), _F(-0.1319166)
_TWO_THIRDS = 0x3F2AAAAB  # the bits of 2/3
_MANTISSA = 0x7FFFFF
_LEAST_NORMAL, _TWO_23 = _F(2.0**-126), _F(2.0**23)


@jit
def _split(x: Any) -> Any:
    """(k, f) with x = 2**k (1 + f), f in [-1/3, 1/3) and k a float, for normal x > 0."""
    bits = subtract_i32(as_bits(x), _TWO_THIRDS)
    mantissa = as_bits(add_i32(and_i32(bits, _MANTISSA), _TWO_THIRDS))
    return _F(shift_right_i32(bits, 23)), mantissa - _ONE


@jit
def _log_of_parts(k: Any, f: Any, low: Any) -> Any:
    """k ln 2 + log(1 + f) + low, for a small `low`."""
    p = ((((((_L7 * f + _L6) * f + _L5) * f + _L4) * f + _L3) * f + _L2) * f + _L1) * f + _L0
    square = f * f
    y = (f * square) * p + (k * _LN2_LOW + low)
    return (f + (y - _HALF * square)) + k * _LN2_HIGH


@jit
def log(x: Any) -> Any:
    """Natural logarithm. Mantissa in [2/3, 4/3), polynomial of degree 10; 0.8 ulp."""
    tiny = x < _LEAST_NORMAL
    k, f = _split(select(tiny, x * _TWO_23, x))
    k = select(tiny, k - _F(23), k)
    y = _log_of_parts(k, f, _ZERO)
    y = select(x == _INF, _INF, y)
    return select(x > _ZERO, y, select(x == _ZERO, -_INF, _NAN))


@jit
def log1p(x: Any) -> Any:
    """log(1 + x): the log of the rounded sum, plus the rounding error over the sum; 0.9 ulp."""
    u = _ONE + x
    k, f = _split(u)
    y = _log_of_parts(k, f, (x - (u - _ONE)) / u)
    y = copysign(select(x == _INF, _INF, y), x)
    return select(u > _ZERO, y, select(u == _ZERO, -_INF, _NAN))


# erf(x) = x + x * (...)(x^2) for |x| < _ERF_SPLIT
_R0, _R1, _R2 = _F(0.12837915), _F(-0.37612484), _F(0.112817205)
_R3, _R4, _R5 = _F(-0.026763104), _F(0.0049879733), _F(-0.00059640955)
# erf(t) = 1 - exp(-t * (...)(t)) for _ERF_SPLIT <= t <= 4
_S0, _S1, _S2, _S3 = _F(1.1286529), _F(0.6351333), _F(0.10626658), _F(-0.023787625)
_S4, _S5, _S6 = _F(0.0036545338), _F(-0.00032577108), _F(1.1527531e-05)
_ERF_SPLIT, _ERF_MOST = _F(0.927734375), _F(4.0)


@jit
def erf(x: Any) -> Any:
    """The error function. Below 0.93 an odd polynomial, above 1 - exp(polynomial), after the
    scheme of N. Juffa; 1.4 ulp."""
    t = absolute(x)
    s = x * x
    small = (((((_R5 * s + _R4) * s + _R3) * s + _R2) * s + _R1) * s + _R0) * x + x
    big = select(t > _ERF_MOST, _ERF_MOST, t)
    p = (((((_S6 * big + _S5) * big + _S4) * big + _S3) * big + _S2) * big + _S1) * big + _S0
    shifted, r = _reduce(-(p * big), _BIASED)
    large = copysign(_ONE - _exp_polynomial(r) * _power_of_two(shifted), x)
    return select(t < _ERF_SPLIT, small, large)


# Rarely met in networks: the C library's.
asin, acos, atan, sinh, cosh, asinh, acosh, atanh = (
    c_function(f"{name}f", 1, "f32")
    for name in ("asin", "acos", "atan", "sinh", "cosh", "asinh", "acosh", "atanh")
)
