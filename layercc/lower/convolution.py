"""Lowering of convolutions."""

from __future__ import annotations

import math

import numpy as np

from ir.ops.convolution import conv_window
from ir.ops.windows import Window
from layercc.cpu.emit.movement import pad_spatial
from layercc.cpu.tiles import choose_vectors
from layercc.lower.context import Context, Tensor
from layercc.lower.contraction import (
    Contraction,
    Packed,
    emit,
    pack_at_run_time,
    pack_weights,
)
from layercc.lower.depthwise import depthwise
from layercc.lower.epilogue import epilogue_of
from layercc.lower.group import Group, anchor, with_bias
from layercc.lower.movement import transposed
from layercc.lower.strided import Strided
from layercc.lower.windows import Axes, axes_of

#: With fewer input channels than this, the taps along the width are joined into one long tap:
#: a row of zeros-padded pixels is read as width × channels consecutive elements.
_FEW_CHANNELS = 16


@anchor("Conv")
def convolution(context: Context, group: Group) -> None:
    """Channels-last convolution and its epilogue."""
    call = group.call()
    if len(group.anchor.inputs) > 2 and group.anchor.inputs[2]:
        group = with_bias(group, group.anchor.inputs[2])
    x = context.tensor(group.anchor.inputs[0])
    weight = group.anchor.inputs[1]
    filters, channels, *kernel = context.shape(weight)
    window = conv_window(call)
    if channels == 1 and call.group > 1:
        depthwise(context, group, window)
        return
    y = context.output(group.output)
    groups = call.group
    columns = filters // groups
    joined = groups == 1 and channels < _FEW_CHANNELS and window.dilations[-1:] == (1,)
    if joined:
        x, place = _joined(context, x, window)
    else:
        place = axes_of(x.shape[1:-1], window)
    packed = _packed(context, weight, groups, joined)
    depth = channels * (kernel[-1] if joined else 1)
    rows = math.prod(y.shape[:-1])
    emit(
        context,
        Contraction(
            x=Strided(x, 0, channels, x.shape[-1]),
            weights=packed,
            y=Strided(y, 0, columns, filters),
            rows=rows,
            columns=columns,
            depth=depth,
            inner=groups,
            window=place,
            epilogue=epilogue_of(context, group, (0, columns, filters, 1), columns),
        ),
    )


def _packed(context: Context, name: str, groups: int, joined: bool) -> Packed:
    """The weights in panels, packed now if they are constant, else by each run."""
    filters, channels, *kernel = context.shape(name)
    columns, taps = filters // groups, math.prod(kernel)
    vectors = choose_vectors(context.isa, columns, str(context.dtype(name)))
    if name in context.graph.constants:
        packed = context.packed(
            name,
            f"conv panels {vectors} groups {groups} joined {joined}",
            lambda array: pack_weights(context.isa, _matrix(array, groups, joined), vectors),
        )
        return Packed(packed, vectors, 0, packed.size // groups)
    given = context.tensor(name).reshaped((groups, columns, channels, taps))
    ordered = context.scratch(given.dtype, (groups, taps, channels, columns))
    transposed(context, given, (0, 3, 2, 1), ordered)
    depth = taps * channels
    strides = (0, depth * columns, columns, 1)
    return pack_at_run_time(context, ordered, (1, groups), strides, depth, columns)


def _matrix(weight: np.ndarray, groups: int, joined: bool) -> np.ndarray:
    """`[M, C/g, kernel...]` → `[g, taps, depth, M/g]`; `joined`: the last kernel dim is depth."""
    filters, channels, *kernel = weight.shape
    last_first = weight.reshape(groups, filters // groups, channels, *kernel)
    ordered = np.moveaxis(last_first, (1, 2), (-1, -2))  # g, kernel..., C/g, M/g
    width = kernel[-1] if joined else 1
    taps = math.prod(kernel) // width
    return ordered.reshape(groups, taps, channels * width, filters // groups)


def _joined(context: Context, x: Tensor, window: Window) -> tuple[Tensor, Axes]:
    """A zero-padded copy of `x`, and the window over it with all taps along the width as one."""
    begins = [int(pad) for pad in window.pads_begin]
    needed = [
        (int(out) - 1) * stride + int(extent)
        for out, stride, extent in zip(
            window.output_dims, window.strides, window.effective_kernel, strict=True
        )
    ]
    ends = [
        max(size - begin - dim, 0)
        for size, begin, dim in zip(needed, begins, x.shape[1:-1], strict=True)
    ]
    if any(begins) or any(ends):
        x = pad_spatial(context.builder, x, begins, ends)
    plain = Window(
        (*window.kernel[:-1], 1),
        window.strides,
        window.dilations,
        (0,) * len(begins),
        (0,) * len(begins),
        window.output_dims,
    )
    return x, axes_of(x.shape[1:-1], plain)
