"""Winograd's convolution F(m × m, 3 × 3): m² outputs from (m + 2)² products instead of 9 m².

Fits float32 windows of 3 × 3 with stride 1 and constant weights over many channels; with several
taps along the depth too, which count as channels. Costs fewer multiplications, but transforms,
tiles that stick out of the image, and more weights to keep and to read, 16/9 to four times as many
(64/9 for 6 × 6): it loses on small maps of many channels.
"""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

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
from layercc.cpu.kernels.winograd import ALL, MOST_TILES, ONLY_INPUTS, ONLY_OUTPUTS
from layercc.cpu.kernels.winograd import winograd as kernel
from layercc.cpu.tiles import choose_vectors, lanes
from layercc.jobs.contraction import Contraction, GroupDim
from layercc.jobs.windows import Axis
from layercc.limits import Limits

#: Bytes of a block's transformed inputs and sums that the second-level cache holds.
_BLOCK_BYTES = 3 << 18
#: Tasks of a call at most, each with scratch of its own.
_MOST_TASKS = 32
#: With as many blocks, threads share blocks; with fewer, they share each block's panels.
_ENOUGH_BLOCKS = 8
#: Units that such a call has at least, if its blocks keep so many tiles; bytes of all transformed
#: inputs, which the last-level cache holds.
_LEAST_UNITS, _LEAST_TILES = 8, 16
_SHARED_BYTES = 8 << 20
#: Bytes of weights that the second-level cache keeps.
_CACHED_WEIGHTS = 1 << 20


#: Of the sizes that the highest precision allows, the layers that a network must have. An error of
#: F(2 × 2) is that of the direct sum. That of F(4 × 4) is two to three times as large: in networks
#: of many layers it makes no difference, in one of three layers it is most of the error
#: (`python -m benchmarks.winograd errors`). That of F(6 × 6) is beyond what is allowed anywhere.
_LEAST_LAYERS = {2: 1, 4: 8}


def _fits(size: int, job: Contraction, precision: str) -> bool:
    window, weights = job.window, job.weights
    return (
        job.x.dtype is DType.f32
        and (precision != "highest" or size in _LEAST_LAYERS)
        and weights.tensor.array is not None
        and len(weights.column) == 1
        and len(job.groups) <= 1
        and window is not None
        and all(map(_slides, (window.h, window.w)))
        and window.d.taps <= _MOST_PLANES
        and job.depth >= 16
        and job.columns >= 16
    )


#: Taps of the window along the depth, of which each reads another plane.
_MOST_PLANES = 8


def _slides(axis: Axis) -> bool:
    return (axis.taps, axis.stride, axis.dilation) == (TAPS, 1, 1)


#: What transforms cost: that of inputs as columns of the products, that of outputs as terms of the
#: sums. Measured with AVX-512.
_INPUT_COLUMNS = {2: 8, 4: 18, 6: 20}
_OUTPUT_TERMS = {2: 6, 4: 14, 6: 14}
#: From so many channels on, blocks of 6 × 6 that the caches hold are too small: 4 × 4 is faster.
_TOO_MANY_FOR_6 = 64
#: Columns of a panel, more or less.
_WIDTH = 64
#: Weights are read in long runs: faster than what a core draws from memory otherwise.
_STREAMED = 2


def _places(size: int) -> int:
    """Of a transformed tile."""
    return (size + TAPS - 1) ** 2


def _growth(size: int, job: Contraction) -> int:
    matrix = DType.f32.itemsize * job.depth * job.columns * job.group_count
    planes = 1 if job.window is None else job.window.d.taps
    return (_places(size) * planes - job.taps) * matrix


