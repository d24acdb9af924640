"""Arithmetic, comparisons and functions of single elements."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ir.dtypes import DTYPE_SETS, DType
from layercc.frontends.keras.registry import OPS as _OPS
from layercc.frontends.keras.registry import Refused, enter, translates_op
from layercc.layers import emit
from layercc.layers.layer import cast

#: `keras.ops.numpy` class → ONNX op of one operand, in the type of the result.
_UNARY = {
    "Arccos": "Acos", "Arccosh": "Acosh", "Arcsin": "Asin", "Arcsinh": "Asinh", "Arctan": "Atan",
    "Arctanh": "Atanh", "Ceil": "Ceil", "Cos": "Cos", "Cosh": "Cosh", "Exp": "Exp",
    "Floor": "Floor", "Log": "Log", "Negative": "Neg", "Reciprocal": "Reciprocal", "Sign": "Sign",
    "Sin": "Sin", "Sinh": "Sinh", "Sqrt": "Sqrt", "Tan": "Tan", "Tanh": "Tanh",
    "Absolute": "Abs", "Fabs": "Abs",
}  # fmt: skip
#: Class → ONNX op of two operands, in the type of the result.
_BINARY = {
    "Add": "Add", "Subtract": "Sub", "Multiply": "Mul", "Divide": "Div", "TrueDivide": "Div",
    "Maximum": "Max", "Minimum": "Min", "Power": "Pow",
}  # fmt: skip
_COMPARISONS = {
    "Equal": "Equal", "Greater": "Greater", "GreaterEqual": "GreaterOrEqual", "Less": "Less",
    "LessEqual": "LessOrEqual",
}  # fmt: skip
_LOGICAL = {"LogicalAnd": "And", "LogicalOr": "Or", "LogicalXor": "Xor"}
_BITWISE = {"BitwiseAnd": "BitwiseAnd", "BitwiseOr": "BitwiseOr", "BitwiseXor": "BitwiseXor"}


def _unary(op: str) -> Callable[..., Any]:
    return lambda c, x: emit(op, c.tensor(x, c.dtype))


def _binary(op: str) -> Callable[..., Any]:
    return lambda c, x1, x2: emit(op, c.tensor(x1, c.dtype), c.tensor(x2, c.dtype))


def _comparison(op: str) -> Callable[..., Any]:
    return lambda c, x1, x2: emit(op, *c.promoted(x1, x2))


def _logical(op: str) -> Callable[..., Any]:
    return lambda c, x1, x2: emit(op, truth(c, x1), truth(c, x2))


def truth(c: Any, x: Any) -> Any:
    """An argument as booleans: whether it is not 0."""
    return cast(c.tensor(x), DType.bool)


for _table, _of in (
    (_UNARY, _unary),
    (_BINARY, _binary),
    (_COMPARISONS, _comparison),
    (_LOGICAL, _logical),
    (_BITWISE, _binary),
):
    for _name, _op in _table.items():
        enter(_OPS, f"numpy.{_name}", _of(_op))

enter(_OPS, "math.Erf", _unary("Erf"))


@translates_op("numpy.NotEqual")
def not_equal(c: Any, x1: Any, x2: Any) -> Any:
    return emit("Not", emit("Equal", *c.promoted(x1, x2)))


@translates_op("numpy.LogicalNot")
def logical_not(c: Any, x: Any) -> Any:
    return emit("Not", truth(c, x))


@translates_op("numpy.BitwiseNot", "numpy.BitwiseInvert")
def bitwise_not(c: Any, x: Any) -> Any:
    return emit("BitwiseNot", c.tensor(x))


@translates_op("math.Rsqrt")
def rsqrt(c: Any, x: Any) -> Any:
    return emit("Reciprocal", emit("Sqrt", c.tensor(x, c.dtype)))


@translates_op("math.Erfc")
def erfc(c: Any, x: Any) -> Any:
    return 1.0 - emit("Erf", c.tensor(x, c.dtype))


@translates_op("numpy.Square")
def square(c: Any, x: Any) -> Any:
    x = c.tensor(x, c.dtype)
    return x * x


@translates_op("numpy.Exp2")
def exp2(c: Any, x: Any) -> Any:
    return emit("Exp", c.tensor(x, c.dtype) * math.log(2))


@translates_op("numpy.Expm1")
def expm1(c: Any, x: Any) -> Any:
    """Near 0, 2 sinh(x / 2) exp(x / 2), which does not cancel."""
    x = c.tensor(x, c.dtype)
    half = x * 0.5
    near = emit("Sinh", half) * emit("Exp", half) * 2.0
    return emit("Where", emit("Less", emit("Abs", x), 1.0), near, emit("Exp", x) - 1.0)


@translates_op("numpy.Log1p")
def log1p(c: Any, x: Any) -> Any:
    """log(u) x / (u - 1), u = 1 + x, which undoes the rounding of u (Kahan)."""
    x = c.tensor(x, c.dtype)
    u = x + 1.0
    exact = emit("Equal", u, 1.0)
    moved = emit("Log", u) * x / emit("Where", exact, u, u - 1.0)
    infinite = emit("IsInf", u, detect_negative=0)
    return emit("Where", exact, x, emit("Where", infinite, u, moved))


@translates_op("numpy.Log2", "numpy.Log10")
def log_of_base(c: Any, x: Any) -> Any:
    base = 2 if type(c.op).__name__ == "Log2" else 10
    return emit("Log", c.tensor(x, c.dtype)) * (1 / math.log(base))


@translates_op("numpy.Logaddexp")
def logaddexp(c: Any, x1: Any, x2: Any) -> Any:
    a, b = (c.tensor(x, c.dtype) for x in (x1, x2))
    return emit("Max", a, b) + emit("Softplus", -emit("Abs", a - b))


@translates_op("numpy.DivideNoNan")
def divide_no_nan(c: Any, x1: Any, x2: Any) -> Any:
    a, b = (c.tensor(x, c.dtype) for x in (x1, x2))
    none = emit("Equal", b, 0.0)
    zero = np.zeros((), a.dtype.value)
    return emit("Where", none, zero, a / emit("Where", none, np.ones((), a.dtype.value), b))


@translates_op("numpy.FloorDivide")
def floor_divide(c: Any, x1: Any, x2: Any) -> Any:
    a, b = (c.tensor(x, c.dtype) for x in (x1, x2))
    if c.dtype in DTYPE_SETS["float"]:
        return emit("Floor", a / b)
    return (a - emit("Mod", a, b)) / b


@translates_op("numpy.Mod")
def mod(c: Any, x1: Any, x2: Any) -> Any:
    """With the sign of the divisor, as in Python."""
    a, b = (c.tensor(x, c.dtype) for x in (x1, x2))
    if c.dtype not in DTYPE_SETS["float"]:
        return emit("Mod", a, b)
    return a - emit("Floor", a / b) * b


@translates_op("numpy.Fmod")
def fmod(c: Any, x1: Any, x2: Any) -> Any:
    return emit("Mod", c.tensor(x1, c.dtype), c.tensor(x2, c.dtype), fmod=1)


@translates_op("numpy.Trunc")
def trunc(c: Any, x: Any) -> Any:
    x = c.tensor(x, c.dtype)
    if c.dtype not in DTYPE_SETS["float"]:
        return x
    return emit("Where", emit("Less", x, 0.0), emit("Ceil", x), emit("Floor", x))


@translates_op("numpy.Round")
def round_(c: Any, x: Any) -> Any:
    x = c.tensor(x, c.dtype)
    if c.dtype not in DTYPE_SETS["float"]:
        return x
    if not c.op.decimals:
        return emit("Round", x)
    scale = float(10**c.op.decimals)
    return emit("Round", x * scale) / scale


@translates_op("numpy.Clip")
def clip(c: Any, x: Any) -> Any:
    low, high = (c.tensor(bound, c.dtype) for bound in (c.op.x_min, c.op.x_max))
    return emit("Min", emit("Max", c.tensor(x, c.dtype), low), high)


@translates_op("numpy.Isnan", "numpy.Isinf")
def is_special(c: Any, x: Any) -> Any:
    op = "IsNaN" if type(c.op).__name__ == "Isnan" else "IsInf"
    x = c.tensor(x)
    return emit(op, x if x.dtype in DTYPE_SETS["float"] else cast(x, DType.f32))


@translates_op("numpy.Isfinite")
def is_finite(c: Any, x: Any) -> Any:
    x = c.tensor(x)
    x = x if x.dtype in DTYPE_SETS["float"] else cast(x, DType.f32)
    return emit("Not", emit("Or", emit("IsNaN", x), emit("IsInf", x)))


@translates_op("numpy.Deg2rad", "numpy.Rad2deg")
def angle_unit(c: Any, x: Any) -> Any:
    degrees = type(c.op).__name__ == "Rad2deg"
    return c.tensor(x, c.dtype) * (180 / math.pi if degrees else math.pi / 180)


@translates_op("numpy.Hypot")
def hypot(c: Any, x1: Any, x2: Any) -> Any:
    a, b = (emit("Abs", c.tensor(x, c.dtype)) for x in (x1, x2))
    large, small = emit("Max", a, b), emit("Min", a, b)
    none = emit("Equal", large, 0.0)
    ratio = small / emit("Where", none, np.ones((), a.dtype.value), large)
    return large * emit("Sqrt", ratio * ratio + 1.0)


@translates_op("numpy.Where")
def where(c: Any, condition: Any, x1: Any = None, x2: Any = None) -> Any:
    if x1 is None or x2 is None:
        raise Refused("without values: the number of results depends on data")
    return emit("Where", truth(c, condition), c.tensor(x1, c.dtype), c.tensor(x2, c.dtype))


@translates_op("core.Cast", "core.SaturateCast")
def cast_(c: Any, x: Any) -> Any:
    x = c.tensor(x)
    if type(c.op).__name__ == "SaturateCast" and c.dtype not in DTYPE_SETS["float"]:
        limits = np.iinfo(c.dtype.value)
        x = emit("Clip", x, float(limits.min), float(limits.max))
    return cast(x, c.dtype)


@translates_op("core.StopGradient", "numpy.Copy", "numpy.Real", "numpy.Conjugate",
               "core.ConvertToTensor", "numpy.Array")  # fmt: skip
def same(c: Any, x: Any) -> Any:
    return emit("Identity", c.tensor(x, c.dtype))


@translates_op("numpy.ZerosLike", "numpy.OnesLike", "numpy.FullLike")
def filled_like(c: Any, x: Any, fill_value: Any = None) -> Any:
    name = type(c.op).__name__
    value = {"ZerosLike": 0, "OnesLike": 1}.get(name, fill_value)
    return emit("Expand", c.tensor(value, c.dtype), emit("Shape", c.tensor(x)))
