"""Arithmetic of tensors and numbers, with PyTorch's roundings of divisions."""

from __future__ import annotations

from typing import Any

from ir.dtypes import DType
from layercc.frontends.torch.ops.elementary import signbit, trunc
from layercc.frontends.torch.promotion import is_float, operands
from layercc.frontends.torch.registry import enter, translates
from layercc.frontends.torch.translator import Tensor, Translator


def _binary(op: str, logical: str = "") -> Any:
    """`logical` is what the op is on booleans."""

    def translation(t: Translator, a: Any, b: Any) -> Tensor:
        left, right = operands(t, t.dtype, a, b)
        if t.dtype == DType.bool:
            return t.emit(logical, left, right)
        return t.emit(op, left, right)

    return translation


for _name, _op, _on_bools in (
    ("mul", "Mul", "And"),
    ("maximum", "Max", "Or"),
    ("minimum", "Min", "And"),
):
    for _overload in (f"{_name}.Tensor", f"{_name}.Scalar") if _name == "mul" else (_name,):
        enter(_overload, _binary(_op, _on_bools))


@translates("add.Tensor", "add.Scalar")
def add(t: Translator, a: Any, b: Any, alpha: Any = 1) -> Tensor:
    left, right = operands(t, t.dtype, a, b)
    if t.dtype == DType.bool:
        return t.emit("Or", left, right)
    return t.emit("Add", left, _scaled(t, right, alpha))


@translates("sub.Tensor", "sub.Scalar")
def sub(t: Translator, a: Any, b: Any, alpha: Any = 1) -> Tensor:
    left, right = operands(t, t.dtype, a, b)
    return t.emit("Sub", left, _scaled(t, right, alpha))


@translates("rsub.Tensor", "rsub.Scalar")
def rsub(t: Translator, a: Any, b: Any, alpha: Any = 1) -> Tensor:
    return sub(t, b, a, alpha)


def _scaled(t: Translator, x: Tensor, factor: Any) -> Tensor:
    if not isinstance(factor, Tensor) and factor == 1:
        return x
    return t.emit("Mul", x, t.scalar(factor, x.dtype))


@translates("addcmul")
def addcmul(t: Translator, x: Tensor, a: Tensor, b: Tensor, value: Any = 1) -> Tensor:
    x, a, b = operands(t, t.dtype, x, a, b)
    return t.emit("Add", x, _scaled(t, t.emit("Mul", a, b), value))


@translates("addcdiv")
def addcdiv(t: Translator, x: Tensor, a: Tensor, b: Tensor, value: Any = 1) -> Tensor:
    x, a, b = operands(t, t.dtype, x, a, b)
    return t.emit("Add", x, _scaled(t, t.emit("Div", a, b), value))


@translates("lerp.Scalar")
def lerp(t: Translator, start: Tensor, end: Tensor, weight: float) -> Tensor:
    way = t.emit("Sub", end, start)
    if abs(weight) < 0.5:  # as PyTorch, from the nearer end
        return t.emit("Add", start, _scaled(t, way, weight))
    return t.emit("Sub", end, _scaled(t, way, 1 - weight))


@translates("div.Tensor", "div.Scalar", "true_divide.Tensor")
def div(t: Translator, a: Any, b: Any) -> Tensor:
    return t.emit("Div", *operands(t, t.dtype, a, b))


@translates("div.Tensor_mode", "div.Scalar_mode")
def div_rounded(t: Translator, a: Any, b: Any, rounding_mode: str | None = None) -> Tensor:
    a, b = operands(t, t.dtype, a, b)
    if rounding_mode == "floor":
        return _floor_division(t, a, b)
    quotient = t.emit("Div", a, b)
    if rounding_mode == "trunc" and is_float(t.dtype):
        return trunc(t, quotient)
    return quotient


@translates("floor_divide", "floor_divide.Scalar")
def floor_divide(t: Translator, a: Any, b: Any) -> Tensor:
    return _floor_division(t, *operands(t, t.dtype, a, b))


def _floor_division(t: Translator, a: Tensor, b: Tensor) -> Tensor:
    rest = _remainder(t, a, b)
    exact = t.emit("Div", t.emit("Sub", a, rest), b)
    if not is_float(a.dtype):
        return exact
    none = t.emit("Equal", b, t.scalar(0, b.dtype))
    return t.emit("Where", none, t.emit("Div", a, b), t.emit("Round", exact))


