"""Ops that change the element type."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ir import scalar, symbolic
from ir.casting import cast
from ir.dtypes import DType
from ir.ops.pointwise import Pointwise
from ir.registry import Attr, Call, Op, register
from ir.types import TensorType


class _Conversion(Pointwise):
    """Base of Cast and CastLike: the identity, converted by `ir.casting.cast`."""

    scalar = staticmethod(scalar.identity)
    symbolic = True

    @classmethod
    def settings(cls, call: Call) -> dict[str, Any]:
        return {}

    @classmethod
    def symbolic_function(cls, call: Call) -> Callable[..., Any]:
        kind = cls.output_dtype(call).value.kind
        if kind in "iu":
            return symbolic.to_integer
        return (lambda x: symbolic.select(x, True, False)) if kind == "b" else scalar.identity

    @classmethod
    def infer(cls, call: Call) -> Sequence[TensorType]:  # type: ignore[override]
        return [call.type(0).with_dtype(cls.output_dtype(call))]

    @classmethod
    def reference(cls, call: Call, *inputs: Any) -> np.ndarray:  # type: ignore[override]
        x = inputs[0]
        if x.dtype == object:
            return super().reference(call, x)
        return cast(x, cls.output_dtype(call), bool(call.saturate), call.round_mode)


@register
class Cast(_Conversion):
    """Converts to the element type `to`."""

    inputs = ("input: T",)
    outputs = ("output: any",)
    attributes = {
        "to": Attr("int"),
        "saturate": Attr("int", 1),
        "round_mode": Attr("string", "up"),
    }

    @classmethod
    def output_dtype(cls, call: Call) -> DType:
        return call.element_type("to")


@register
class CastLike(_Conversion):
    """Converts to the element type of the second input."""

    inputs = ("input: T", "target_type: T2")
    outputs = ("output: T2",)
    constraints = {"T": "any", "T2": "any"}
    attributes = {"saturate": Attr("int", 1), "round_mode": Attr("string", "up")}

    @classmethod
    def output_dtype(cls, call: Call) -> DType:
        return call.dtype(1)


@register
class BitCast(Op):
    """Reads the bits of each element as another type of the same width."""

    inputs = ("input: T",)
    outputs = ("output: any",)
    attributes = {"to": Attr("int")}

    @staticmethod
    def infer(call: Call) -> Sequence[TensorType]:
        to = call.element_type("to")
        if to.itemsize != call.dtype(0).itemsize:
            call.fail(
                f"input is {call.type(0)}; {to} has {8 * to.itemsize} bits,"
                f" a type of {8 * call.dtype(0).itemsize} bits would fit",
                "bad-dtype",
            )
        return [call.type(0).with_dtype(to)]

    @staticmethod
    def reference(call: Call, x: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(x).view(call.element_type("to").value).reshape(x.shape)
