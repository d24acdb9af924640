"""Functions of numbers that the IR has no op for, made of those that it has."""

from __future__ import annotations

import math
from collections.abc import Sequence

from layercc.frontends.torch.ops.elementary import signbit
from layercc.frontends.torch.promotion import operands
from layercc.frontends.torch.registry import translates
from layercc.frontends.torch.translator import Tensor, Translator

#: Chebyshev coefficients of erfc, in `2 / (2 + x)` (Press et al., Numerical Recipes, 6.2.2).
_ERFC = (
    -1.3026537197817094, 6.4196979235649026e-1, 1.9476473204185836e-2, -9.561514786808631e-3,
    -9.46595344482036e-4, 3.66839497852761e-4, 4.2523324806907e-5, -2.0278578112534e-5,
    -1.624290004647e-6, 1.303655835580e-6, 1.5626441722e-8, -8.5238095915e-8, 6.529054439e-9,
    5.059343495e-9, -9.91364156e-10, -2.27365122e-10, 9.6467911e-11, 2.394038e-12,
    -6.886027e-12, 8.94487e-13, 3.13092e-13, -1.12708e-13, 3.81e-16, 7.106e-15, -1.523e-15,
    -9.4e-17, 1.21e-16, -2.8e-17,
)  # fmt: skip
#: Polynomials of erfinv, the highest power first (Giles, Approximating the erfinv function, 2011).
_ERFINV = (
    2.81022636e-08, 3.43273939e-07, -3.5233877e-06, -4.39150654e-06, 0.00021858087,
    -0.00125372503, -0.00417768164, 0.246640727, 1.50140941,
)  # fmt: skip
_ERFINV_TAIL = (
    -0.000200214257, 0.000100950558, 0.00134934322, -0.00367342844, 0.00573950773,
    -0.0076224613, 0.00943887047, 1.00167406, 2.83297682,
)  # fmt: skip


class _Numbers:
    """Arithmetic on tensors of one element type, and on numbers."""

    def __init__(self, t: Translator, like: Tensor) -> None:
        self.t, self.dtype = t, like.dtype

    def __call__(self, op: str, *given: Tensor | float) -> Tensor:
        values = (x if isinstance(x, Tensor) else self.t.scalar(x, self.dtype) for x in given)
        made: Tensor = self.t.emit(op, *values)
        return made

    def polynomial(self, x: Tensor, coefficients: Sequence[float]) -> Tensor:
        """By Horner's rule, the highest power first."""
        total = self("Add", self("Mul", x, coefficients[0]), coefficients[1])
        for coefficient in coefficients[2:]:
            total = self("Add", self("Mul", total, x), coefficient)
        return total


@translates("atan2", "arctan2")
def atan2(t: Translator, y: Tensor, x: Tensor) -> Tensor:
    """By the ratio of the smaller to the larger, so that nothing overflows."""
    y, x = operands(t, t.dtype, y, x)
    n = _Numbers(t, x)
    height, width = n("Abs", y), n("Abs", x)
    large, small = n("Max", height, width), n("Min", height, width)
    same = t.emit("Equal", large, small)  # both may be 0, or infinite
    zero = t.emit("Equal", large, t.scalar(0, x.dtype))
    diagonal = t.emit("Where", zero, t.scalar(0, x.dtype), t.scalar(1, x.dtype))
    angle = n("Atan", t.emit("Where", same, diagonal, n("Div", small, large)))
    steep = t.emit("Greater", height, width)
    angle = t.emit("Where", steep, n("Sub", math.pi / 2, angle), angle)
    angle = t.emit("Where", signbit(t, x), n("Sub", math.pi, angle), angle)
    return t.emit("Where", signbit(t, y), n("Neg", angle), angle)


@translates("erfc", "special_erfc")
def erfc(t: Translator, x: Tensor) -> Tensor:
    """1 - erf(x), exact to the last digits where erf is near 1 as well."""
    x = t.cast(x, t.dtype)
    return _erfc(_Numbers(t, x), x)


def _erfc(n: _Numbers, x: Tensor) -> Tensor:
    t = n.t
    size = n("Abs", x)
    place = n("Div", 2.0, n("Add", size, 2.0))
    twice = n("Sub", n("Mul", place, 4.0), 2.0)
    total, before = t.scalar(_ERFC[-1], x.dtype), t.scalar(0, x.dtype)  # by Clenshaw's recurrence
    for coefficient in _ERFC[-2:0:-1]:
        made = n("Add", n("Sub", n("Mul", twice, total), before), coefficient)
        total, before = made, total
    power = n("Sub", n("Mul", n("Add", n("Mul", twice, total), _ERFC[0]), 0.5), before)
    tail = n("Mul", place, n("Exp", n("Sub", power, n("Mul", size, size))))
    near = n("Sub", 1.0, n("Erf", x))
    far = t.emit("Where", t.emit("Less", x, t.scalar(0, x.dtype)), n("Sub", 2.0, tail), tail)
    return t.emit("Where", t.emit("Less", size, t.scalar(0.5, x.dtype)), near, far)


@translates("erfinv", "special_erfinv")
def erfinv(t: Translator, x: Tensor) -> Tensor:
    """Giles' approximation and two steps of Newton's on erfc, which keeps digits near 1."""
    x = t.cast(x, t.dtype)
    n = _Numbers(t, x)
    size = n("Abs", x)
    rest = n("Sub", 1.0, size)
    w = n("Neg", n("Log", n("Mul", rest, n("Add", size, 1.0))))
    middle = n.polynomial(n("Sub", w, 2.5), _ERFINV)
    tail = n.polynomial(n("Sub", n("Sqrt", w), 3.0), _ERFINV_TAIL)
    y = n("Mul", t.emit("Where", t.emit("Less", w, t.scalar(5, x.dtype)), middle, tail), size)
    for _ in range(2):
        slope = n("Mul", n("Exp", n("Neg", n("Mul", y, y))), 2 / math.sqrt(math.pi))
        y = n("Add", y, n("Div", n("Sub", _erfc(n, y), rest), slope))
    one, infinity = t.scalar(1, x.dtype), t.scalar(math.inf, x.dtype)
    y = t.emit("Where", t.emit("Equal", size, one), infinity, y)
    return t.emit("Where", signbit(t, x), n("Neg", y), y)