@translates("remainder.Tensor", "remainder.Scalar", "remainder.Scalar_Tensor")
def remainder(t: Translator, a: Any, b: Any) -> Tensor:
    return _remainder(t, *operands(t, t.dtype, a, b))


def _remainder(t: Translator, a: Tensor, b: Tensor) -> Tensor:
    """The remainder that has the sign of the divisor."""
    if not is_float(a.dtype):
        return t.emit("Mod", a, b)
    rest = t.emit("Mod", a, b, fmod=1)
    zero = t.scalar(0, a.dtype)
    signs = t.emit("Xor", t.emit("Less", rest, zero), t.emit("Less", b, zero))
    differs = t.emit("And", t.emit("Not", t.emit("Equal", rest, zero)), signs)
    return t.emit("Where", differs, t.emit("Add", rest, b), rest)


@translates("fmod.Tensor", "fmod.Scalar")
def fmod(t: Translator, a: Any, b: Any) -> Tensor:
    return t.emit("Mod", *operands(t, t.dtype, a, b), fmod=1)


@translates("pow.Tensor_Tensor", "pow.Tensor_Scalar", "pow.Scalar")
def power(t: Translator, base: Any, exponent: Any) -> Tensor:
    x = t.scalar(base, t.dtype)
    if isinstance(exponent, int | float):
        if exponent == 1:
            return x
        if exponent == 2:
            return t.emit("Mul", x, x)
        if is_float(t.dtype) and exponent == 0.5:
            return t.emit("Sqrt", x)
        if is_float(t.dtype) and exponent == -1:
            return t.emit("Reciprocal", x)
    return t.emit("Pow", x, t.scalar(exponent, t.dtype))


@translates("fmax")
def fmax(t: Translator, a: Tensor, b: Tensor) -> Tensor:
    return _ignoring_nan(t, "Max", a, b)


@translates("fmin")
def fmin(t: Translator, a: Tensor, b: Tensor) -> Tensor:
    return _ignoring_nan(t, "Min", a, b)


def _ignoring_nan(t: Translator, op: str, a: Tensor, b: Tensor) -> Tensor:
    a, b = operands(t, t.dtype, a, b)
    found = t.emit(op, a, b)
    if not is_float(t.dtype):
        return found
    found = t.emit("Where", t.emit("IsNaN", b), a, found)
    return t.emit("Where", t.emit("IsNaN", a), b, found)


@translates("hardtanh")
def hardtanh(t: Translator, x: Tensor, min_val: float = -1, max_val: float = 1) -> Tensor:
    return clamp(t, x, min_val, max_val)


@translates("clamp", "clamp.Tensor")
def clamp(t: Translator, x: Tensor, min: Any = None, max: Any = None) -> Tensor:
    x = t.cast(x, t.dtype)
    if isinstance(min, Tensor) or isinstance(max, Tensor):
        if min is not None:
            x = t.emit("Max", x, t.scalar(min, x.dtype))
        return x if max is None else t.emit("Min", x, t.scalar(max, x.dtype))
    low, high = (None if v is None else t.scalar(v, x.dtype) for v in (min, max))
    return x if low is None and high is None else t.emit("Clip", x, low, high)


@translates("clamp_min", "clamp_min.Tensor")
def clamp_min(t: Translator, x: Tensor, min: Any) -> Tensor:
    return clamp(t, x, min, None)


@translates("clamp_max", "clamp_max.Tensor")
def clamp_max(t: Translator, x: Tensor, max: Any) -> Tensor:
    return clamp(t, x, None, max)


@translates("copysign.Tensor", "copysign.Scalar")
def copysign(t: Translator, x: Any, sign: Any) -> Tensor:
    x, sign = operands(t, t.dtype, x, sign)
    size = t.emit("Abs", x)
    return t.emit("Where", signbit(t, sign), t.emit("Neg", size), size)


@translates("hypot")
def hypot(t: Translator, a: Tensor, b: Tensor) -> Tensor:
    """By the ratio of the smaller to the larger, as squares may overflow."""
    a, b = (t.emit("Abs", x) for x in operands(t, t.dtype, a, b))
    large, small = t.emit("Max", a, b), t.emit("Min", a, b)
    one, zero = t.scalar(1, a.dtype), t.scalar(0, a.dtype)
    plain = t.emit("Or", t.emit("Equal", large, zero), t.emit("IsInf", large))
    ratio = t.emit("Where", plain, zero, t.emit("Div", small, large))
    root = t.emit("Sqrt", t.emit("Add", one, t.emit("Mul", ratio, ratio)))
    return t.emit("Mul", large, root)
