"""Ops that make a tensor from little or nothing: constants, ranges, identity matrices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ir.dims import Dim, ceil_div, max_dim
from ir.dtypes import DTYPE_SETS, DType, dtype_of
from ir.ops.shapes import dims_of
from ir.registry import Attr, Call, Op, register
from ir.symbolic import is_symbolic
from ir.types import TensorType


@register
class Constant(Op):
    """The value in one of the attributes."""

    attributes = {
        "value": Attr("tensor", None),
        "value_float": Attr("float", None),
        "value_floats": Attr("floats", None),
        "value_int": Attr("int", None),
        "value_ints": Attr("ints", None),
    }
    outputs = ("output: any",)

    @staticmethod
    def infer(call: Call) -> Sequence[TensorType]:
        array = Constant.reference(call)
        return [TensorType(dtype_of(array), array.shape)]

    @staticmethod
    def reference(call: Call, *inputs: Any) -> np.ndarray:
        given = [name for name in Constant.attributes if call.attribute(name) is not None]
        if len(given) != 1:
            names = ", ".join(Constant.attributes)
            call.fail(f"{len(given)} values given; one of {names} would fit", "missing-attribute")
        value = call.attribute(given[0])
        if given[0] == "value":
            return np.asarray(value)
        return np.array(value, dtype=np.float32 if "float" in given[0] else np.int64)


@register
class ConstantOfShape(Op):
    """A tensor of one value: float32 zero unless `value` says otherwise."""

    inputs = ("input: i64",)
    outputs = ("output: any",)
    attributes = {"value": Attr("tensor", None)}

    @staticmethod
    def infer(call: Call) -> Sequence[TensorType]:
        return [TensorType(dtype_of(_fill_value(call)), tuple(dims_of(call, 0, "filled")))]

    @staticmethod
    def reference(call: Call, shape: np.ndarray) -> np.ndarray:
        value = _fill_value(call)
        return np.full([int(dim) for dim in shape], value.reshape(()), dtype=value.dtype)


def _fill_value(call: Call) -> np.ndarray:
    value = call.attribute("value")
    if value is None:
        return np.zeros((), dtype=np.float32)
    value = np.asarray(value)
    if value.size != 1:
        call.fail(f"value has shape {list(value.shape)}; one element would fit", "bad-attribute")
    return value


@register
class Range(Op):
    """start, start + delta, ... up to, but without, limit."""

    inputs = ("start: T", "limit: T", "delta: T")
    constraints = {"T": "numeric"}
    attributes = {"stash_type": Attr("int", 1)}
    symbolic = True

    @staticmethod
    def infer(call: Call) -> Sequence[TensorType]:
        values = [call.value(i) for i in range(3)]
        return [TensorType(call.dtype(0), (_range_length(call, values),))]

    @staticmethod
    def reference(call: Call, *inputs: np.ndarray) -> np.ndarray:
        first, limit, step = (x.reshape(()) for x in inputs)
        if first.dtype != object and first.dtype.itemsize <= 2 and first.dtype.kind in "fV":
            first, limit, step = (x.astype(np.float32) for x in (first, limit, step))
        count = max(int(np.ceil((limit - first) / step)), 0)
        indices = np.arange(count).astype(first.dtype)
        return (first + indices * step).astype(inputs[0].dtype)


def _range_length(call: Call, values: Sequence[np.ndarray | None]) -> Dim:
    if any(value is None for value in values):
        return call.fresh_dim("range")
    first, limit, step = (value.reshape(-1)[0] for value in values if value is not None)
    if not any(map(is_symbolic, (first, limit, step))):
        if step == 0:
            call.fail("delta is 0", "bad-attribute")
        return max(int(np.ceil((limit - first) / step)), 0)
    if call.dtype(0) in DTYPE_SETS["signed"] and not is_symbolic(step) and step != 0:
        if not isinstance(first, str):
            first = int(first)
        if not isinstance(limit, str):
            limit = int(limit)
        distance = limit - first if step > 0 else first - limit
        return max_dim(ceil_div(distance, abs(int(step))), 0)
    return call.fresh_dim("range")


@register
class EyeLike(Op):
    """Ones on diagonal `k` of a matrix shaped like the input."""

    inputs = ("input: T",)
    outputs = ("output: any",)
    attributes = {"dtype": Attr("int", None), "k": Attr("int", 0)}

    @staticmethod
    def infer(call: Call) -> Sequence[TensorType]:
        if call.rank(0) != 2:
            call.fail(f"input is {call.type(0)}; a matrix would fit")
        return [call.type(0).with_dtype(_eye_dtype(call))]

    @staticmethod
    def reference(call: Call, x: np.ndarray) -> np.ndarray:
        return np.eye(x.shape[0], x.shape[1], k=call.k).astype(_eye_dtype(call).value)


def _eye_dtype(call: Call) -> DType:
    number = call.attribute("dtype")
    return call.dtype(0) if number is None else call.element_type("dtype")
