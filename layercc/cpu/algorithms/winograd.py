"""Winograd's convolution F(m × m, 3 × 3): m² outputs from (m + 2)² products instead of 9 m².

Fits float32 windows of 3 × 3 with stride 1 and constant weights over many channels. Costs fewer
multiplications, but transforms, tiles that stick out of the image, and more weights to read: it
loses on small maps of many channels.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np

from ir.dtypes import DType
from layercc.buffers import Tensor, aligned_zeros
from layercc.cpu.algorithms.algorithm import Algorithm
from layercc.cpu.algorithms.panels import View, zeros
from layercc.cpu.cook_toom import TAPS, transforms
from layercc.cpu.emit.builder import Builder
from layercc.cpu.emit.records import (
    Strided,
    epilogue_columns,
    epilogue_expression,
    epilogue_words,
    window_words,
)
from layercc.cpu.kernels.winograd import MOST_TILES
from layercc.cpu.kernels.winograd import winograd as kernel
from layercc.cpu.limits import Limits
from layercc.cpu.tiles import choose_vectors, lanes
from layercc.jobs.contraction import Contraction, GroupDim
from layercc.jobs.windows import Axis

#: Bytes of a block's transformed tiles and sums: half of an ordinary second-level cache.
_BLOCK_BYTES = 1 << 20
#: Tasks of a call at most, each with scratch of its own.
_MOST_TASKS = 32
#: Units that a call is split into at least, if its blocks keep this many tiles.
_LEAST_UNITS, _LEAST_TILES = 8, 12


def _fits(precisions: str, job: Contraction, precision: str) -> bool:
    window, weights = job.window, job.weights
    return (
        job.x.dtype is DType.f32
        and precision in precisions.split()
        and weights.tensor.array is not None
        and len(weights.column) == 1
        and len(job.groups) <= 1
        and window is not None
        and all(map(_slides, (window.h, window.w)))
        and (window.d.taps, window.d.inputs, window.d.outputs, window.d.pad) == (1, 1, 1, 0)
        and job.depth >= 16
        and job.columns >= 16
    )


def _slides(axis: Axis) -> bool:
    return (axis.taps, axis.stride, axis.dilation) == (TAPS, 1, 1)


#: What transforms cost: that of inputs as columns of the products, that of outputs as terms of the
#: sums. Measured with AVX-512.
_INPUT_COLUMNS = {2: 8, 4: 18, 6: 26}
_OUTPUT_TERMS = {2: 6, 4: 14, 6: 20}
#: Weights are read in long runs: faster than what a core draws from memory otherwise.
_STREAMED = 1.5


def _cost(size: int, job: Contraction, limits: Limits) -> float:
    """Products at the peak, transforms, and weights, which come from memory."""
    assert job.window is not None
    places = (size + TAPS - 1) ** 2
    tiles = math.prod(-(-axis.outputs // size) for axis in (job.window.h, job.window.w))
    products = job.columns * (job.depth + _OUTPUT_TERMS[size])
    products += _INPUT_COLUMNS[size] * job.depth * max(job.columns // 128, 1)
    flops = 2 * tiles * places * products
    nbytes = 4 * places * job.depth * job.columns
    seconds = flops / limits.flops["f32"]
    seconds += nbytes / limits.bytes_per_second["memory"] / _STREAMED
    return seconds * job.group_count


@dataclass(frozen=True)
class _Split:
    """How the tiles of an image are split into blocks, and all units into tasks."""

    across: int  # tiles in a row
    tiles: int  # of an image
    block: int
    blocks: int
    row: int  # elements of a transformed tile's row


def _split(job: Contraction, size: int, width: int, length: int) -> _Split:
    assert job.window is not None
    places = (size + TAPS - 1) ** 2
    across = -(-job.window.w.outputs // size)
    tiles = across * -(-job.window.h.outputs // size)
    row = -(-job.depth // length) * length
    row += length * (row // length % 2 == 0)  # rows do not all meet the same lines of the caches
    most = max(min(_BLOCK_BYTES // (4 * places * (row + width)), MOST_TILES), 4)
    panels = -(-job.columns // width)
    wanted = -(-_LEAST_UNITS // panels)
    blocks = max(-(-tiles // most), min(wanted, tiles // _LEAST_TILES), 1)
    blocks += blocks > 1 and blocks * panels % 2
    block = -(-tiles // blocks)
    return _Split(across, tiles, block, -(-tiles // max(block, 1)), row)


def _emit(size: int, builder: Builder, job: Contraction) -> None:
    """One call."""
    window = job.window
    assert window is not None
    places = (size + TAPS - 1) ** 2
    vectors = choose_vectors(builder.isa, job.columns, "f32")
    length = lanes(builder.isa, "f32")
    width = vectors * length
    panels = -(-job.columns // width)
    split = _split(job, size, width, length)
    images = job.rows // max(window.outputs, 1)
    units = job.group_count * images * split.blocks * panels if job.rows * job.columns else 0
    tasks = min(units, _MOST_TASKS)
    slot = places * split.block * (split.row + width)
    (group,) = job.groups or (GroupDim(1, 0, 0, 0),)
    panel = places * job.depth * width
    per_group = panels * panel if group.w else 0
    weights = job.weights
    builder.call(
        kernel.key(
            vectors, epilogue_expression(job.epilogue, "f32"), epilogue_columns(job.epilogue)
        ),
        tasks=tasks,
        flops=job.flops,
        size=size,
        x=Strided(job.x, 0, group.x, job.x_row).words(),
        w=Strided(_transformed(builder, job, size, vectors), 0, per_group, panel).words(),
        filters={
            "data": builder.as_it_lies(weights.tensor).moved(weights.start * DType.f32.itemsize),
            "group": group.w,
            "column": weights.column[0][1],
            "depth": weights.row,
            "h": weights.taps[1],
            "w": weights.taps[2],
        },
        outside=builder.constant(zeros(job.depth, "f32")),
        y=Strided(job.y, 0, group.y, job.y_row).words(),
        scratch=builder.scratch(DType.f32, (tasks, slot)),
        slot=slot,
        row=split.row,
        shares=tasks,
        units=units,
        panels=panels,
        blocks=split.blocks,
        images=images,
        tiles=split.tiles,
        across=split.across,
        block=split.block,
        channels=job.columns,
        depth=job.depth,
        window=window_words(window),
        operands=epilogue_words(job.epilogue),
    )


def _transformed(builder: Builder, job: Contraction, size: int, vectors: int) -> Tensor:
    """The weights as `[group][panel][place][depth][width]`, zero beyond the columns."""
    width = vectors * lanes(builder.isa, "f32")
    view = View.of(job)

    def pack(array: np.ndarray) -> np.ndarray:
        return transform_filters(view.of_array(array), size, width)

    recipe = f"winograd {size} {width} {view}"
    return builder.packed(job.weights.tensor, recipe, pack)


def transform_filters(filters: np.ndarray, size: int, width: int) -> np.ndarray:
    """`[group, taps, depth, columns]` → `[group, panel, place, depth, width]`, in float64 and
    rounded once."""
    matrix = np.array(transforms(size).filters, np.float64)
    both = np.kron(matrix, matrix)  # [place, tap]
    groups, taps, depth, columns = filters.shape
    panels = -(-columns // width)
    made = aligned_zeros((groups, panels, len(both), depth, width), filters.dtype)
    with np.errstate(over="ignore", invalid="ignore"):
        for group in range(groups):
            for panel in range(panels):
                part = filters[group, :, :, panel * width : (panel + 1) * width]
                wide = both @ part.reshape(taps, -1).astype(np.float64)
                made[group, panel, ..., : part.shape[-1]] = wide.reshape(-1, *part.shape[1:])
    return made


def _algorithm(size: int, precisions: str) -> Algorithm:
    return Algorithm(
        f"winograd_{size}x{size}",
        functools.partial(_fits, precisions),
        functools.partial(_cost, size),
        functools.partial(_emit, size),
    )


ALGORITHMS = (
    _algorithm(2, "highest high medium"),
    _algorithm(4, "highest high medium"),
    _algorithm(6, "high medium"),
)
