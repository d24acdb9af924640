# mypy: ignore-errors
"""Sines, their kin and inverses on float64, for devices without a C library.

See `layercc.cuda.elementary`. Polynomials and rational functions are those of fdlibm (Sun
Microsystems, 1993). Importing this module imports Numba.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import cuda

from layercc.cuda.elementary import polynomial, two_sum
from layercc.kernels.helper import jit
from layercc.kernels.math_intrinsics import absolute, as_bits, copysign, rint, select, sqrt

_INF, _NAN = np.inf, np.nan
_TWO_OVER_PI = 0.6366197723675814
_HALF_PI, _HALF_PI_LOW = 1.5707963267948966, 6.123233995736766e-17
# pi / 2 in parts of 33 bits, whose products with integers of 20 bits are exact, and what is left
_P1, _P2, _P3 = 1.5707963267341256, 6.077100506303966e-11, 2.0222662487111665e-21
_P4 = 8.4784276603689e-32
#: From here on numbers are reduced by the bits of 2 / pi.
_FAR = 2.0**20
_BITS = 0xA2F9836E4E441529FC2757D1F534DDC0DB6295993C439041FE5163ABDEBBC561B7246E3A424DD2E006492EEA09D1921CFE1DEB1CB129A73EE88235F52EBB4484E99C7026B45F7E413991D639835339F49C845F8BBDF9283B1FF897FFDE05980FEF2F118B5A0A6D1F6D367ECF27CB09B74F463F669E5FEA2D7527BAC7EBE5F17B3D0739F78A5292EA6BFB5FB11F8D5D0856033046FC7B6BABF0CFBC209AF4361D  # noqa: E501
_WORDS = 20
_U = np.uint64
_LOW, _32, _U0, _U1 = _U(0xFFFFFFFF), _U(32), _U(0), _U(1)


def _table() -> Any:
    """The helper `word(i)`: 64 bits of 2 / pi; word 0 has those before the binary point, none."""
    lines = ["def word(i):", "    found = words[0]"]
    lines += [
        f"    found = select(i == {i}, words[{i}], found)".replace(f"words[{i}]", f"w{i}")
        for i in range(1, _WORDS + 1)
    ]
    lines[1] = "    found = w0"
    shifts = range(64 * (_WORDS - 1), -1, -64)
    names = {f"w{i + 1}": _U(_BITS >> s & (1 << 64) - 1) for i, s in enumerate(shifts)}
    names |= {"w0": _U(0), "select": select}
    exec("\n".join([*lines, "    return found"]), names)
    return jit(names["word"])


_word = _table()


@jit
def _product(a: Any, b: Any) -> Any:
    """The high and the low 64 bits of a product."""
    a0, a1, b0, b1 = a & _LOW, a >> _32, b & _LOW, b >> _32
    low, mid = a0 * b0, a1 * b0
    other = a0 * b1 + (low >> _32)
    middle = mid + (other & _LOW)
    high = a1 * b1 + (other >> _32) + (middle >> _32)
    return high, (middle << _32) | (low & _LOW)


@jit(contract=False)
def _reduced_far(x: Any) -> Any:
    """x - n pi/2 for a large x > 0, and n modulo 4: by the bits of 2 / pi that matter (Payne and
    Hanek, "Radian reduction for trigonometric functions", 1983)."""
    bits = as_bits(x)
    m = _U((bits & ((1 << 52) - 1)) | (1 << 52))
    at = (bits >> 52) - 1075 - 2 + 64  # two bits before the point of m * 2/pi, in the table
    first, shift = at >> 6, _U(at & 63)
    w0, w1, w2, w3 = _word(first), _word(first + 1), _word(first + 2), _word(first + 3)
    if shift != _U0:
        back = _U(64) - shift
        w0 = (w0 << shift) | (w1 >> back)
        w1 = (w1 << shift) | (w2 >> back)
        w2 = (w2 << shift) | (w3 >> back)
    high2, low2 = _product(m, w2)
    high1, low1 = _product(m, w1)
    p1 = low1 + high2
    p0 = m * w0 + high1 + (_U1 if p1 < low1 else _U0)
    n = np.int64(p0 >> _U(62))
    f = (p0 << _U(2)) | (p1 >> _U(62))
    g = (p1 << _U(2)) | (low2 >> _U(62))
    sign = 1.0
    if f >> _U(63) != _U0:  # more than a half: to the next quarter
        n, sign = n + 1, -1.0
        f, g = ~f, ~g + _U1
        if g == _U0:
            f += _U1
    a = np.float64(f >> _U(11)) * 2.0**-53
    b = np.float64(((f & _U(0x7FF)) << _U(42)) | (g >> _U(22))) * 2.0**-106
    c = np.float64(g & _U(0x3FFFFF)) * 2.0**-128
    part, rest = two_sum(a, b)
    rest += c
    r = part * _HALF_PI
    low = cuda.fma(part, _HALF_PI, -r) + cuda.fma(part, _HALF_PI_LOW, rest * _HALF_PI)
    r, low = two_sum(r, low)
    return sign * r, sign * low, n


@jit(contract=False)
def _reduced(x: Any) -> Any:
    """(r, low, n) with |x| = n pi/2 + r + low and |r| <= pi/4; n modulo 4 counts. x is finite."""
    size = absolute(x)
    if size >= _FAR:
        return _reduced_far(size)
    n = rint(size * _TWO_OVER_PI)
    r, low = two_sum(size - n * _P1, -n * _P2)
    r, more = two_sum(r, -n * _P3)
    r, low = two_sum(r, (low + more) - n * _P4)
    return r, low, np.int64(n)


_sine_rest = polynomial(
    (1.58969099521155010221e-10, -2.50507602534068634195e-08, 2.75573137070700676789e-06,
     -1.98412698298579493134e-04, 8.33333333332248946124e-03)
)  # fmt: skip
_S1 = -1.66666666666666324348e-01
_cosine_rest = polynomial(
    (-1.13596475577881948265e-11, 2.08757232129817482790e-09, -2.75573143513906633035e-07,
     2.48015872894767294178e-05, -1.38888888888741095749e-03, 4.16666666666666019037e-02)
)  # fmt: skip


@jit(contract=False)
def _sine(r: Any, low: Any) -> Any:
    z = r * r
    v = z * r
    return r - ((z * (0.5 * low - v * _sine_rest(z)) - low) - v * _S1)


@jit(contract=False)
def _cosine(r: Any, low: Any) -> Any:
    z = r * r
    half = 0.5 * z
    w = 1.0 - half
    return w + (((1.0 - w) - half) + (z * (z * _cosine_rest(z)) - r * low))


@jit(contract=False)
def _turned(x: Any, quarters: Any) -> Any:
    """The sine of |x| + quarters * pi/2."""
    if not absolute(x) < _INF:
        return _NAN
    r, low, n = _reduced(x)
    n += quarters
    value = _sine(r, low) if n & 1 == 0 else _cosine(r, low)
    return value if n & 2 == 0 else -value


@jit(contract=False)
def sin(x: Any) -> Any:
    value = _turned(x, 0)
    return select(x == 0.0, x, select(x < 0.0, -value, value))


@jit(contract=False)
def cos(x: Any) -> Any:
    return _turned(x, 1)


@jit(contract=False)
def tan(x: Any) -> Any:
    """2 ulp."""
    if not absolute(x) < _INF:
        return _NAN
    r, low, n = _reduced(x)
    s, c = _sine(r, low), _cosine(r, low)
    value = s / c if n & 1 == 0 else -c / s
    return select(x == 0.0, x, select(x < 0.0, -value, value))


_asin_over = polynomial(
    (3.47933107596021167570e-05, 7.91534994289814532176e-04, -4.00555345006794114027e-02,
     2.01212532134862925881e-01, -3.25565818622400915405e-01, 1.66666666666666657415e-01)
)  # fmt: skip
_asin_under = polynomial(
    (7.70381505559019352791e-02, -6.88283971605453293030e-01, 2.02094576023350569471e00,
     -2.40339491173441421878e00, 1.0)
)  # fmt: skip


@jit(contract=False)
def _asin_ratio(z: Any) -> Any:
    """(asin(x) - x) / x of z = x^2, for |x| <= 1/2."""
    return z * _asin_over(z) / _asin_under(z)


@jit(contract=False)
def _near_one(size: Any) -> Any:
    """acos(size) / 2 as a number and a small one, for 1/2 <= size <= 1; NaN beyond."""
    z = 0.5 * (1.0 - size)
    root = sqrt(z)
    error = cuda.fma(-root, root, z) / (2.0 * root) if z > 0.0 else 0.0
    return root, cuda.fma(root, _asin_ratio(z), error)


@jit(contract=False)
def asin(x: Any) -> Any:
    """2 ulp; NaN beyond 1."""
    size = absolute(x)
    if size < 0.5:
        return x + x * _asin_ratio(x * x)
    root, rest = _near_one(size)
    value = _HALF_PI - (2.0 * root + (2.0 * rest - _HALF_PI_LOW))
    return copysign(value, x)


@jit(contract=False)
def acos(x: Any) -> Any:
    """2 ulp; NaN beyond 1."""
    size = absolute(x)
    if size < 0.5:
        return _HALF_PI - (x - (_HALF_PI_LOW - x * _asin_ratio(x * x)))
    root, rest = _near_one(size)
    if x > 0.0:
        return 2.0 * (root + rest)
    return 2.0 * (_HALF_PI - (root + (rest - _HALF_PI_LOW)))


# (x - atan(x)) / x, of x^2
_atan_rest = polynomial(
    (1.62858201153657823623e-02, -3.65315727442169155270e-02, 4.97687799461593236017e-02,
     -5.83357013379057348645e-02, 6.66107313738753120669e-02, -7.69187620504482999495e-02,
     9.09088713343650656196e-02, -1.11111104054623557880e-01, 1.42857142725034663711e-01,
     -1.99999999998764832476e-01, 3.33333333333329318027e-01)
)  # fmt: skip
_HALF_ATAN, _HALF_ATAN_LOW = 4.63647609000806093515e-01, 2.26987774529616870924e-17
_QUARTER_PI, _QUARTER_PI_LOW = 7.85398163397448278999e-01, 3.06161699786838301793e-17
_MORE_ATAN, _MORE_ATAN_LOW = 9.82793723247329054082e-01, 1.39033110312309984516e-17


@jit(contract=False)
def atan(x: Any) -> Any:
    size = absolute(x)
    high, low, t = 0.0, 0.0, size
    if size >= 2.4375:
        high, low, t = _HALF_PI, _HALF_PI_LOW, -1.0 / size
    elif size >= 1.1875:
        high, low, t = _MORE_ATAN, _MORE_ATAN_LOW, (size - 1.5) / (1.0 + 1.5 * size)
    elif size >= 0.6875:
        high, low, t = _QUARTER_PI, _QUARTER_PI_LOW, (size - 1.0) / (size + 1.0)
    elif size >= 0.4375:
        high, low, t = _HALF_ATAN, _HALF_ATAN_LOW, (2.0 * size - 1.0) / (2.0 + size)
    z = t * t
    value = high - ((t * (z * _atan_rest(z)) - low) - t)
    return copysign(value, x)
