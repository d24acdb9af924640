"""Lowering of transposed convolutions and Col2Im.

Windows that do not overlap (kernel = stride) are a matrix product for each row of the window,
written straight into the output. With constant weights, others are convolutions of their phases
(`layercc.lower.phases`). What is left (groups, holes, few channels) is one matrix product, which
makes for each input pixel what each tap adds to the output, and a fold, which sums that up.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

from ir.diagnostics import UnsupportedError
from ir.graph import Node
from ir.ops.convolution import Col2Im, ConvTranspose
from ir.ops.windows import Window
from layercc.buffers import Tensor
from layercc.jobs.contraction import Contraction, GroupDim, Matrices, Operand
from layercc.jobs.fold import Fold
from layercc.jobs.windows import three
from layercc.lower.casting import computable, result, rounded
from layercc.lower.context import Context
from layercc.lower.epilogue import epilogue_of
from layercc.lower.group import Group, anchor, with_bias
from layercc.lower.layout import channels_last_input, channels_last_output, put_back
from layercc.lower.movement import strided_copy, transposed
from layercc.lower.phases import convolve, fits, runs_of
from layercc.lower.registry import lowering
from layercc.lower.windows import axes_of


@anchor("ConvTranspose")
def transposed_convolution(context: Context, group: Group) -> None:
    """Transposed convolution over up to three spatial dims, and its epilogue.

    Raises UnsupportedError for channels-first groups with an epilogue (the layout pass makes them
    channels-last).
    """
    call = group.call()
    window = ConvTranspose.window(call)
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
    weight = context.tensor(group.anchor.inputs[1])
    axes = None
    if overlapping and call.group == 1 and weight.array is not None:
        axes = runs_of(window, x.shape[1:-1])
    if axes is not None and fits(axes, epilogue_of(context, group, (), y.shape[-1]), y):
        convolve(context, axes, x, weight, y, epilogue_of(context, group, (), y.shape[-1]))
    elif overlapping:
        _overlapping(context, group, window, x, y, call.group)
    else:
        _tiling(context, group, window, x, y)
    put_back(context, y, target)


def _overlapping(
    context: Context, group: Group, window: Window, x: Tensor, y: Tensor, groups: int
) -> None:
    weight = context.tensor(group.anchor.inputs[1])
    depth, filters = x.shape[-1] // groups, y.shape[-1] // groups
    taps = math.prod(map(int, window.kernel))
    pixels = math.prod(x.shape[:-1])
    columns = taps * filters
    products = context.scratch(x.dtype, (pixels, groups, taps, filters))
    context.emit(
        Contraction(
            x=x,
            x_row=x.shape[-1],
            weights=Matrices(weight, columns, ((taps, 1), (filters, taps))),
            y=products,
            y_row=groups * columns,
            rows=pixels,
            columns=columns,
            depth=depth,
            groups=() if groups == 1 else (GroupDim(groups, depth, depth * columns, columns),),
        )
    )
    epilogue = epilogue_of(context, group, (), y.shape[-1])
    context.emit(Fold(products, y, axes_of(x.shape[1:-1], window), groups, epilogue))


@lowering("Col2Im")
def columns_to_image(context: Context, node: Node) -> None:
    """The sum over taps alone, between two transposes, since images are channels-first."""
    call = context.call_of(node)
    window, image = Col2Im.windows(call)
    taps = math.prod(map(int, window.kernel))
    x = computable(context, context.tensor(node.inputs[0]))
    batch, size, windows = x.shape
    channels = size // taps
    ordered = context.scratch(x.dtype, (batch, windows, taps, channels))
    transposed(context, x.reshaped((batch, channels, taps, windows)), (0, 3, 2, 1), ordered)
    made = context.scratch(x.dtype, (batch, *map(int, image), channels))
    counts = tuple(map(int, window.output_dims))
    context.emit(Fold(ordered, made, axes_of(counts, replace(window, output_dims=image))))
    y = result(context, node.outputs[0], x.dtype)
    transposed(context, made, (0, len(image) + 1, *range(1, len(image) + 1)), y)
    rounded(context, y, node.outputs[0])


def _tiling(context: Context, group: Group, window: Window, x: Tensor, y: Tensor) -> None:
    """Each input pixel makes a block of the output of its own, of which a row is consecutive."""
    weight = context.tensor(group.anchor.inputs[1])
    window_d, window_h, window_w = three(window.kernel, 1)
    in_d, in_h, in_w = three(x.shape[1:-1], 1)
    depth, channels = x.shape[-1], y.shape[-1]
    columns = window_w * channels
    line = in_w * columns  # elements of a row of the output
    taps = window_d * window_h * window_w
    groups = (
        GroupDim(x.shape[0] * in_d, in_h * in_w * depth, 0, window_d * in_h * window_h * line),
        GroupDim(in_h, in_w * depth, 0, window_h * line),
    )
    epilogue = epilogue_of(context, group, [g.y for g in groups], columns)
    operands = tuple(_along_width(context, o, y, window_w) for o in epilogue.operands)
    for kd, kh in itertools.product(range(window_d), range(window_h)):
        start = (kd * in_h * window_h + kh) * line * y.dtype.itemsize
        moved = tuple(
            replace(o, tensor=o.tensor.moved(start)) if o.tensor.shape == y.shape else o
            for o in operands
        )
        first = (kd * window_h + kh) * window_w
        context.emit(
            Contraction(
                x=x,
                x_row=depth,
                weights=Matrices(
                    weight, channels * taps, ((window_w, 1), (channels, taps)), start=first
                ),
                y=y.moved(start),
                y_row=columns,
                rows=in_w,
                columns=columns,
                depth=depth,
                groups=groups,
                epilogue=replace(epilogue, operands=moved),
            )
        )


def _along_width(context: Context, operand: Operand, y: Tensor, window_w: int) -> Operand:
    """An operand over channels, repeated for each tap along the width."""
    if operand.tensor.shape == y.shape or not operand.column or window_w == 1:
        return operand
    channels = y.shape[-1]
    repeated = context.scratch(operand.tensor.dtype, (window_w, channels))
    strided_copy(context, operand.tensor, repeated, repeated.shape, (0, 1), (channels, 1))
    return replace(operand, tensor=repeated)
