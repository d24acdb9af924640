"""Elementary functions on float32 that compute in float64: sin, cos, tan and pow.

Without branches, so that LLVM vectorises loops over them, with half as many elements in a vector.
The results are nearly always correctly rounded (0.51 ulp at most). Polynomials are minimax
approximations found by Remez exchange in 50-digit arithmetic.
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
    floor,
    select,
    shift_right_i32,
    subtract_i32,
)

_F, _D = np.float32, np.float64

# --- sin, cos, tan
# x = m 2^q with an integer m of 24 bits. Whole turns in x * 2/pi do not matter, so of 2/pi only
# the part below 2^(2-q) is needed (Payne and Hanek's reduction). One such part serves a stretch
# of 24 exponents; it is taken in three pieces, the first two of 29 bits, whose product with x is
# exact, and the next 53 bits.
_TWO_OVER_PI_BITS = 256
_TWO_OVER_PI = 0xA2F9836E4E441529FC2757D1F534DDC0DB6295993C439041FE5163ABDEBBC561
_STRETCHES = (25, 49, 73, 97)  # where q is at least this, the next part is taken


def _pieces(q: int) -> tuple[np.float64, np.float64, np.float64]:
    part = _TWO_OVER_PI % (1 << (_TWO_OVER_PI_BITS + 2 - q))
    drop = part.bit_length() - 29
    high = part >> drop << drop
    middle = (part - high) >> (drop - 29) << (drop - 29)
    one = 1 << _TWO_OVER_PI_BITS
    return _D(high / one), _D(middle / one), _D((part - high - middle) / one)


_H0, _I0, _J0 = _pieces(0)
_H1, _I1, _J1 = _pieces(_STRETCHES[0])
_H2, _I2, _J2 = _pieces(_STRETCHES[1])
_H3, _I3, _J3 = _pieces(_STRETCHES[2])
_H4, _I4, _J4 = _pieces(_STRETCHES[3])
_B1, _B2, _B3, _B4 = (_F(2.0 ** (q + 23)) for q in _STRETCHES)
_ROUNDER = _D(6755399441055744.0)  # 1.5 * 2**52: leaves the nearest integer in the low bits
_HALF_PI = _D(np.pi / 2)
_S0, _S1, _S2 = _D(0.9999999999954043), _D(-0.16666666630153792), _D(0.008333328662122906)
_S3, _S4 = _D(-0.00019839169964330254), _D(2.71707571737123e-06)
_C0, _C1, _C2 = _D(0.9999999999433555), _D(-0.49999999568025955), _D(0.04166661290526216)
_C3, _C4 = _D(-0.001388651953772419), _D(2.4371811187620782e-05)


@jit
def _sin_cos(x: Any) -> Any:
    """(quadrant, sin r, cos r) with x = quadrant pi/2 + r and |r| <= pi/4, r in float64."""
    size = absolute(x)
    b1, b2, b3, b4 = size >= _B1, size >= _B2, size >= _B3, size >= _B4
    high = select(b4, _H4, select(b3, _H3, select(b2, _H2, select(b1, _H1, _H0))))
    middle = select(b4, _I4, select(b3, _I3, select(b2, _I2, select(b1, _I1, _I0))))
    low = select(b4, _J4, select(b3, _J3, select(b2, _J2, select(b1, _J1, _J0))))
    wide = _D(x)
    high *= wide
    middle *= wide
    turns1 = high + _ROUNDER
    turns2 = middle + _ROUNDER
    exact = (high - (turns1 - _ROUNDER)) + (middle - (turns2 - _ROUNDER))
    turns3 = exact + wide * low + _ROUNDER
    r = ((exact - (turns3 - _ROUNDER)) + wide * low) * _HALF_PI
    z = r * r
    sine = ((((_S4 * z + _S3) * z + _S2) * z + _S1) * z + _S0) * r
    cosine = (((_C4 * z + _C3) * z + _C2) * z + _C1) * z + _C0
    return as_bits(turns1) + as_bits(turns2) + as_bits(turns3), sine, cosine


@jit
def sin(x: Any) -> Any:
    """Sine, with exact range reduction for every float32; 0.51 ulp."""
    quadrant, sine, cosine = _sin_cos(x)
    y = select((quadrant & 1) != 0, cosine, sine)
    return _F(select((quadrant & 2) != 0, -y, y))


@jit
def cos(x: Any) -> Any:
    """Cosine, with exact range reduction for every float32; 0.51 ulp."""
    quadrant, sine, cosine = _sin_cos(x)
    y = select((quadrant & 1) != 0, sine, cosine)
    return _F(select(((quadrant + 1) & 2) != 0, -y, y))


@jit
def tan(x: Any) -> Any:
    """Tangent, with exact range reduction for every float32; 0.51 ulp."""
    quadrant, sine, cosine = _sin_cos(x)
    odd = (quadrant & 1) != 0
    return _F(select(odd, -cosine, sine) / select(odd, sine, cosine))


# --- pow: 2^(y log2 x). The relative error of log2 is 2^-45, so that of the power below 2^-33.
# log2((1 + s) / (1 - s)) = s * (...)(s^2) for 1/sqrt(2) <= (1 + s) / (1 - s) < sqrt(2)
_P0, _P1, _P2 = _D(2.885390081777849), _D(0.961796694115344), _D(0.5770779417315284)
_P3, _P4, _P5 = _D(0.4122093211183762), _D(0.3199026984568627), _D(0.28294537743901516)
# 2^r for |r| <= 1/2
_Q0, _Q1, _Q2, _Q3 = (
    _D(0.9999999999610701),
    _D(0.693147180731073),
    _D(0.2402265120418949),
    _D(0.05550410347408271),
)
_Q4, _Q5, _Q6, _Q7 = (
    _D(0.009618026438661997),
    _D(0.0013333925404063137),
    _D(0.00015469554050995623),
    _D(1.5201733803266481e-05),
)
_ROOT_HALF, _MANTISSA = 0x3F3504F3, 0x7FFFFF
_LEAST_NORMAL, _TWO_23 = _F(2.0**-126), _F(2.0**23)
_DINF, _DNAN = _D(np.inf), _D(np.nan)
_LIMIT = _D(300.0)  # 2**300 is infinity as float32, 2**-300 is 0


@jit
def _log2(x: Any) -> Any:
    """log2 of a float32 x >= 0, in float64."""
    tiny = x < _LEAST_NORMAL
    bits = subtract_i32(as_bits(select(tiny, x * _TWO_23, x)), _ROOT_HALF)
    mantissa = _D(as_bits(add_i32(and_i32(bits, _MANTISSA), _ROOT_HALF)))
    k = _D(shift_right_i32(bits, 23)) - select(tiny, _D(23), _D(0))
    s = (mantissa - _D(1)) / (mantissa + _D(1))
    z = s * s
    y = k + (((((_P5 * z + _P4) * z + _P3) * z + _P2) * z + _P1) * z + _P0) * s
    y = select(x == _F(0), -_DINF, y)
    return select(x < _F(np.inf), y, _D(x))  # infinity and NaN


@jit
def power(x: Any, y: Any) -> Any:
    """x**y for a float32 x and a float64 y, with the special cases of C's `pow`; 0.51 ulp."""
    magnitude = absolute(x)
    t = y * _log2(magnitude)
    t = select(t > _LIMIT, _LIMIT, t)
    t = select(t < -_LIMIT, -_LIMIT, t)
    shifted = t + _ROUNDER
    r = t - (shifted - _ROUNDER)
    p = ((((((_Q7 * r + _Q6) * r + _Q5) * r + _Q4) * r + _Q3) * r + _Q2) * r + _Q1) * r + _Q0
    scale = as_bits((as_bits(shifted) << 52) + (1023 << 52))
    result = p * scale
    result = select((magnitude == _F(1)) & (y == y), _D(1), result)  # 1**inf
    whole = floor(y) == y
    odd = whole & (floor(y * _D(0.5)) != y * _D(0.5))
    negative = as_bits(x) < 0  # so that -0 counts
    result = select(negative & odd, -result, result)
    invalid = (x < _F(0)) & (x > -_F(np.inf)) & (whole == False) & (absolute(y) < _DINF)  # noqa: E712
    result = select(invalid, _DNAN, result)
    return _F(select((y == _D(0)) | (x == _F(1)), _D(1), result))
