"""Scalar functions behind the pointwise ops.

Each is written once, for one element, with the primitives of `ir.primitives`. On NumPy arrays they
are the reference; the CPU and GPU back ends compile the same functions, giving each primitive
(`exp`, `where`, ...) their own implementation. So: no Python `if` on values, no NumPy beyond the
primitives. Attributes are keyword arguments, known when a kernel is compiled, and so is whether
an optional input is present (`None` where absent): on those `if` is fine.
"""

from __future__ import annotations

from math import inf, pi
from math import sqrt as _root
from typing import Any

from ir.primitives import (
    absolute,
    acos,
    acosh,
    asin,
    asinh,
    atan,
    atanh,
    ceil,
    cos,
    cosh,
    divide,
    erf,
    exp,
    expm1,
    floor,
    fmod,
    isinf,
    isnan,
    log,
    log1p,
    logical_not,
    maximum,
    minimum,
    power,
    remainder,
    rint,
    sign,
    sin,
    sinh,
    sqrt,
    tan,
    tanh,
    where,
)  # fmt: skip

__all__ = [
    "absolute", "acos", "acosh", "asin", "asinh", "atan", "atanh", "ceil", "cos", "cosh", "divide",
    "erf", "exp", "floor", "isnan", "log", "logical_not", "power", "rint", "sign", "sin", "sinh",
    "sqrt", "tan", "tanh",
]  # fmt: skip  # primitives that are ops themselves

_SQRT_HALF = _root(0.5)
_SQRT_2_OVER_PI = _root(2 / pi)

# --- arithmetic


def identity(x: Any) -> Any:
    return x


def add(a: Any, b: Any) -> Any:
    return a + b


def subtract(a: Any, b: Any) -> Any:
    return a - b


def multiply(a: Any, b: Any) -> Any:
    return a * b


def modulo(a: Any, b: Any, fmod: int = 0) -> Any:
    """Remainder of floor division, or with `fmod` of truncating division."""
    return _truncated_remainder(a, b) if fmod else remainder(a, b)


_truncated_remainder = fmod


def negative(x: Any) -> Any:
    return -x


def reciprocal(x: Any) -> Any:
    return 1 / x


def sum_of(*values: Any) -> Any:
    result = values[0]
    for value in values[1:]:
        result = result + value
    return result


def mean_of(*values: Any) -> Any:
    return sum_of(*values) / len(values)


def largest(*values: Any) -> Any:
    result = values[0]
    for value in values[1:]:
        result = maximum(result, value)
    return result


def smallest(*values: Any) -> Any:
    result = values[0]
    for value in values[1:]:
        result = minimum(result, value)
    return result


def clip(x: Any, low: Any = None, high: Any = None) -> Any:
    """min(max(x, low), high): `high` wins over `low`; NaN stays NaN."""
    if low is not None:
        x = maximum(x, low)
    if high is not None:
        x = minimum(x, high)
    return x


# --- comparison, logic, bits


def equal(a: Any, b: Any) -> Any:
    return a == b


def greater(a: Any, b: Any) -> Any:
    return a > b


def greater_or_equal(a: Any, b: Any) -> Any:
    return a >= b


def less(a: Any, b: Any) -> Any:
    return a < b


def less_or_equal(a: Any, b: Any) -> Any:
    return a <= b


def bitwise_and(a: Any, b: Any) -> Any:
    return a & b


def bitwise_or(a: Any, b: Any) -> Any:
    return a | b


def bitwise_xor(a: Any, b: Any) -> Any:
    return a ^ b


def bitwise_not(x: Any) -> Any:
    return ~x


def bit_shift(x: Any, y: Any, direction: str) -> Any:
    """Shifts by an amount outside the width of the type leave only the sign fill of `x`.

    The shift is made in steps of at most 7 bits, the width of the narrowest type less one, since
    shifting by the width or more has no defined result on most machines.
    """
    amount = where((y < 0) | (y > 63), 70, y)
    for _ in range(10):
        step = minimum(amount, 7)
        x = x << step if direction == "LEFT" else x >> step
        amount = amount - step
    return x


def is_infinite(x: Any, detect_negative: int = 1, detect_positive: int = 1) -> Any:
    if detect_negative and detect_positive:
        return isinf(x)
    if detect_negative:
        return x == -inf
    if detect_positive:
        return x == inf
    return isnan(x) & isinf(x)  # neither is asked for: false


def select(condition: Any, x: Any, y: Any) -> Any:
    return where(condition, x, y)


# --- activations


def relu(x: Any) -> Any:
    """max(x, 0); NaN stays NaN."""
    return maximum(x, 0)


