# mypy: ignore-errors
"""Functions of the C library on float64, for devices that have no such library.

pow, hyperbolic functions and their inverses, erf and fmod; exp and log are in
`layercc.cuda.math_f64`, sines and their kin in `layercc.cuda.trigonometry`. Errors are at most 1
unit in the last place where nothing else is said, and right at NaN, infinities, zeros and denormals
as C says; `tests/cuda/test_elementary.py` holds them to it.

Importing this module imports Numba; its functions are called from kernels only.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import cuda

from layercc.cuda.intrinsics import as_type_of
from layercc.cuda.math_f64 import exp, expm1, log, log1p
from layercc.kernels.helper import jit
from layercc.kernels.math_intrinsics import (
    absolute,
    as_bits,
    copysign,
    floor,
    rint,
    select,
    sqrt,
    trunc,
)

_INF, _NAN = np.inf, np.nan
_LOG2_E = 1.4426950408889634
# ln 2 in two parts: the product of the first with an integer of 11 bits is exact.
_LN2_HIGH, _LN2_LOW = 0.6931471805598903, 5.497923018708371e-14
_LN2 = 0.6931471805599453
_EXP_LEAST, _EXP_MOST = -746.0, 710.0  # beyond: 0 and infinity
_TWO_54 = 2.0**54
_LEAST_NORMAL = 2.0**-1022
_FRACTION = (1 << 52) - 1
_BIAS = 1023
#: The bits of sqrt(1/2).
_ROOT_HALF = 0x3FE6A09E667F3BCD
_THIRD, _THIRD_LOW = 0.3333333333333333, 1.850371707708594e-17


def polynomial(coefficients: tuple[float, ...]) -> Any:
    """A helper for the polynomial with these coefficients, that of the highest power first."""
    lines = ["def value(x):", f"    y = {float(coefficients[0])!r}"]
    lines += [f"    y = cuda.fma(y, x, {float(each)!r})" for each in coefficients[1:]]
    names = {"cuda": cuda}
    exec("\n".join([*lines, "    return y"]), names)
    return jit(names["value"], contract=False)


@jit(contract=False)
def two_sum(a: Any, b: Any) -> Any:
    """a + b, and its rounding error (Knuth, TAOCP 2, 4.2.2)."""
    total = a + b
    part = total - a
    return total, (a - (total - part)) + (b - part)


@jit
def _power_of_two(n: Any) -> Any:
    """2**n for -1022 <= n <= 1023."""
    return as_bits((n + _BIAS) << 52)


@jit(contract=False)
def _scaled(x: Any, n: Any) -> Any:
    """x * 2**n for |n| <= 2044."""
    half = n >> 1
    return x * _power_of_two(half) * _power_of_two(n - half)


# (e**r - 1 - r) / r**2 for |r| <= ln(2)/2: its Taylor series
_exp_rest = polynomial(tuple(1 / np.prod(np.arange(2.0, k + 1)) for k in range(14, 1, -1)))


@jit(contract=False)
def _exp_of_parts(high: Any, low: Any) -> Any:
    """e**(high + low), 0.55 ulp; high between -746 and 710, low in proportion to it as the error
    of a rounding."""
    n = rint(high * _LOG2_E)
    r, error = two_sum(high - n * _LN2_HIGH, low - n * _LN2_LOW)
    first = 1.0 + r
    rest = (r - (first - 1.0)) + cuda.fma(r * r, _exp_rest(r), error + error * r)
    return _scaled(first + rest, np.int64(n))


# (1/5 + z/7 + z^2/9 + ...), of 2 artanh(s) = 2 s (1 + z (1/3 + z (...))), z = s^2 <= 0.0295
_artanh_rest = polynomial(tuple(1.0 / (2 * k + 1) for k in range(14, 1, -1)))


@jit(contract=False)
def _log_of_parts(x: Any) -> Any:
    """log(x) as a number and a small one, with 2**-64 of it as error, for a finite x > 0.

    2 artanh(s) of s = (m - 1) / (m + 1), in pairs of numbers, with x = 2**k m.
    """
    tiny = x < _LEAST_NORMAL
    bits = as_bits(select(tiny, x * _TWO_54, x)) - _ROOT_HALF
    k = np.float64((bits >> 52) - select(tiny, np.int64(54), np.int64(0)))
    m = as_bits((bits & _FRACTION) + _ROOT_HALF)
    f = m - 1.0
    below, below_low = two_sum(m, 1.0)
    s = f / below
    s_low = cuda.fma(-s, below_low, cuda.fma(-s, below, f)) / below
    z = s * s
    z_low = cuda.fma(2.0 * s, s_low, cuda.fma(s, s, -z))
    factor, factor_low = two_sum(_THIRD, z * _artanh_rest(z))
    factor_low += _THIRD_LOW
    w = z * factor
    w_low = cuda.fma(z, factor, -w) + cuda.fma(z, factor_low, z_low * factor)
    v = s * w
    v_low = cuda.fma(s, w, -v) + cuda.fma(s, w_low, s_low * w)
    high, low = two_sum(k * _LN2_HIGH, 2.0 * s)
    high, error = two_sum(high, 2.0 * v)
    low = (low + error) + 2.0 * (s_low + v_low) + k * _LN2_LOW
    return two_sum(high, low)


@jit(contract=False)
def power(x: Any, y: Any) -> Any:
    """x**y, 0.6 ulp, so that powers of integers are exact where they are numbers of the type.
    The special cases are those of C's pow."""
    if y == 0.0 or x == 1.0:
        return 1.0
    if x != x or y != y:
        return _NAN
    size = absolute(x)
    half = 0.5 * y
    whole = floor(y) == y
    odd = whole and floor(half) != half
    if size == 0.0 or size == _INF:
        value = 0.0 if (size == 0.0) == (y > 0.0) else _INF
    elif absolute(y) == _INF:
        value = 1.0 if size == 1.0 else _INF if (size > 1.0) == (y > 0.0) else 0.0
    elif x < 0.0 and not whole:
        return _NAN
    else:
        high, low = _log_of_parts(size)
        product = y * high
        if product > _EXP_MOST:
            value = _INF
        elif product < _EXP_LEAST:
            value = 0.0
        else:
            value = _exp_of_parts(product, cuda.fma(y, low, cuda.fma(y, high, -product)))
    return copysign(value, x) if odd else value


