"""Lowering of integer and quantised matrix products and convolutions.

Operands less their zero points are i16; their products are summed exactly in i32. Quantised ops
then scale and round the sums in f64.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ir.diagnostics import UnsupportedError
from ir.dtypes import DType
from ir.graph import Node
from ir.ops.convolution import conv_window
from ir.ops.windows import Window
from layercc.cpu.kernels.integer import COLUMNS, integer_contraction
from layercc.lower.context import Context, Tensor
from layercc.lower.movement import transposed
from layercc.lower.pointwise import emit_pointwise
from layercc.lower.registry import lowering
from layercc.lower.windows import window_words

#: Multiply-adds of a task.
_TASK = 1 << 18
_LIMITS = {DType.u8: (0.0, 255.0), DType.i8: (-128.0, 127.0)}


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


@dataclass(frozen=True)
class _Strides:
    """Elements between groups, and between rows (pixels)."""

    group: int
    row: int


def _matmul(context: Context, left: tuple[str, str], right: tuple[str, str], y: Tensor) -> None:
    """y = (a - zero point) @ (b - zero point); `y` holds i32."""
    a = context.tensor(left[0])
    zero = _along_rows(context.tensor(left[1]), len(a.shape)) if left[1] else None
    a = _centred(context, a, zero)
    b = _centred_weight(context, *right, lambda array, zero: array - zero)
    if b is None:
        zero = _scalar_if_one(context.tensor(right[1])) if right[1] else None
        b = _centred(context, context.tensor(right[0]), zero)
    a = a.reshaped((1, *a.shape)) if len(a.shape) == 1 else a
    b = b.reshaped((*b.shape, 1)) if len(b.shape) == 1 else b
    rows, depth = a.shape[-2:]
    columns = b.shape[-1]
    a_batch, b_batch = a.shape[:-2], b.shape[:-2]
    batch = np.broadcast_shapes(a_batch, b_batch)
    groups, each = 1, True
    if math.prod(b_batch) == 1:
        rows, each = math.prod((*a_batch, rows)), False
    elif a_batch == b_batch:
        groups, each = math.prod(batch), False
    sizes = (rows, depth, columns)
    strides = _Strides(rows * depth, depth), _Strides(rows * columns, columns)
    if not each:
        _emit(context, a, b, y, sizes, groups, strides)
        return
    a_at = np.broadcast_to(np.arange(math.prod(a_batch)).reshape(a_batch), batch)
    b_at = np.broadcast_to(np.arange(math.prod(b_batch)).reshape(b_batch), batch)
    for number, index in enumerate(itertools.product(*map(range, batch))):
        _emit(
            context,
            a.moved(int(a_at[index]) * rows * depth * a.dtype.itemsize),
            b.moved(int(b_at[index]) * depth * columns * b.dtype.itemsize),
            y.moved(number * rows * columns * y.dtype.itemsize),
            sizes,
            1,
            strides,
        )


def _conv(
    context: Context, node: Node, data: tuple[str, str], weight: tuple[str, str], index: int
) -> Tensor:
    """The sums of a convolution, [N, spatial..., M]."""
    call = context.call_of(node)
    window = conv_window(call, index)
    zero = context.tensor(data[1]).reshaped(()) if data[1] else None
    x = _centred(context, context.tensor(data[0]), zero)
    if not call.channels_last:
        last = context.scratch(x.dtype, (x.shape[0], *x.shape[2:], x.shape[1]))
        transposed(context, x, (0, *range(2, len(x.shape)), 1), last)
        x = last
    groups = call.group
    w = _filters(context, weight, groups)
    columns, channels = w.shape[-1], w.shape[-2]
    y = context.scratch(DType.i32, (x.shape[0], *map(int, window.output_dims), groups * columns))
    _emit(
        context, x, w, y,
        (math.prod(y.shape[:-1]), channels, columns),
        groups,
        (_Strides(channels, groups * channels), _Strides(columns, groups * columns)),
        (x.shape[1:-1], window),
    )  # fmt: skip
    return y


def _filters(context: Context, weight: tuple[str, str], groups: int) -> Tensor:
    """`[M, C/g, kernel...]` less its zero points as `[g, taps, C/g, M/g]`."""
    filters, channels, *kernel = context.shape(weight[0])
    shape = (groups, filters // groups, channels, math.prod(kernel))
    spread = (filters, *(1,) * (len(kernel) + 1))

    def arranged(array: np.ndarray, zero: np.ndarray) -> np.ndarray:
        centred = array - (zero.reshape(spread) if zero.size > 1 else zero)
        return centred.reshape(shape).transpose(0, 3, 2, 1)

    packed = _centred_weight(context, *weight, arranged, f" filters of {groups} groups")
    if packed is not None:
        return packed
    zero = None
    if weight[1]:
        zero = context.tensor(weight[1])
        zero = zero.reshaped(spread if zero.size > 1 else ())
    centred = _centred(context, context.tensor(weight[0]), zero).reshaped(shape)
    w = context.scratch(centred.dtype, tuple(shape[i] for i in (0, 3, 2, 1)))
    transposed(context, centred, (0, 3, 2, 1), w)
    return w


def _emit(
    context: Context,
    x: Tensor,
    w: Tensor,
    y: Tensor,
    sizes: tuple[int, int, int],
    groups: int,
    strides: tuple[_Strides, _Strides],
    place: tuple[Sequence[int], Window] | None = None,
) -> None:
    """One call: `sizes` are rows, depth and columns, `strides` those of x and y, `place` the dims
    of a convolution's input and its window."""
    rows, depth, columns = sizes
    if place is None:
        place = (rows,), Window((1,), (1,), (1,), (0,), (0,), (rows,))
    words = window_words(*place)
    taps = math.prod(words[f"window_{axis}"] for axis in "dhw")
    work = max(taps * depth * min(columns, COLUMNS), 1)
    row_block = min(max(_TASK // work, 1), max(rows, 1))
    context.call(
        integer_contraction.key(),
        tasks=groups * -(-rows // row_block) * -(-columns // COLUMNS),
        flops=2 * groups * rows * columns * depth * taps,
        x=x,
        w=w,
        y=y,
        rows=rows,
        row_block=row_block,
        depth=depth,
        columns=columns,
        x_group=strides[0].group,
        w_group=taps * depth * columns,
        y_group=strides[1].group,
        x_pixel=strides[0].row,
        y_pixel=strides[1].row,
        **words,
    )


def _centred(context: Context, x: Tensor, zero: Tensor | None) -> Tensor:
    """A tensor less its zero points, which broadcast with it, as i16."""
    _require_integer(context, x.dtype)
    operands = [x, zero] if zero else [x]
    steps: list[Any] = [("identity", (i,), (), "i16") for i in range(len(operands))]
    if zero:
        steps.append(("subtract", (2, 3), (), "i16"))
    y = context.scratch(DType.i16, x.shape)
    inputs = tuple(str(operand.dtype) for operand in operands)
    expression = (inputs, tuple(steps), (len(inputs) + len(steps) - 1,))
    emit_pointwise(context, expression, operands, [y], x.shape, 1)
    return y


def _centred_weight(
    context: Context,
    name: str,
    zero: str,
    arrange: Callable[[np.ndarray, np.ndarray], np.ndarray],
    form: str = "",
) -> Tensor | None:
    """`arrange` of a weight and its zero points, both i16; None unless both are constants."""
    zeros = context.value(zero) if zero else np.zeros((), np.int8)
    if name not in context.graph.constants or zeros is None:
        return None
    _require_integer(context, context.dtype(name))
    levels = np.asarray(zeros).astype(np.int16)
    levels = levels.reshape(()) if levels.size == 1 else levels
    recipe = f"less {levels.tolist()}{form}"
    return context.packed(
        name, recipe, lambda array: np.ascontiguousarray(arrange(array.astype(np.int16), levels))
    )


def _require_integer(context: Context, dtype: DType) -> None:
    if dtype not in _LIMITS:
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
    low, high = _LIMITS[y.dtype]
    operands = [sums, *scales, zero, *([bias] if bias else [])]
    steps: list[Any] = [("identity", (i,), (), "f64") for i in range(len(operands))]
    count = len(operands)
    total, left, right, out, offset, *more = range(count, 2 * count)

    def step(name: str, *values: int, **settings: float) -> int:
        steps.append((name, values, tuple(sorted(settings.items())), "f64"))
        return count + len(steps) - 1

    if more:
        total = step("add", total, more[0])
    real = step("multiply", total, step("multiply", left, right))
    level = step("rint", step("divide", real, out))
    kept = step("clip", step("add", level, offset), low=low, high=high)
    steps.append(("identity", (kept,), (), str(y.dtype)))
    inputs = tuple(str(operand.dtype) for operand in operands)
    expression = (inputs, tuple(steps), (count + len(steps) - 1,))
    emit_pointwise(context, expression, operands, [y], y.shape, len(steps))


def _as_asked(context: Context, node: Node, y: Tensor) -> None:
    """The channels-last result `y` as the node's output, in the layout that the node asks for."""
    target = context.output(node.outputs[0])
    rank = len(y.shape)
    first = (0, rank - 1, *range(1, rank - 1))
    order = tuple(range(rank)) if context.call_of(node).channels_last else first
    transposed(context, y, order, target)