def leaky_relu(x: Any, alpha: float = 0.01) -> Any:
    return where(x < 0, x * alpha, x)


def prelu(x: Any, slope: Any) -> Any:
    return where(x < 0, x * slope, x)


def thresholded_relu(x: Any, alpha: float = 1.0) -> Any:
    """x above alpha, else 0, also for NaN."""
    return where(x > alpha, x, 0)


def elu(x: Any, alpha: float = 1.0) -> Any:
    return where(x < 0, alpha * expm1(x), x)


def celu(x: Any, alpha: float = 1.0) -> Any:
    return maximum(x, 0) + minimum(alpha * expm1(x / alpha), 0)


def selu(x: Any, alpha: float = 1.67326319217681884765625, gamma: float = 1.05070102214813232421875
         ) -> Any:  # fmt: skip
    return gamma * where(x <= 0, alpha * expm1(x), x)


def sigmoid(x: Any) -> Any:
    """1 / (1 + exp(-x)), from exp(-|x|) so that nothing overflows."""
    small = exp(-absolute(x))
    return where(x < 0, small, 1) / (1 + small)


def rational_sigmoid(x: Any) -> Any:
    """The sigmoid to within 1.8e-7: the approximation of MLAS, onnxruntime's library of kernels."""
    x = clip(x, -18.0, 18.0)
    square = x * x
    above = (4.37031012579801e-11, 1.15627324459942e-07, 6.08574864600143e-05,
             8.51377133304701e-03, 2.48287947061529e-01)  # fmt: skip
    below = (6.10247389755681e-13, 5.76102136993427e-09, 6.29106785017040e-06,
             1.70198817374094e-03, 1.16817656904453e-01, 9.93151921023180e-01)  # fmt: skip
    return clip(_horner(above, square) * x / _horner(below, square) + 0.5, 0.0, 1.0)


def rational_tanh(x: Any) -> Any:
    """tanh to within 2.8e-7: the approximation of Eigen, and of MLAS after it."""
    x = clip(x, -9.0, 9.0)
    square = x * x
    above = (-2.76076847742355e-16, 2.00018790482477e-13, -8.60467152213735e-11,
             5.12229709037114e-08, 1.48572235717979e-05, 6.37261928935756e-04,
             4.89352455891786e-03)  # fmt: skip
    below = (1.19825839466702e-06, 1.18534705686654e-04, 2.26843463243900e-03,
             4.89352518554385e-03)  # fmt: skip
    return _horner(above, square) * x / _horner(below, square)


def _horner(coefficients: tuple[float, ...], x: Any) -> Any:
    """The polynomial with these coefficients, the highest power's first."""
    value = coefficients[0] * x + coefficients[1]
    for coefficient in coefficients[2:]:
        value = value * x + coefficient
    return value


def hard_sigmoid(x: Any, alpha: float = 0.2, beta: float = 0.5) -> Any:
    return minimum(maximum(alpha * x + beta, 0), 1)


def hard_swish(x: Any) -> Any:
    return x * minimum(maximum(x / 6 + 0.5, 0), 1)


def softplus(x: Any) -> Any:
    """log(1 + exp(x)), without overflow."""
    return maximum(x, 0) + log1p(exp(-absolute(x)))


def softsign(x: Any) -> Any:
    return x / (1 + absolute(x))


def swish(x: Any, alpha: float = 1.0) -> Any:
    return x * sigmoid(alpha * x)


def swiglu(a: Any, b: Any, alpha: float = 1.0) -> Any:
    return swish(a, alpha) * b


def mish(x: Any) -> Any:
    return x * tanh(softplus(x))


def gelu(x: Any, approximate: str = "none") -> Any:
    return gelu_tanh(x) if approximate == "tanh" else gelu_erf(x)


def gelu_erf(x: Any) -> Any:
    return 0.5 * x * (1 + erf(x * _SQRT_HALF))


def gelu_tanh(x: Any) -> Any:
    return 0.5 * x * (1 + tanh(_SQRT_2_OVER_PI * (x + 0.044715 * x * x * x)))


def fast_gelu(x: Any, bias: Any = None) -> Any:
    return gelu_tanh(x if bias is None else x + bias)


def quick_gelu(x: Any, alpha: float = 1.702) -> Any:
    return x * sigmoid(alpha * x)


def bias_gelu(a: Any, b: Any) -> Any:
    return gelu_erf(a + b)


def shrink(x: Any, bias: float = 0.0, lambd: float = 0.5) -> Any:
    """0 within lambd of 0, and for NaN; else x moved towards 0 by bias."""
    return where(x < -lambd, x + bias, where(x > lambd, x - bias, 0))
