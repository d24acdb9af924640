"""Convolutions of groups of one channel (depthwise) or few: channels of groups lie in vectors.

Depthwise fits windows of floats over groups of one input channel; several filters a channel are as
many copies of it. It costs memory rather than arithmetic. Narrow groups, of two, four or eight
channels in and out, are the same with as many products a tap: a vector holds channels of several
groups, and for each channel of a group a copy of the vector is made that has it in all places of
the group. No product is wasted, as it would be in panels as wide as a vector.
"""

from __future__ import annotations

import numpy as np

from layercc.buffers import Tensor, aligned_zeros
from layercc.cpu.algorithms.algorithm import Algorithm, rows_of
from layercc.cpu.emit.builder import Builder
from layercc.cpu.emit.records import Strided, epilogue_columns, epilogue_expression, window_words
from layercc.cpu.kernels.depthwise import CHANNEL_BLOCK, MOST_TAPS
from layercc.cpu.kernels.depthwise import depthwise as kernel
from layercc.cpu.tiles import vector_length
from layercc.jobs.contraction import Contraction
from layercc.jobs.matrices import View
from layercc.jobs.movement import Move, strides_of
from layercc.jobs.windows import Axes
from layercc.kernels.element_types import FLOATS
from layercc.limits import Limits

#: Undilated windows of these (widths, strides) have a kernel that shares input pixels between
#: taps; so wide a run of taps still fits the registers.
_LONGEST_RUN = 7
_LONGEST_STEP = 2
_TASK_FLOPS = 1 << 18
#: Channels of groups that are computed side by side, and terms of a sum, which is one chain.
_NARROW = (2, 4, 8)
_MOST_TERMS = 256


def _fits_window(job: Contraction) -> bool:
    """A window over floats in groups that lie side by side, of not too many taps."""
    return (
        str(job.x.dtype) in FLOATS
        and job.window is not None
        and len(job.groups) == 1
        and job.groups[0].size > 1
        and job.groups[0].x == job.depth
        and job.groups[0].y == job.columns
        and len(job.weights.column) == 1
        and job.taps <= MOST_TAPS
    )


def fits(job: Contraction, precision: str) -> bool:
    """At every precision; one channel a group."""
    return _fits_window(job) and job.depth == 1


def fits_narrow(job: Contraction, precision: str) -> bool:
    """At every precision; as many channels out as in, of a number that vectors hold."""
    narrow = job.depth in _NARROW and job.columns == job.depth
    return narrow and job.taps * job.depth <= _MOST_TERMS and _fits_window(job)


def cost(job: Contraction, limits: Limits) -> float:
    """Each pixel comes from memory once and is multiplied by each tap."""
    channels = job.group_count * job.columns
    moved = 2 * rows_of(job) * channels * job.x.dtype.itemsize
    moving = moved / limits.bytes_per_second["memory"] / 100
    flops = 2 * rows_of(job) * channels * job.taps * job.depth
    return max(moving, flops / limits.flops["f32"])


def emit(builder: Builder, job: Contraction) -> None:
    """One call, behind one that repeats channels if there are several filters for each."""
    window = job.window
    assert window is not None
    x, y, dtype = job.x, job.y, str(job.x.dtype)
    filters = job.group_count * job.columns
    x = _repeated(builder, x, job.columns // job.depth)
    width = vector_length(builder.isa, dtype, job.depth)
    wide = -(-filters // width) * width
    run, step = _shared_run(window)
    out_w = window.w.outputs
    rows = job.rows // max(out_w, 1)
    block = min(CHANNEL_BLOCK, wide)
    blocks = -(-filters // max(block, 1))
    chunk = max(_TASK_FLOPS // max(2 * job.taps * job.depth * out_w * block, 1), 1)
    expression = epilogue_expression(job.epilogue, dtype)
    builder.call(
        kernel.key(dtype, run, step, job.depth, expression, epilogue_columns(job.epilogue)),
        tasks=-(-rows // chunk) * blocks if job.rows * filters else 0,
        flops=job.flops,
        x=x,
        w=_weights(builder, job, wide),
        y=y,
        rows=rows,
        chunk=chunk,
        channels=filters,
        wide=wide,
        channel_block=block,
        channel_blocks=blocks,
        window=window_words(window),
        # channels are columns here: what goes from group to group goes from column to column
        operands=[Strided(o.tensor, 0, 0, o.row).words() for o in job.epilogue.operands],
    )


def _shared_run(window: Axes) -> tuple[int, int]:
    """The taps along the width that are read together, and their stride."""
    width = window.w
    shared = width.dilation == 1 and 1 < width.taps <= _LONGEST_RUN
    return (width.taps, width.stride) if shared and width.stride <= _LONGEST_STEP else (1, 1)


def _weights(builder: Builder, job: Contraction, wide: int) -> Tensor:
    """The weights as [tap][depth][wide], packed now if they are constant, else by each run."""
    tensor = job.weights.tensor
    filters = job.group_count * job.columns
    view = View.of(job)
    if tensor.array is not None:

        def pack(array: np.ndarray) -> np.ndarray:
            made = aligned_zeros((job.taps, job.depth, wide), array.dtype)
            seen = view.of_array(array)  # [groups, taps, depth, columns]
            made[..., :filters] = seen.transpose(1, 2, 0, 3).reshape(job.taps, job.depth, filters)
            return made

        return builder.packed(tensor, f"depthwise {wide} {view}", pack)
    y = builder.scratch(tensor.dtype, (job.taps * job.depth, wide))
    _, (height, _), (width, _) = view.taps
    dims = (*view.groups, *view.columns, *view.taps, view.depth)
    sizes, source = zip(*dims, strict=True)
    row = job.depth * wide
    target = (job.columns, 1, height * width * row, width * row, row, wide)
    builder.emit(Move(tensor, y, sizes, source, target, view.start))
    return y


def _repeated(builder: Builder, x: Tensor, multiplier: int) -> Tensor:
    """Each channel `multiplier` times: then every filter has a channel of its own."""
    if multiplier == 1:
        return x
    channels = x.shape[-1]
    shape = (*x.shape, multiplier)
    y = builder.scratch(x.dtype, (*x.shape[:-1], channels * multiplier))
    builder.emit(Move(x, y, shape, (*strides_of(x.shape), 0), strides_of(shape)))
    return y


ALGORITHMS = (
    Algorithm("depthwise", fits, cost, emit),
    Algorithm("narrow_groups", fits_narrow, cost, emit),
)