# --- Hyperbolic functions, after fdlibm (Sun Microsystems, 1993)


@jit(contract=False)
def sinh(x: Any) -> Any:
    """2 ulp."""
    size = absolute(x)
    if size < 22.0:
        t = expm1(size)
        value = 0.5 * (2.0 * t - t * t / (t + 1.0) if size < 1.0 else t + t / (t + 1.0))
    else:
        root = exp(0.5 * size)
        value = 0.5 * exp(size) if size < 709.0 else (0.5 * root) * root
    return copysign(value, x)


@jit(contract=False)
def cosh(x: Any) -> Any:
    """2 ulp."""
    size = absolute(x)
    if size < 0.35:
        t = expm1(size)
        return 1.0 + t * t / (2.0 * (1.0 + t))
    if size < 709.0:
        t = exp(size)
        return 0.5 * t + 0.5 / t
    root = exp(0.5 * size)
    return (0.5 * root) * root


@jit(contract=False)
def asinh(x: Any) -> Any:
    """2 ulp."""
    size = absolute(x)
    square = size * size
    if size > 2.0**28:
        value = log(size) + _LN2
    elif size > 2.0:
        value = log(2.0 * size + 1.0 / (sqrt(square + 1.0) + size))
    else:
        value = log1p(size + square / (1.0 + sqrt(1.0 + square)))
    return copysign(value, x)


@jit(contract=False)
def acosh(x: Any) -> Any:
    """2 ulp; NaN below 1."""
    t = x - 1.0
    if x > 2.0**28:
        return log(x) + _LN2
    if x > 2.0:
        return log(2.0 * x - 1.0 / (x + sqrt(x * x - 1.0)))
    return log1p(t + sqrt(2.0 * t + t * t))


@jit(contract=False)
def atanh(x: Any) -> Any:
    """2 ulp; NaN beyond 1."""
    size = absolute(x)
    twice = size + size
    if size < 0.5:
        value = 0.5 * log1p(twice + twice * size / (1.0 - size))
    else:
        value = 0.5 * log1p(twice / (1.0 - size))
    return copysign(value, x)


# --- erf. Polynomials that interpolate at Chebyshev's points, found in 50-digit arithmetic.

# erf(x) / x, of x^2, for |x| < 1
_ERF_SMALL = (
    -4.230945824295338e-12, 8.709045129053106e-11, -1.216456005728345e-09, 1.4792401209404813e-08,
    -1.6364642158167616e-07, 1.6462045441468418e-06, -1.4925647567519332e-05,
    0.00012055332902888736, -0.000854832702193483, 0.0052239776254232985, -0.02686617064512984,
    0.1128379167095512, -0.37612638903183754, 1.1283791670955126,
)  # fmt: skip
# erfc(x) exp(x^2), of (x - 3) / (x + 3), for 1 <= x <= 6
_ERF_LARGE = (
    1.0072167005051338e-08, 4.678647880859019e-08, 2.441914408170168e-08, -2.3577887451674211e-07,
    -2.932539939512112e-07, 1.2527753906174014e-06, 2.119965615030371e-06, -7.978154535520423e-06,
    -1.2860499068831538e-05, 6.405655476830958e-05, 4.5255299038074156e-05,
    -0.0005970619483056264, 0.0007077464388833582, 0.004269136332825739, -0.0243924993186706,
    0.07166583719797849, -0.15011593650077723, 0.24560380171233087, -0.3262335600430372,
    0.17900115118138996,
)  # fmt: skip
_erf_small, _erf_large = polynomial(_ERF_SMALL), polynomial(_ERF_LARGE)


@jit(contract=False)
def erf(x: Any) -> Any:
    """The error function."""
    size = absolute(x)
    if size < 1.0:
        return x * _erf_small(x * x)
    least = select(size < 6.0, size, 6.0)
    value = 1.0 - exp(-least * least) * _erf_large((least - 3.0) / (least + 3.0))
    return select(x != x, x, copysign(value, x))


@jit(contract=False)
def _exponent(x: Any) -> Any:
    """The exponent of a positive number."""
    tiny = x < _LEAST_NORMAL
    found = (as_bits(select(tiny, x * _TWO_54, x)) >> 52) - _BIAS
    return found - select(tiny, np.int64(54), np.int64(0))


@jit(contract=False)
def _remainder(x: Any, y: Any) -> Any:
    """C's fmod: exact.

    Multiples of y are taken away, up to 50 bits of the quotient at a time: that is exact, for
    what is left is a multiple of their last place.
    """
    left, size = absolute(x), absolute(y)
    if left == _INF or size == 0.0 or x != x or y != y:
        return _NAN
    while left >= size:
        shift = max(_exponent(left) - _exponent(size) - 50, 0)
        step = _scaled(_scaled(size, shift >> 1), shift - (shift >> 1))
        left = cuda.fma(-trunc(left / step), step, left)
        if left < 0.0:  # the quotient was rounded up
            left += step
    return copysign(left, x)


@jit(contract=False)
def remainder_of_division(x: Any, y: Any) -> Any:
    """C's fmod of two numbers of one type, which float64 holds."""
    return as_type_of(_remainder(np.float64(x), np.float64(y)), x)