def _cost(size: int, job: Contraction, limits: Limits) -> float:
    """Products at the peak and transforms; or weights from memory, if these take longer."""
    assert job.window is not None
    if size == 6 and job.depth >= _TOO_MANY_FOR_6:
        return math.inf
    places = _places(size)
    across, down = (-(-axis.outputs // size) for axis in (job.window.w, job.window.h))
    tiles = across * down * job.window.d.outputs
    terms = job.window.d.taps * job.depth
    products = job.columns * (terms + _OUTPUT_TERMS[size]) + _INPUT_COLUMNS[size] * terms
    arithmetic = 2 * tiles * places * products / limits.flops["f32"]
    nbytes = 4 * places * terms * job.columns
    if job.window.d.outputs > 1 and nbytes > _CACHED_WEIGHTS:  # each block reads all of them
        nbytes *= -(-tiles // _most_tiles(places, terms + _WIDTH))
    memory = nbytes / limits.bytes_per_second["memory"] / _STREAMED
    return max(arithmetic, memory) * job.group_count


class _Split(NamedTuple):
    """How the tiles of all images are split into blocks."""

    across: int  # tiles in a row
    tiles: int  # of an image
    block: int
    row: int  # elements of a transformed tile's row
    shared: bool  # whether inputs are transformed by a call of their own

    @property
    def blocks(self) -> int:
        """Of an image."""
        return -(-self.tiles // max(self.block, 1))


def _split(job: Contraction, size: int, images: int, width: int, length: int) -> _Split:
    """`images`, times groups; panels of `width` and vectors of `length` elements."""
    assert job.window is not None
    places = _places(size)
    across = -(-job.window.w.outputs // size)
    tiles = across * -(-job.window.h.outputs // size)
    vectors = -(-job.window.d.taps * job.depth // length)
    row = (vectors + (vectors % 2 == 0)) * length  # rows do not all meet the same lines of caches
    panels = -(-job.columns // width)
    most = _most_tiles(places, row + width)
    blocks = -(-tiles // most)
    shared = (
        panels > 1
        and images * blocks < _ENOUGH_BLOCKS
        and 4 * images * tiles * places * row <= _SHARED_BYTES
    )
    if shared:
        wanted = -(-_LEAST_UNITS // (panels * max(images, 1)))
        blocks = max(-(-tiles // MOST_TILES), min(wanted, tiles // _LEAST_TILES), 1)
    elif images * blocks < _ENOUGH_BLOCKS:
        blocks = max(blocks, min(_ENOUGH_BLOCKS, tiles // _LEAST_TILES))
    return _Split(across, tiles, -(-tiles // max(blocks, 1)), row, shared)


def _most_tiles(places: int, row: int) -> int:
    """Tiles of a block; `row`: elements of a place of a tile and of its sums."""
    return max(min(_BLOCK_BYTES // (4 * places * row), MOST_TILES), _LEAST_TILES // 2)


def _emit(size: int, builder: Builder, job: Contraction) -> None:
    """One call, or two: of the inputs, and of the rest."""
    window = job.window
    assert window is not None
    if not job.rows * job.columns:
        return
    places = _places(size)
    vectors = choose_vectors(builder.isa, job.columns, "f32")
    length = lanes(builder.isa, "f32")
    width = vectors * length
    panels = -(-job.columns // width)
    images = job.rows // (window.h.outputs * window.w.outputs)  # planes
    split = _split(job, size, images * job.group_count, width, length)
    blocks = job.group_count * images * split.blocks
    whole = blocks >= _ENOUGH_BLOCKS and not split.shared
    grain = panels if whole else 1
    tasks = min(blocks * panels // grain, _MOST_TASKS)
    inputs = (blocks if split.shared else tasks, places * split.block * split.row)
    transformed = builder.scratch(DType.f32, inputs)
    sums = builder.scratch(DType.f32, (tasks, places * split.block * width))
    steps = [(ALL, tasks, panels, job.flops)]
    if split.shared:
        parts = max(min(_LEAST_UNITS // blocks, split.block), 1)
        steps = [
            (ONLY_INPUTS, min(blocks * parts, _MOST_TASKS), parts, 0),
            (ONLY_OUTPUTS, tasks, panels, job.flops),
        ]
    (group,) = job.groups or (GroupDim(1, 0, 0, 0),)
    panel = places * window.d.taps * job.depth * width
    filters = _transformed(builder, job, size, vectors)
    for work, shares, parts, flops in steps:
        builder.call(
            kernel.key(
                vectors, epilogue_expression(job.epilogue, "f32"), epilogue_columns(job.epilogue)
            ),
            tasks=shares,
            flops=flops,
            size=size,
            x=Strided(job.x, 0, group.x, job.x_row).words(),
            w=Strided(filters, 0, panels * panel if group.w else 0, panel).words(),
            filters=_filters(builder, job, group),
            outside=builder.constant(zeros(job.depth, "f32")),
            y=Strided(job.y, 0, group.y, job.y_row).words(),
            transformed=transformed,
            sums=sums,
            work=work,
            row=split.row,
            shares=shares,
            units=blocks * parts,
            grain=grain,
            streamed=int(4 * panels * panel > _CACHED_WEIGHTS),
            panels=parts,
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


def _filters(builder: Builder, job: Contraction, group: GroupDim) -> dict[str, Any]:
    """The weights as they were."""
    weights = job.weights
    return {
        "data": builder.as_it_lies(weights.tensor).moved(weights.start * DType.f32.itemsize),
        "group": group.w,
        "column": weights.column[0][1],
        "depth": weights.row,
        "d": weights.taps[0],
        "h": weights.taps[1],
        "w": weights.taps[2],
    }


def _transformed(builder: Builder, job: Contraction, size: int, vectors: int) -> Tensor:
    """The weights as `[group][panel][place][depth][width]`, zero beyond the columns."""
    width = vectors * lanes(builder.isa, "f32")
    view = View.of(job)

    def pack(array: np.ndarray) -> np.ndarray:
        return transform_filters(view.of_array(array), size, width)

    recipe = f"winograd {size} {width} {view}"
    return builder.packed(job.weights.tensor, recipe, pack)


def transform_filters(filters: np.ndarray, size: int, width: int) -> np.ndarray:
    """`[group, taps, depth, columns]` → `[group, panel, place, terms, width]`, in float64 and
    rounded once; terms are planes of the window, and depth."""
    matrix = np.array(transforms(size).filters, np.float64)
    both = np.kron(matrix, matrix)  # [place, tap]
    groups, taps, depth, columns = filters.shape
    planes, panels = taps // both.shape[1], -(-columns // width)
    made = aligned_zeros((groups, panels, len(both), planes, depth, width), filters.dtype)
    with np.errstate(over="ignore", invalid="ignore"):
        for group, panel, plane in np.ndindex(groups, panels, planes):
            of_plane = filters[group, plane * both.shape[1] : (plane + 1) * both.shape[1]]
            part = of_plane[..., panel * width : (panel + 1) * width]
            wide = both @ part.reshape(both.shape[1], -1).astype(np.float64)
            made[group, panel, :, plane, :, : part.shape[-1]] = wide.reshape(-1, *part.shape[1:])
    return made.reshape(groups, panels, len(both), planes * depth, width)


def _algorithm(size: int) -> Algorithm:
    return Algorithm(
        f"winograd_{size}x{size}",
        functools.partial(_fits, size),
        functools.partial(_cost, size),
        functools.partial(_emit, size),
        functools.partial(_growth, size),
        _LEAST_LAYERS.get(size, 1),
    )


ALGORITHMS = tuple(map(_algorithm, (2, 4, 6)))
