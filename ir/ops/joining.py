"""Ops that join tensors or take them apart along an axis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ir.dims import Dim, may_equal
from ir.registry import Attr, Call, Op, register
from ir.types import TensorType


@register
class Concat(Op):
    """Joins tensors of equal rank along `axis`."""

    inputs = ("inputs: T*",)
    attributes = {"axis": Attr("int")}
    symbolic = True

    @staticmethod
    def infer(call: Call) -> Sequence[TensorType]:
        axis = call.axis_of(call.axis, call.rank(0))
        result: list[Dim] = list(call.shape(0))
        for index in range(1, len(call.types)):
            shape = call.shape(index)
            if len(shape) != len(result):
                call.fail(f"inputs have ranks {len(result)} and {len(shape)}; equal ranks would fit")
            for position, dim in enumerate(shape):
                if position == axis:
                    result[axis] = result[axis] + dim
                elif not may_equal(result[position], dim):
                    call.fail(
                        f"input {index} is {call.type(index)} and input 0 is {call.type(0)}: "
                        f"dim {position} must be equal, {result[position]} would fit"
                    )
                elif isinstance(dim, int):
                    result[position] = dim
        return [call.type(0).with_shape(result)]

    @staticmethod
    def reference(call: Call, *inputs: Any) -> np.ndarray:
        return np.concatenate(inputs, axis=call.axis)
