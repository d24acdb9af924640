"""Comparisons, logic, and selection by them."""

from __future__ import annotations

from typing import Any

from ir.dtypes import DType
from layercc.frontends.torch.promotion import common_dtype, operands, truth
from layercc.frontends.torch.registry import enter, translates
from layercc.frontends.torch.translator import Tensor, Translator


def _comparison(op: str, negated: bool = False) -> Any:
    def translation(t: Translator, a: Any, b: Any) -> Tensor:
        dtype = common_dtype(a, b)
        if dtype == DType.bool and op != "Equal":
            dtype = DType.u8
        found = t.emit(op, *operands(t, dtype, a, b))
        return t.emit("Not", found) if negated else found

    return translation


for _name, _op in {
    "eq": "Equal", "ne": "Equal", "lt": "Less", "le": "LessOrEqual", "gt": "Greater",
    "ge": "GreaterOrEqual",
}.items():  # fmt: skip
    for _overload in ("Tensor", "Scalar"):
        enter(f"{_name}.{_overload}", _comparison(_op, negated=_name == "ne"))


@translates("logical_not")
def logical_not(t: Translator, x: Tensor) -> Tensor:
    return t.emit("Not", truth(t, x))


def _logical(op: str) -> Any:
    def translation(t: Translator, a: Tensor, b: Tensor) -> Tensor:
        return t.emit(op, truth(t, a), truth(t, b))

    return translation


def _bitwise(op: str) -> Any:
    def translation(t: Translator, a: Any, b: Any) -> Tensor:
        return t.emit(op if t.dtype == DType.bool else f"Bitwise{op}", *operands(t, t.dtype, a, b))

    return translation


for _name, _op in {"and": "And", "or": "Or", "xor": "Xor"}.items():
    enter(f"logical_{_name}", _logical(_op))
    for _overload in ("Tensor", "Scalar"):
        enter(f"bitwise_{_name}.{_overload}", _bitwise(_op))
        enter(f"__{_name}__.{_overload}", _bitwise(_op))


@translates("bitwise_not")
def bitwise_not(t: Translator, x: Tensor) -> Tensor:
    return t.emit("Not" if x.dtype == DType.bool else "BitwiseNot", x)


@translates("where.self", "where.ScalarSelf", "where.ScalarOther", "where.Scalar")
def where(t: Translator, condition: Tensor, a: Any, b: Any) -> Tensor:
    return t.emit("Where", truth(t, condition), *operands(t, t.dtype, a, b))


@translates("masked_fill.Scalar", "masked_fill.Tensor")
def masked_fill(t: Translator, x: Tensor, mask: Tensor, value: Any) -> Tensor:
    return t.emit("Where", mask, t.scalar(value, x.dtype), x)


@translates("fill.Scalar", "fill.Tensor")
def fill(t: Translator, x: Tensor, value: Any) -> Tensor:
    return t.emit("Expand", t.scalar(value, x.dtype), t.sizes(x.shape))
