"""Half-precision tensors in the kernels that compute in f32 only: widened before, rounded after."""

from __future__ import annotations

from ir.dtypes import HALVES, DType
from layercc.buffers import Tensor
from layercc.kernels.expressions import conversion
from layercc.lower.context import Context
from layercc.lower.pointwise import emit_pointwise


def cast(context: Context, x: Tensor, y: Tensor) -> None:
    """y = x in the element type of `y`."""
    source, target = str(x.dtype), str(y.dtype)
    expression = conversion(source, target)
    emit_pointwise(context, expression, [x], [y], x.shape, 1)


def computable(context: Context, x: Tensor) -> Tensor:
    """`x`, or its values as f32 where its own type is f16 or bf16."""
    if x.dtype not in HALVES:
        return x
    wide = context.scratch(DType.f32, x.shape)
    cast(context, x, wide)
    return wide


def result(context: Context, name: str, dtype: DType) -> Tensor:
    """Memory for the output `name`, computed in `dtype`: its own, or scratch for `rounded`."""
    if context.dtype(name) is dtype:
        return context.output(name)
    return context.scratch(dtype, context.shape(name))


def rounded(context: Context, value: Tensor, name: str) -> None:
    """Makes `value`, which lies where `result` said, the output `name`."""
    if value.dtype is not context.dtype(name):
        cast(context, value, context.output(name))
