"""Lowering of transposed convolutions and Col2Im.

Windows that do not overlap (kernel = stride) are a matrix product for each row of the window,
written straight into the output. All others are one matrix product, which makes for each input
pixel what each tap adds to the output, and `col2im`, which sums that up.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ir.diagnostics import UnsupportedError
from ir.graph import Node
from ir.ops.convolution import Col2Im, ConvTranspose
from ir.ops.windows import Window
from layercc.cpu.kernels.col2im import CHANNEL_BLOCK, MOST_TAPS, col2im
from layercc.cpu.tiles import choose_vectors
from layercc.lower.casting import computable, result, rounded
from layercc.lower.context import Context, Tensor
from layercc.lower.contraction import (
    Contraction,
    Packed,
    emit,
    pack_at_run_time,
    pack_weights,
)
from layercc.lower.epilogue import Epilogue, Operand, epilogue_of
from layercc.lower.group import Group, anchor, with_bias
from layercc.lower.layout import channels_last_input, channels_last_output, put_back
from layercc.lower.movement import strided_copy, transposed
from layercc.lower.registry import lowering
from layercc.lower.strided import Strided
from layercc.lower.windows import axes_of, three

#: Elements that a task of `col2im` reads, about.
_TASK = 1 << 15


@anchor("ConvTranspose")
def transposed_convolution(context: Context, group: Group) -> None:
    """Transposed convolution over up to three spatial dims, and its epilogue.

    Raises UnsupportedError for a window of more taps than the kernel has room for, and for
    channels-first groups with an epilogue (the layout pass makes them channels-last).
    """
    call = group.call()
    window = ConvTranspose.window(call)
    if math.prod(map(int, window.kernel)) > MOST_TAPS:
        raise UnsupportedError(f"{group.anchor}: a window of more than {MOST_TAPS} taps")
    last = bool(call.channels_last)
    if group.rest and not last:
        raise UnsupportedError(f"{group.anchor}: a channels-first group; channels-last would fit")
    if call.has(2):
        group = with_bias(group, group.anchor.inputs[2])
    x = channels_last_input(context, context.tensor(group.anchor.inputs[0]), last)
    target = context.output(group.output)
    y = channels_last_output(context, target, last)
    overlapping = (
        call.group != 1
        or window.kernel != window.strides
        or any(d != 1 and k != 1 for d, k in zip(window.dilations, window.kernel, strict=True))
        or any(map(int, (*window.pads_begin, *window.pads_end)))
        or any(o != i * s for o, i, s in zip(
            window.output_dims, x.shape[1:-1], window.strides, strict=True
        ))
    )  # fmt: skip
    if overlapping:
        _overlapping(context, group, window, x, y, call.group)
    else:
        _tiling(context, group, window, x, y)
    put_back(context, y, target)


def _overlapping(
    context: Context, group: Group, window: Window, x: Tensor, y: Tensor, groups: int
) -> None:
    weight = group.anchor.inputs[1]
    depth, group_channels = x.shape[-1] // groups, y.shape[-1] // groups
    taps = math.prod(map(int, window.kernel))
    pixels = math.prod(x.shape[:-1])
    columns = taps * group_channels
    products = context.scratch(x.dtype, (pixels, groups, taps, group_channels))
    emit(
        context,
        Contraction(
            x=Strided(x, 0, depth, x.shape[-1]),
            weights=_packed(context, weight, groups, 1),
            y=Strided(products, 0, columns, groups * columns),
            rows=pixels,
            columns=columns,
            depth=depth,
            inner=groups,
        ),
    )
    epilogue = epilogue_of(context, group, (0, 0, y.shape[-1], 1))
    _sum_taps(context, products, y, x.shape[1:-1], window, groups, epilogue)


def _sum_taps(
    context: Context,
    products: Tensor,
    y: Tensor,
    spatial: Sequence[int],
    window: Window,
    groups: int,
    epilogue: Epilogue,
) -> None:
    """Sums `products` [pixels, groups, taps, channels] into `y`; `spatial`: dims of the pixels."""
    taps = math.prod(map(int, window.kernel))
    dtype = str(y.dtype)
    group_channels = y.shape[-1] // groups
    rows, out_w = math.prod(y.shape[:-2]), y.shape[-2]
    block = min(CHANNEL_BLOCK, group_channels)
    blocks = -(-group_channels // max(block, 1))
    met = -(-taps // math.prod(window.strides))
    chunk = max(_TASK // max(met * out_w * block, 1), 1)
    context.call(
        col2im.key(dtype, epilogue.expression(dtype), epilogue.columns),
        tasks=-(-rows // chunk) * groups * blocks if y.size else 0,
        flops=met * y.size,
        p=products,
        y=y,
        rows=rows,
        chunk=chunk,
        groups=groups,
        group_channels=group_channels,
        channel_block=block,
        blocks=blocks,
        window=axes_of(spatial, window).words(),
        operands=epilogue.words(),
    )


@lowering("Col2Im")
def columns_to_image(context: Context, node: Node) -> None:
    """The sum over taps alone, between two transposes, since images are channels-first."""
    call = context.call_of(node)
    window, image = Col2Im.windows(call)
    taps = math.prod(map(int, window.kernel))
    x = computable(context, context.tensor(node.inputs[0]))
    if taps > MOST_TAPS:
        raise UnsupportedError(f"{node}: blocks of more than {MOST_TAPS} elements")
    batch, size, windows = x.shape
    channels = size // taps
    ordered = context.scratch(x.dtype, (batch, windows, taps, channels))
    transposed(context, x.reshaped((batch, channels, taps, windows)), (0, 3, 2, 1), ordered)
    made = context.scratch(x.dtype, (batch, *map(int, image), channels))
    counts = tuple(map(int, window.output_dims))
    _sum_taps(context, ordered, made, counts, replace(window, output_dims=image), 1, Epilogue())
    y = result(context, node.outputs[0], x.dtype)
    transposed(context, made, (0, len(image) + 1, *range(1, len(image) + 1)), y)
    rounded(context, y, node.outputs[0])


def _tiling(context: Context, group: Group, window: Window, x: Tensor, y: Tensor) -> None:
    """Each input pixel makes a block of the output of its own, of which a row is consecutive."""
    window_d, window_h, window_w = three(window.kernel, 1)
    in_d, in_h, in_w = three(x.shape[1:-1], 1)
    depth, channels = x.shape[-1], y.shape[-1]
    columns = window_w * channels
    line = in_w * columns  # elements of a row of the output
    strides = (window_d * in_h * window_h * line, window_h * line, columns, 1)
    epilogue = epilogue_of(context, group, strides)
    operands = tuple(_along_width(context, o, y, window_w) for o in epilogue.operands)
    packed = _packed(context, group.anchor.inputs[1], 1, window_d * window_h)
    size = packed.tensor.size // (window_d * window_h)
    for kd, kh in itertools.product(range(window_d), range(window_h)):
        start = (kd * in_h * window_h + kh) * line * y.dtype.itemsize
        moved = tuple(
            replace(o, tensor=o.tensor.moved(start)) if o.tensor.shape == y.shape else o
            for o in operands
        )
        part = packed.tensor.moved((kd * window_h + kh) * size * y.dtype.itemsize)
        emit(
            context,
            Contraction(
                x=Strided(x, in_h * in_w * depth, in_w * depth, depth),
                weights=Packed(part, packed.vectors),
                y=Strided(y.moved(start), *strides[:3]),
                rows=in_w,
                columns=columns,
                depth=depth,
                outer=x.shape[0] * in_d,
                inner=in_h,
                epilogue=replace(epilogue, operands=moved),
            ),
        )


def _along_width(context: Context, operand: Operand, y: Tensor, window_w: int) -> Operand:
    """An operand over channels, repeated for each tap along the width."""
    if operand.tensor.shape == y.shape or not operand.column or window_w == 1:
        return operand
    channels = y.shape[-1]
    repeated = context.scratch(operand.tensor.dtype, (window_w, channels))
    strided_copy(context, operand.tensor, repeated, repeated.shape, (0, 1), (channels, 1))
    return replace(operand, tensor=repeated)


def _packed(context: Context, name: str, groups: int, parts: int) -> Packed:
    """Weights [C, N/g, kernel...] as panels of [g · parts, C/g, taps/parts · N/g] matrices.

    `parts` cuts the taps, in order, into as many matrices; only without groups.
    """
    channels, filters, *kernel = context.shape(name)
    taps = math.prod(kernel)
    depth, columns = channels // groups, taps // parts * filters
    vectors = choose_vectors(context.isa, columns, str(context.dtype(name)))

    def matrices(array: np.ndarray) -> np.ndarray:
        split = array.reshape(groups, depth, filters, parts, taps // parts)
        ordered = split.transpose(0, 3, 1, 4, 2)
        return ordered.reshape(groups * parts, 1, depth, columns)

    if name in context.graph.constants:
        packed = context.packed(
            name,
            f"transposed convolution panels {vectors} groups {groups} parts {parts}",
            lambda array: pack_weights(context.isa, matrices(array), vectors),
        )
        return Packed(packed, vectors, 0, packed.size // (groups * parts))
    given = context.tensor(name).reshaped((groups, depth, filters, parts, taps // parts))
    shape = (groups, parts, depth, taps // parts, filters)
    ordered = context.scratch(given.dtype, shape)
    transposed(context, given, (0, 3, 1, 4, 2), ordered)
    strides = (0, depth * columns, columns, 1)
    return pack_at_run_time(context, ordered, (1, groups * parts), strides, depth, columns)
