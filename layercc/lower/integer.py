"""Lowering of integer and quantised matrix products and convolutions.

Where zero points allow it, operands go through the contraction kernel as bytes, in words of four
(`layercc.lower.integer_bytes`). Others do in pairs of i16, less their zero points, and so what a
window reads outside the input is 0. Sums are exact in i32. Quantised ops then scale and round them
in f64.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from ir.diagnostics import UnsupportedError
from ir.dtypes import DType
from ir.graph import Node
from ir.ops.convolution import conv_window
from layercc.cpu.tiles import PAIRS, choose_vectors
from layercc.jobs.movement import strides_of
from layercc.lower.context import Context, Tensor
from layercc.lower.contraction import (
    Contraction,
    Packed,
    emit,
    pack_at_run_time,
    pack_weights,
)
from layercc.lower.epilogue import Epilogue
from layercc.lower.integer_bytes import Form, Operands, in_bytes, suits
from layercc.lower.movement import strided_copy, transposed
from layercc.lower.pointwise import emit_pointwise
from layercc.lower.registry import lowering
from layercc.lower.strided import Strided
from layercc.lower.windows import axes_of

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


def _matmul(context: Context, left: tuple[str, str], right: tuple[str, str], y: Tensor) -> None:
    """y = (a - zero point) @ (b - zero point); `y` holds i32."""
    a = context.tensor(left[0])
    zero = _along_rows(context.tensor(left[1]), len(a.shape)) if left[1] else None
    a = a.reshaped((1, *a.shape)) if len(a.shape) == 1 else a
    b_shape = context.shape(right[0])
    b_shape = (*b_shape, 1) if len(b_shape) == 1 else b_shape
    rows, depth = a.shape[-2:]
    columns = b_shape[-1]
    a_batch, b_batch = a.shape[:-2], b_shape[:-2]
    count = math.prod(b_batch)
    form = Form((count, 1, depth, columns), (depth * columns, 0, columns, 1))
    _require_integer(context, a.dtype)
    if count == 1 and suits(context, zero, right):
        operands = in_bytes(context, a, zero, right[0], form, padded=False)
    else:
        operands = _in_pairs(context, a, zero, right, form, 1, lambda zero: zero)
    x, weights = operands.x, operands.weights
    words = x.shape[-1]
    job = Contraction(
        x=Strided(x, 0, rows * words, words),
        weights=weights,
        y=Strided(y, 0, rows * columns, columns),
        rows=rows,
        columns=columns,
        depth=words,
        epilogue=operands.epilogue,
    )
    batch = np.broadcast_shapes(a_batch, b_batch)
    if count == 1:
        emit(context, replace(job, rows=math.prod((*a_batch, rows))))
    elif a_batch == b_batch:
        emit(context, replace(job, inner=count))
    else:
        a_at = np.broadcast_to(np.arange(math.prod(a_batch)).reshape(a_batch), batch)
        b_at = np.broadcast_to(np.arange(count).reshape(b_batch), batch)
        for number, index in enumerate(itertools.product(*map(range, batch))):
            b_start = 4 * int(b_at[index]) * weights.inner
            emit(context, replace(
                job,
                x=replace(job.x, tensor=x.moved(4 * int(a_at[index]) * rows * words)),
                weights=replace(weights, tensor=weights.tensor.moved(b_start)),
                y=replace(job.y, tensor=y.moved(4 * number * rows * columns)),
            ))  # fmt: skip


def _conv(
    context: Context, node: Node, data: tuple[str, str], weight: tuple[str, str], index: int
) -> Tensor:
    """The sums of a convolution, [N, spatial..., M]."""
    call = context.call_of(node)
    window = conv_window(call, index)
    zero = context.tensor(data[1]).reshaped(()) if data[1] else None
    x = context.tensor(data[0])
    _require_integer(context, x.dtype)
    if not call.channels_last:
        last = context.scratch(x.dtype, (x.shape[0], *x.shape[2:], x.shape[1]))
        transposed(context, x, (0, *range(2, len(x.shape)), 1), last)
        x = last
    spatial = x.shape[1:-1]
    groups = call.group
    filters, channels, *kernel = context.shape(weight[0])
    columns, taps = filters // groups, math.prod(kernel)
    form = Form(
        (groups, taps, channels, columns),
        (columns * channels * taps, 1, taps, channels * taps),
    )
    if suits(context, zero, weight):
        padded = any((*window.pads_begin, *window.pads_end))
        operands = in_bytes(context, x, zero, weight[0], form, padded)
    else:
        spread = (filters, *(1,) * (len(kernel) + 1))
        operands = _in_pairs(
            context, x, zero, weight, form, groups, lambda zero: zero.reshaped(spread)
        )
    words = operands.x.shape[-1] // groups
    y = context.scratch(DType.i32, (x.shape[0], *map(int, window.output_dims), filters))
    emit(
        context,
        Contraction(
            x=Strided(operands.x, 0, words, groups * words),
            weights=operands.weights,
            y=Strided(y, 0, columns, filters),
            rows=math.prod(y.shape[:-1]),
            columns=columns,
            depth=words,
            inner=groups,
            window=axes_of(spatial, window),
            epilogue=operands.epilogue,
            outside=operands.outside,
        ),
    )
    return y


# --- operands: pairs of i16 along the depth, as words of 32 bits


def _in_pairs(
    context: Context,
    x: Tensor,
    zero: Tensor | None,
    weight: tuple[str, str],
    form: Form,
    groups: int,
    spread: Callable[[Tensor], Tensor],
) -> Operands:
    """x, [..., groups * depth], and a weight, both less their zero points."""
    pairs = _paired(context, _centred(context, x, zero), groups)
    return Operands(pairs, _weights(context, weight, form, spread), Epilogue())


def _weights(
    context: Context,
    weight: tuple[str, str],
    form: Form,
    spread: Callable[[Tensor], Tensor],
) -> Packed:
    """A weight less its zero points in panels; `spread` gives several zero points the shape in
    which they broadcast."""
    name, zero = weight
    groups, taps, depth, columns = form.sizes
    half = -(-depth // 2)
    vectors = choose_vectors(context.isa, columns, PAIRS)
    zeros = context.value(zero) if zero else np.zeros((), np.int8)
    if name in context.graph.constants and zeros is not None:
        _require_integer(context, context.dtype(name))
        levels = np.asarray(zeros).astype(np.int16)
        if levels.size > 1:
            levels = levels.reshape(spread(context.tensor(zero)).shape)
        else:
            levels = levels.reshape(())

        def pack(array: np.ndarray) -> np.ndarray:
            centred = np.ascontiguousarray(array.astype(np.int16) - levels)
            even = np.pad(form.of(centred), ((0, 0), (0, 0), (0, depth % 2), (0, 0)))
            pairs = even.reshape(groups, taps, half, 2, columns).swapaxes(3, 4)
            words = np.ascontiguousarray(pairs).view(np.int32)[..., 0]
            return pack_weights(context.isa, words, vectors)

        recipe = f"pairs {form} {vectors} less {levels.tolist()}"
        packed = context.packed(name, recipe, pack)
        return Packed(packed, vectors, 0, packed.size // max(groups, 1), PAIRS)
    level = context.tensor(zero) if zero else None
    if level is not None:
        level = level.reshaped(()) if level.size == 1 else spread(level)
    centred = _centred(context, context.tensor(name), level)
    words = context.scratch(DType.i16, (groups, taps, half, columns, 2))
    strides = strides_of(words.shape)[:-1]
    step = form.strides[2]
    skip = (*form.strides[:2], 2 * step, form.strides[3])
    for odd in (0, 1):
        shape = (groups, taps, (depth + 1 - odd) // 2, columns)
        strided_copy(context, centred, words, shape, skip, strides, odd * step, odd)
    if depth % 2:
        nothing = context.constant(np.zeros(1, np.int16))
        last = (half - 1) * strides[2] + 1
        strided_copy(
            context, nothing, words, (groups, taps, columns), (0, 0, 0),
            (strides[0], strides[1], strides[3]), 0, last,
        )  # fmt: skip
    matrix = replace(words, dtype=DType.i32, shape=(groups, taps * half, columns))
    size = taps * half * columns
    made = pack_at_run_time(
        context, matrix, (1, groups), (0, size, columns, 1), taps * half, columns
    )
    return replace(made, words=PAIRS)


def _paired(context: Context, x: Tensor, groups: int) -> Tensor:
    """`[..., groups * depth]` of i16 as words of two; a group of odd depth gets a zero more."""
    *leading, channels = x.shape
    depth = channels // groups
    if depth % 2:
        count = math.prod(leading)
        wide = (count, groups, depth + 1)
        even = context.scratch(x.dtype, (*leading, groups * (depth + 1)))
        strided_copy(
            context, x, even, (count, groups, depth), (channels, depth, 1), strides_of(wide)
        )
        nothing = context.constant(np.zeros(1, np.int16))
        strided_copy(
            context, nothing, even, (count, groups), (0, 0), strides_of(wide)[:2], 0, depth
        )
        x = even
    return replace(x, dtype=DType.i32, shape=(*leading, x.shape[-1] // 2))


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
