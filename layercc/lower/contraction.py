"""Convolution and matrix product as calls of the contraction kernel.

This file knows the kernel's argument block. What an op means in these terms is said in
`convolution.py` and `matmul.py`.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field

import numpy as np

from ir.dtypes import DType
from layercc.buffers import aligned_zeros
from layercc.cpu.isa import Isa
from layercc.cpu.kernels.contraction import BLOCK_TILES, contraction
from layercc.cpu.kernels.packing import pack_panels
from layercc.cpu.tiles import WORDS, choose_vectors, lanes, tile_rows
from layercc.lower.context import Context, Tensor
from layercc.lower.epilogue import Epilogue
from layercc.lower.strided import Strided
from layercc.lower.windows import Axes, Axis

#: Panels of weights beyond this size are each used for all rows before the next is read.
_CACHED_WEIGHTS = 1 << 19
#: Tasks a call is split into at least, if it has so many tiles. Depends on shapes only, so that
#: results do not depend on the number of threads.
_LEAST_TASKS = 16
#: Bytes of a word of elements of 8 bits.
BYTES = 4
#: Products and sums that wrap around are the same bits for either sign: one kernel serves both.
_SIGNED = {"u32": "i32", "u64": "i64"}


@dataclass(frozen=True)
class Packed:
    """Weights in panels: `[group][panel][tap][depth][width]`, and strides between the groups."""

    tensor: Tensor
    vectors: int
    outer: int = 0
    inner: int = 0
    words: str = ""  # what the elements of both operands hold (`layercc.cpu.tiles`); "": themselves


@dataclass(frozen=True)
class Contraction:
    """Y[g, m, n] = epilogue(Σ_t Σ_k X[g, row(m, t), k] · W[g, t, k, n])."""

    x: Strided
    weights: Packed
    y: Strided
    rows: int
    columns: int
    depth: int
    outer: int = 1
    inner: int = 1
    window: Axes | None = None  # None: the rows of a matrix
    epilogue: Epilogue = field(default_factory=Epilogue)
    outside: Tensor | None = None  # `depth` elements that a window reads outside of x; None: zeros


def emit(context: Context, job: Contraction) -> None:
    """Appends the kernel call of a contraction."""
    dtype = str(job.x.tensor.dtype)
    vectors = job.weights.vectors
    element = job.weights.words or dtype
    if not job.epilogue.steps:
        element = _SIGNED.get(element, element)
    stored = WORDS.get(element, element)
    width = vectors * lanes(context.isa, element)
    rows = tile_rows(context.isa, vectors)
    window = job.window or Axes(w=Axis(inputs=job.rows, outputs=job.rows))
    panels = -(-job.columns // width)
    groups = job.outer * job.inner
    block = _block(job.rows, rows, panels * groups)
    blocks = -(-job.rows // block)
    panel = window.taps * job.depth * width  # elements
    stream = panels * panel * 4 > _CACHED_WEIGHTS
    context.call(
        contraction.key(element, vectors, job.epilogue.expression(stored), job.epilogue.columns),
        tasks=groups * panels * blocks if job.rows and job.columns else 0,
        flops=2 * groups * job.rows * job.columns * job.depth * window.taps,
        x=job.x.words(),
        w=Strided(job.weights.tensor, job.weights.outer, job.weights.inner, panel).words(),
        outside=job.outside or context.constant(_zeros(_rounded(job.depth), dtype)),
        y=job.y.words(),
        panels=panels,
        panel_step=blocks if stream else 1,
        blocks=blocks,
        block_step=1 if stream else panels,
        group_step=panels * blocks,
        inner_groups=job.inner,
        pixels=job.rows,
        block=block,
        channels=job.columns,
        depth=job.depth,
        window=window.words(),
        operands=job.epilogue.words(),
    )


def pack_weights(isa: Isa, array: np.ndarray, vectors: int) -> np.ndarray:
    """`[group, taps, depth, columns]` → `[group, panel, taps, depth, width]`, zero beyond."""
    groups, taps, depth, columns = array.shape
    width = vectors * lanes(isa, {4: "f32", 8: "f64"}[array.itemsize])
    panels = -(-columns // width)
    packed = aligned_zeros((groups, panels, taps, depth, width), array.dtype)
    for panel in range(panels):
        part = array[..., panel * width : (panel + 1) * width]
        packed[:, panel, ..., : part.shape[-1]] = part
    return packed


def pack_bytes(isa: Isa, array: np.ndarray, vectors: int) -> np.ndarray:
    """`[group, taps, depth, columns]` of i8 as `pack_weights`, in words of u32 along the depth."""
    groups, taps, depth, columns = array.shape
    even = np.pad(array, ((0, 0), (0, 0), (0, -depth % BYTES), (0, 0)))
    words = even.reshape(groups, taps, even.shape[2] // BYTES, BYTES, columns).swapaxes(3, 4)
    return pack_weights(isa, np.ascontiguousarray(words).view(np.uint32)[..., 0], vectors)


def pack_at_run_time(
    context: Context,
    b: Tensor,
    groups: tuple[int, int],
    strides: tuple[int, int, int, int],
    depth: int,
    columns: int,
    vectors: int = 0,
) -> Packed:
    """Packs groups of matrices depth × columns; `strides`: outer, inner, row, column.

    `vectors` is the width of the panels; 0 stands for the best one.
    """
    dtype = _SIGNED.get(str(b.dtype), str(b.dtype))
    vectors = vectors or choose_vectors(context.isa, columns, dtype)
    width = vectors * lanes(context.isa, dtype)
    panels = -(-columns // width)
    size = panels * depth * width
    outer, inner = groups
    packed = context.scratch(b.dtype, (outer * inner, size))
    context.call(
        pack_panels.key(dtype),
        tasks=outer * inner * panels,
        b=b,
        packed=packed,
        inner_groups=inner,
        b_outer=strides[0],
        b_inner=strides[1],
        panels=panels,
        width=width,
        depth=depth,
        columns=columns,
        row=strides[2],
        column=strides[3],
    )
    return Packed(packed, vectors, inner * size, size)


def _block(pixels: int, rows: int, others: int) -> int:
    """Rows of a task: whole tiles, as even as possible, enough tasks for several threads."""
    most = BLOCK_TILES * rows
    tiles = -(-pixels // rows)
    blocks = max(-(-pixels // most), min(tiles, -(-_LEAST_TASKS // max(others, 1))), 1)
    return max(-(-tiles // blocks), 1) * rows


@functools.cache
def _zeros(size: int, dtype: str) -> np.ndarray:
    """What the kernel reads where the window is outside the input; shared by all programs."""
    return np.zeros(size, DType[dtype])


def _rounded(depth: int) -> int:
    """A few sizes of zeros serve all calls."""
    return 1 << max(depth - 1, 1023).bit_length()
