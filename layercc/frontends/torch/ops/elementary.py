"""Functions of one number, element by element; copies and conversions."""

from __future__ import annotations

import math
from typing import Any

import ml_dtypes

from ir.dtypes import DType
from layercc.frontends.torch.promotion import is_float
from layercc.frontends.torch.registry import Refused, enter, translates
from layercc.frontends.torch.translator import Tensor, Translator

#: Functions of real numbers: integers are made floats first.
_FLOAT = {
    "exp": "Exp", "log": "Log", "sqrt": "Sqrt", "sin": "Sin", "cos": "Cos", "tan": "Tan",
    "asin": "Asin", "acos": "Acos", "atan": "Atan", "sinh": "Sinh", "cosh": "Cosh",
    "tanh": "Tanh", "asinh": "Asinh", "acosh": "Acosh", "atanh": "Atanh", "erf": "Erf",
    "sigmoid": "Sigmoid", "reciprocal": "Reciprocal",
}  # fmt: skip
#: Functions of any number; those that change no integer are left out for integers.
_SAME = {"abs": "Abs", "neg": "Neg"}
_ROUNDING = {"ceil": "Ceil", "floor": "Floor", "round": "Round"}


def _unary(op: str, changes_integers: bool = True) -> Any:
    def translation(t: Translator, x: Tensor) -> Tensor:
        if not changes_integers and not is_float(x.dtype):
            return x
        if x.dtype == DType.bool and t.dtype == DType.bool:
            return x  # abs
        return t.emit(op, t.cast(x, t.dtype))

    return translation


for _name, _op in {**_FLOAT, **_SAME}.items():
    enter(_name, _unary(_op))
for _name, _op in _ROUNDING.items():
    enter(_name, _unary(_op, changes_integers=False))


@translates("sign", "sgn")
def sign(t: Translator, x: Tensor) -> Tensor:
    """-1, 0 or 1; 0 for NaN, where the IR's Sign is NaN."""
    if x.dtype == DType.bool:
        return x
    found = t.emit("Sign", x)
    if not is_float(x.dtype):
        return found
    return t.emit("Where", t.emit("IsNaN", x), t.scalar(0, x.dtype), found)


@translates("round.decimals")
def round_decimals(t: Translator, x: Tensor, decimals: int = 0) -> Tensor:
    if not is_float(x.dtype):
        return x
    factor = t.scalar(10.0 ** abs(decimals), x.dtype)
    there, back = ("Mul", "Div") if decimals >= 0 else ("Div", "Mul")
    return t.emit(back, t.emit("Round", t.emit(there, x, factor)), factor)


@translates(
    "clone", "detach", "alias", "contiguous", "lift_fresh_copy", "lift_fresh", "positive",
    "resolve_conj", "resolve_neg",
)  # fmt: skip
def same(t: Translator, x: Tensor) -> Tensor:
    return x


@translates("copy")
def copy(t: Translator, x: Tensor, source: Tensor) -> Tensor:
    source = t.cast(source, x.dtype)
    return source if source.shape == x.shape else t.emit("Expand", source, t.sizes(x.shape))


@translates("_to_copy", "to.dtype", "to.dtype_layout", "to.device", "to.other", "type_as")
def convert(t: Translator, x: Tensor, *given: Any, **options: Any) -> Tensor:
    return t.cast(x, t.dtype)


@translates("dropout", "alpha_dropout", "feature_dropout", "feature_alpha_dropout")
def dropout(t: Translator, x: Tensor, p: float = 0.5, train: bool = False) -> Tensor:
    if train and p > 0:
        raise Refused("in training mode; module.eval() would fit")
    return x


@translates("native_dropout")
def native_dropout(t: Translator, x: Tensor, p: float, train: Any = False) -> tuple[Any, Any]:
    return dropout(t, x, p, bool(train)), None


@translates("square")
def square(t: Translator, x: Tensor) -> Tensor:
    return t.emit("Mul", x, x)


@translates("rsqrt")
def rsqrt(t: Translator, x: Tensor) -> Tensor:
    return t.emit("Reciprocal", t.emit("Sqrt", t.cast(x, t.dtype)))


@translates("exp2")
def exp2(t: Translator, x: Tensor) -> Tensor:
    return t.emit("Pow", t.scalar(2, t.dtype), t.cast(x, t.dtype))


