"""Lowering of depthwise convolutions: one input channel a group."""

from __future__ import annotations

import math

import numpy as np

from ir.diagnostics import UnsupportedError
from ir.ops.windows import Window
from layercc.buffers import aligned_zeros
from layercc.cpu.kernels.depthwise import CHANNEL_BLOCK, MOST_TAPS
from layercc.cpu.kernels.depthwise import depthwise as kernel
from layercc.cpu.tiles import lanes
from layercc.jobs.movement import strides_of
from layercc.lower.context import Context, Tensor
from layercc.lower.epilogue import epilogue_of
from layercc.lower.group import Group
from layercc.lower.movement import strided_copy
from layercc.lower.windows import axes_of

#: Undilated windows of these (widths, strides) have a kernel that shares input pixels between
#: taps; so wide a run of taps still fits the registers.
_LONGEST_RUN = 7
_LONGEST_STEP = 2
_TASK_FLOPS = 1 << 18


def depthwise(context: Context, group: Group, window: Window) -> None:
    """Emits the kernels of a channels-last depthwise convolution and its epilogue.

    X is [N, spatial..., C], W [C · multiplier, 1, kernel...], with up to three spatial dims.
    Raises UnsupportedError for a window of more taps than the kernel has room for.
    """
    name, weight = group.anchor.inputs[:2]
    x = context.tensor(name)
    filters = context.shape(weight)[0]
    taps = math.prod(map(int, window.kernel))
    if taps > MOST_TAPS:
        raise UnsupportedError(
            f"{group.anchor}: a depthwise window of {taps} taps; {MOST_TAPS} at most fit"
        )
    x = _repeated(context, x, filters // x.shape[-1])
    y = context.output(group.output)
    dtype = str(x.dtype)
    wide = -(-filters // lanes(context.isa, dtype)) * lanes(context.isa, dtype)
    packed = _weights(context, weight, wide)
    epilogue = epilogue_of(context, group, (0, 0, filters, 1))
    shared = (
        window.dilations[-1] == 1
        and 1 < int(window.kernel[-1]) <= _LONGEST_RUN
        and window.strides[-1] <= _LONGEST_STEP
    )
    run, step = (int(window.kernel[-1]), window.strides[-1]) if shared else (1, 1)
    *batch_and_rows, out_w, _ = y.shape
    rows = math.prod(batch_and_rows)
    block = min(CHANNEL_BLOCK, wide)
    blocks = -(-filters // max(block, 1))
    chunk = max(_TASK_FLOPS // max(2 * taps * out_w * block, 1), 1)
    context.call(
        kernel.key(dtype, run, step, epilogue.expression(dtype), epilogue.columns),
        tasks=-(-rows // chunk) * blocks if y.size else 0,
        flops=2 * taps * y.size,
        x=x,
        w=packed,
        y=y,
        rows=rows,
        chunk=chunk,
        channels=filters,
        wide=wide,
        channel_block=block,
        channel_blocks=blocks,
        window=axes_of(x.shape[1:-1], window).words(),
        operands=epilogue.words(),
    )


def _weights(context: Context, name: str, wide: int) -> Tensor:
    """The weights as [tap][wide], packed now if they are constant, else by each run."""
    if name in context.graph.constants:
        return context.packed(name, f"depthwise {wide}", lambda array: _packed(array, wide))
    filters, _, *kernel = context.shape(name)
    taps = math.prod(kernel)
    y = context.scratch(context.dtype(name), (taps, wide))
    strided_copy(context, context.tensor(name), y, (filters, taps), (taps, 1), (1, wide))
    return y


def _packed(weight: np.ndarray, wide: int) -> np.ndarray:
    """`[C, 1, kernel...]` → `[tap][wide]`, zero beyond C."""
    filters = weight.shape[0]
    taps = math.prod(weight.shape[2:])
    packed = aligned_zeros((taps, wide), weight.dtype)
    packed[:, :filters] = weight.reshape(filters, taps).T
    return packed


def _repeated(context: Context, x: Tensor, multiplier: int) -> Tensor:
    """Each channel `multiplier` times: then every filter has a channel of its own."""
    if multiplier == 1:
        return x
    channels = x.shape[-1]
    y = context.scratch(x.dtype, (*x.shape[:-1], channels * multiplier))
    shape = (*x.shape, multiplier)
    strided_copy(context, x, y, shape, [*strides_of(x.shape), 0], strides_of(shape))
    return y
