"""Linear quantisation: integers (or small floats) that stand for (q - zero point) * scale.

One scale for the tensor, one for each index along `axis`, or one for each block of `block_size`
elements along `axis`.
"""

from __future__ import annotations

from collections.abc import Sequence

import ml_dtypes
import numpy as np

from ir.casting import cast
from ir.dims import Dim, ceil_div, may_equal, product
from ir.dtypes import DTYPE_SETS, NARROW_FLOATS, DType
from ir.registry import Attr, Call, Op, register
from ir.types import TensorType, format_shape


def _check_scale(call: Call) -> None:
    """The shape of the scale: one element, a vector along `axis`, or one a block; as zero point."""
    kind, scale = call.type(0), call.type(1)
    if call.has(2) and not (
        (call.type(2).size == 1 and scale.size == 1)
        or (call.rank(2) == scale.rank and all(map(may_equal, call.shape(2), scale.shape)))
    ):
        name = call.op.input_name(2)
        call.fail(f"{name} is {call.type(2)}; the shape of the scale, {scale}, would fit")
    if call.block_size:
        expected = list(kind.shape)
        axis = call.axis_of(call.axis, kind.rank)
        expected[axis] = ceil_div(kind.shape[axis], call.block_size)
    elif scale.rank == 0 or scale.shape == (1,):
        return
    else:
        expected = [kind.shape[call.axis_of(call.axis, kind.rank)]]
    if scale.rank != len(expected) or not all(map(may_equal, scale.shape, expected)):
        call.fail(
            f"scale is {scale} for input {kind}, axis {call.axis}; [], [1] or"
            f" {format_shape(expected)} would fit"
        )


def _spread(call: Call, parameter: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """A scale or zero point, shaped to broadcast with a tensor of this shape."""
    if call.block_size:
        axis = call.axis % len(shape)
        repeated = np.repeat(parameter, call.block_size, axis=axis)
        return repeated[tuple(slice(n) for n in shape)]
    if parameter.size == 1:
        return parameter.reshape(())
    return parameter.reshape([-1 if i == call.axis % len(shape) else 1 for i in range(len(shape))])


@register
class QuantizeLinear(Op):
    """saturate(round(x / scale) + zero point), rounding half to even."""

    inputs = ("x: T1", "y_scale: T2", "y_zero_point: T3?")
    outputs = ("y: T3",)
    constraints = {"T1": "real", "T2": "real", "T3": "levels"}
    attributes = {
        "axis": Attr("int", 1),
        "block_size": Attr("int", 0),
        "output_dtype": Attr("int", 0),
        "precision": Attr("int", 0),
        "saturate": Attr("int", 1),
    }

    @staticmethod
    def infer(call: Call) -> Sequence[TensorType]:
        _check_scale(call)
        dtype = _quantized_dtype(call)
        if call.has(2) and dtype is not call.dtype(2):
            call.fail(f"output_dtype is {dtype}, the zero point is {call.dtype(2)}", "bad-dtype")
        return [call.type(0).with_dtype(dtype)]

    @staticmethod
    def reference(
        call: Call, x: np.ndarray, scale: np.ndarray, zero_point: np.ndarray | None = None
    ) -> np.ndarray:
        dtype = _quantized_dtype(call)
        precision = call.element_type("precision", call.dtype(1)).value
        if call.dtype(1) not in DTYPE_SETS["float"]:
            precision = np.dtype(np.float32)
        quotient = x.astype(precision) / _spread(call, scale, x.shape).astype(precision)
        if dtype in NARROW_FLOATS:
            return cast(np.asarray(quotient), dtype, bool(call.saturate))
        limits = ml_dtypes.iinfo(dtype.value)
        made = np.rint(quotient).astype(np.float64)
        if zero_point is not None:
            made = made + _spread(call, zero_point, x.shape).astype(np.float64)
        clipped = np.clip(made, int(limits.min), int(limits.max))
        return cast(clipped.astype(np.int64), dtype)

    @staticmethod
    def flops(call: Call) -> Dim:
        return product(call.shape(0)) * 4


def _quantized_dtype(call: Call) -> DType:
    return call.element_type("output_dtype", call.dtype(2) if call.has(2) else DType.u8)


@register
class DequantizeLinear(Op):
    """(x - zero point) * scale."""

    inputs = ("x: T1", "x_scale: T2", "x_zero_point: T1?")
    outputs = ("y: any_float",)
    constraints = {"T1": "levels", "T2": "any_float"}
    attributes = {
        "axis": Attr("int", 1),
        "block_size": Attr("int", 0),
        "output_dtype": Attr("int", 0),
    }

    @staticmethod
    def infer(call: Call) -> Sequence[TensorType]:
        _check_scale(call)
        return [call.type(0).with_dtype(call.element_type("output_dtype", call.dtype(1)))]

    @staticmethod
    def reference(
        call: Call, x: np.ndarray, scale: np.ndarray, zero_point: np.ndarray | None = None
    ) -> np.ndarray:
        wide = x.astype(np.float64)  # exact for all types, and so is the difference
        if zero_point is not None:
            wide = wide - _spread(call, zero_point, x.shape).astype(np.float64)
        made = wide.astype(np.float32) * _spread(call, scale, x.shape).astype(np.float32)
        return made.astype(call.element_type("output_dtype", call.dtype(1)).value)

    @staticmethod
    def flops(call: Call) -> Dim:
        return product(call.shape(0)) * 2


@register
class DynamicQuantizeLinear(Op):
    """Quantises to uint8 with the scale and zero point that the range of the input asks for."""

    inputs = ("x: f32",)
    outputs = ("y: u8", "y_scale: f32", "y_zero_point: u8")

    @staticmethod
    def infer(call: Call) -> Sequence[TensorType]:
        return [
            call.type(0).with_dtype(DType.u8),
            TensorType(DType.f32, ()),
            TensorType(DType.u8, ()),
        ]

    @staticmethod
    def reference(call: Call, x: np.ndarray) -> tuple[np.ndarray, ...]:
        low = np.min(x, initial=np.float32(0))
        high = np.max(x, initial=np.float32(0))
        scale = np.float32((high - low) / np.float32(255))
        scale = np.float32(1) if scale == 0 else scale
        zero_point = np.clip(np.rint(-low / scale), 0, 255)
        made = np.clip(np.rint(x / scale) + zero_point, 0, 255)
        return made.astype(np.uint8), np.asarray(scale), np.asarray(zero_point.astype(np.uint8))

    @staticmethod
    def flops(call: Call) -> Dim:
        return product(call.shape(0)) * 6
