"""Lowering of integer and quantised matrix products and convolutions.

Sums of products of 8-bit integers, less their zero points, are exact in i32. Quantised ops then
scale and round them in f64.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial

from ir.diagnostics import UnsupportedError
from ir.dtypes import DTYPE_SETS, DType
from ir.graph import Node
from ir.literals import integer_limits
from ir.ops.convolution import conv_window
from layercc.buffers import Tensor
from layercc.jobs.contraction import Contraction
from layercc.kernels.expressions import ExpressionBuilder
from layercc.lower.context import Context
from layercc.lower.convolution import filter_groups, filter_matrices
from layercc.lower.layout import channels_last_input
from layercc.lower.matmul import dense_product
from layercc.lower.movement import transposed
from layercc.lower.pointwise import emit_built
from layercc.lower.registry import lowering
from layercc.lower.windows import axes_of


@lowering("MatMulInteger")
def matmul_integer(context: Context, node: Node) -> None:
    """Sums of products of 8-bit integers less their zero points."""
    a, b, a_zero, b_zero = _padded(node, 4)
    _matmul(context, (a, a_zero), (b, b_zero), context.output(node.outputs[0]))


@lowering("QLinearMatMul")
def qlinear_matmul(context: Context, node: Node) -> None:
    """As MatMulInteger, requantised."""
    a, a_scale, a_zero, b, b_scale, b_zero, y_scale, y_zero = node.inputs
    y = context.output(node.outputs[0])
    sums = context.scratch(DType.i32, y.shape)
    _matmul(context, (a, a_zero), (b, b_zero), sums)
    scales = (
        _along_rows(context.tensor(a_scale), len(context.shape(a))),
        _scalar_if_one(context.tensor(b_scale)),
        context.tensor(y_scale).reshaped(()),
    )
    _requantize(context, sums, None, scales, context.tensor(y_zero).reshaped(()), y)


@lowering("ConvInteger")
def conv_integer(context: Context, node: Node) -> None:
    """Convolution of 8-bit integers less their zero points."""
    x, w, x_zero, w_zero = _padded(node, 4)
    sums = _conv(context, node, (x, x_zero), (w, w_zero), 1)
    _as_asked(context, node, sums)


@lowering("QLinearConv")
def qlinear_conv(context: Context, node: Node) -> None:
    """As ConvInteger, requantised; one scale for all filters, or one for each."""
    x, x_scale, x_zero, w, w_scale, w_zero, y_scale, y_zero, bias = _padded(node, 9)
    sums = _conv(context, node, (x, x_zero), (w, w_zero), 3)
    y = context.scratch(context.dtype(node.outputs[0]), sums.shape)
    scales = (
        context.tensor(x_scale).reshaped(()),
        _scalar_if_one(context.tensor(w_scale)),
        context.tensor(y_scale).reshaped(()),
    )
    added = context.tensor(bias) if bias else None
    _requantize(context, sums, added, scales, context.tensor(y_zero).reshaped(()), y)
    _as_asked(context, node, y)


def _padded(node: Node, count: int) -> list[str]:
    return [*node.inputs, *[""] * (count - len(node.inputs))]


def _scalar_if_one(parameter: Tensor) -> Tensor:
    return parameter.reshaped(()) if parameter.size == 1 else parameter


def _along_rows(parameter: Tensor, rank: int) -> Tensor:
    """A parameter of the left operand: one value, one a row, or already shaped to broadcast."""
    if len(parameter.shape) == 1 and parameter.size > 1 and rank > 1:
        return parameter.reshaped((parameter.size, 1))
    return _scalar_if_one(parameter)


# --- products


def _matmul(context: Context, left: tuple[str, str], right: tuple[str, str], y: Tensor) -> None:
    """y = (a - zero point) @ (b - zero point); `y` holds i32."""
    a, b = context.tensor(left[0]), context.tensor(right[0])
    _require_integer(context, a.dtype)
    _require_integer(context, b.dtype)
    zero = _along_rows(context.tensor(left[1]), len(a.shape)) if left[1] else None
    b_zero = _scalar_if_one(context.tensor(right[1])) if right[1] else None
    context.emit(replace(dense_product(a, b, y), x_zero=zero, w_zero=b_zero))


def _conv(
    context: Context, node: Node, data: tuple[str, str], weight: tuple[str, str], index: int
) -> Tensor:
    """The sums of a convolution, [N, spatial..., M]."""
    call = context.call_of(node)
    window = conv_window(call, index)
    x, w = context.tensor(data[0]), context.tensor(weight[0])
    _require_integer(context, x.dtype)
    _require_integer(context, w.dtype)
    x = channels_last_input(context, x, bool(call.channels_last))
    filters, channels = w.shape[:2]
    y = context.scratch(DType.i32, (x.shape[0], *map(int, window.output_dims), filters))
    w_zero = context.tensor(weight[1]) if weight[1] else None
    if w_zero is not None:
        spread = () if w_zero.size == 1 else (filters, *(1,) * (len(w.shape) - 1))
        w_zero = w_zero.reshaped(spread)
    context.emit(
        Contraction(
            x=x,
            x_row=x.shape[-1],
            weights=filter_matrices(w, call.group),
            y=y,
            y_row=filters,
            rows=math.prod(y.shape[:-1]),
            columns=filters // call.group,
            depth=channels,
            groups=filter_groups(call.group, channels, w),
            window=axes_of(x.shape[1:-1], window),
            x_zero=context.tensor(data[1]).reshaped(()) if data[1] else None,
            w_zero=w_zero,
        )
    )
    return y


def _require_integer(context: Context, dtype: DType) -> None:
    if dtype not in DTYPE_SETS["byte"]:
        raise UnsupportedError(f"{context.node}: no integer kernels for elements of {dtype}")


# --- results


def _requantize(
    context: Context,
    sums: Tensor,
    bias: Tensor | None,
    scales: tuple[Tensor, Tensor, Tensor],
    zero: Tensor,
    y: Tensor,
) -> None:
    """y = saturate(round((sums + bias) · scale · scale / scale) + zero), halves to even."""
    _require_integer(context, y.dtype)
    low, high = map(float, integer_limits(y.dtype))
    operands = [sums, *scales, zero, *([bias] if bias else [])]
    steps = ExpressionBuilder(len(operands))
    step = partial(steps, dtype="f64")
    total, left, right, out, offset, *more = [step("identity", i) for i in range(len(operands))]
    if more:
        total = step("add", total, more[0])
    real = step("multiply", total, step("multiply", left, right))
    level = step("rint", step("divide", real, out))
    kept = step("clip", step("add", level, offset), low=low, high=high)
    emit_built(context, steps, operands, [y], [steps("identity", kept, dtype=str(y.dtype))])


def _as_asked(context: Context, node: Node, y: Tensor) -> None:
    """The channels-last result `y` as the node's output, in the layout that the node asks for."""
    target = context.output(node.outputs[0])
    rank = len(y.shape)
    first = (0, rank - 1, *range(1, rank - 1))
    order = tuple(range(rank)) if context.call_of(node).channels_last else first
    transposed(context, y, order, target)