@translates("log2")
def log2(t: Translator, x: Tensor) -> Tensor:
    return _log(t, x, 2)


@translates("log10")
def log10(t: Translator, x: Tensor) -> Tensor:
    return _log(t, x, 10)


def _log(t: Translator, x: Tensor, base: int) -> Tensor:
    return t.emit("Mul", t.emit("Log", t.cast(x, t.dtype)), t.scalar(1 / math.log(base), t.dtype))


@translates("log1p")
def log1p(t: Translator, x: Tensor) -> Tensor:
    """By `log(1 + x) = 2 atanh(x / (2 + x))` near 0, where `1 + x` would round x away."""
    x = t.cast(x, t.dtype)
    one, two, half = (t.scalar(value, x.dtype) for value in (1, 2, 0.5))
    small = t.emit("Mul", two, t.emit("Atanh", t.emit("Div", x, t.emit("Add", x, two))))
    near = t.emit("Less", t.emit("Abs", x), half)
    return t.emit("Where", near, small, t.emit("Log", t.emit("Add", x, one)))


@translates("expm1")
def expm1(t: Translator, x: Tensor) -> Tensor:
    """By `exp(x) - 1 = 2 tanh(x/2) / (1 - tanh(x/2))` near 0, where `exp(x)` rounds to 1."""
    x = t.cast(x, t.dtype)
    one, two = t.scalar(1, x.dtype), t.scalar(2, x.dtype)
    half = t.emit("Tanh", t.emit("Div", x, two))
    small = t.emit("Div", t.emit("Mul", two, half), t.emit("Sub", one, half))
    near = t.emit("Less", t.emit("Abs", x), one)
    return t.emit("Where", near, small, t.emit("Sub", t.emit("Exp", x), one))


@translates("trunc", "fix")
def trunc(t: Translator, x: Tensor) -> Tensor:
    if not is_float(x.dtype):
        return x
    return t.emit("Mul", t.emit("Sign", x), t.emit("Floor", t.emit("Abs", x)))


@translates("frac")
def frac(t: Translator, x: Tensor) -> Tensor:
    return t.emit("Mod", x, t.scalar(1, x.dtype), fmod=1)


@translates("signbit")
def signbit(t: Translator, x: Tensor) -> Tensor:
    """Whether the sign is minus, of zeros too."""
    if not is_float(x.dtype):
        return t.emit("Less", x, t.scalar(0, x.dtype))
    zero = t.scalar(0, x.dtype)
    # 1/x tells zeros apart
    below = t.emit("Less", t.emit("Reciprocal", x), zero)
    return t.emit("Or", t.emit("Less", x, zero), below)


@translates("isnan")
def isnan(t: Translator, x: Tensor) -> Tensor:
    if not is_float(x.dtype):
        return t.emit("Not", t.emit("Equal", x, x))
    return t.emit("IsNaN", x)


@translates("isinf")
def isinf(t: Translator, x: Tensor) -> Tensor:
    if not is_float(x.dtype):
        return t.emit("Not", t.emit("Equal", x, x))
    return t.emit("IsInf", x)


@translates("isfinite")
def isfinite(t: Translator, x: Tensor) -> Tensor:
    if not is_float(x.dtype):
        return t.emit("Equal", x, x)
    return t.emit("Not", t.emit("Or", t.emit("IsNaN", x), t.emit("IsInf", x)))


@translates("nan_to_num")
def nan_to_num(
    t: Translator, x: Tensor, nan: float | None = None, posinf: Any = None, neginf: Any = None
) -> Tensor:
    if not is_float(x.dtype):
        return x
    limits = ml_dtypes.finfo(x.dtype.value)
    zero = t.scalar(0, x.dtype)
    high = t.scalar(float(limits.max) if posinf is None else posinf, x.dtype)
    low = t.scalar(float(limits.min) if neginf is None else neginf, x.dtype)
    infinite = t.emit("Where", t.emit("Greater", x, zero), high, low)
    finite = t.emit("Where", t.emit("IsInf", x), infinite, x)
    return t.emit("Where", t.emit("IsNaN", x), t.scalar(nan or 0.0, x.dtype), finite)
