"""Products with weights in panels: how weights are packed, and calls of the contraction kernel.

This file knows the kernel's argument block. The algorithms beside it say what is multiplied.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ir.dtypes import DType
from layercc.buffers import Tensor, aligned_zeros
from layercc.cpu.emit.builder import Builder
from layercc.cpu.emit.records import (
    Strided,
    epilogue_columns,
    epilogue_expression,
    epilogue_words,
    window_words,
)
from layercc.cpu.isa import Isa
from layercc.cpu.kernels.contraction import BLOCK_TILES, contraction
from layercc.cpu.kernels.packing import pack_panels
from layercc.cpu.tiles import WORDS, choose_vectors, lanes, tile_rows
from layercc.jobs.contraction import Contraction, Epilogue, GroupDim, Operand
from layercc.jobs.matrices import View, merged, packed_groups
from layercc.jobs.movement import Move, strides_of
from layercc.jobs.windows import Axes, Axis
from layercc.kernels.element_types import MULTIPLIED, UNSIGNED

#: Panels of weights beyond this size are each used for all rows before the next is read.
_CACHED_WEIGHTS = 1 << 19
#: Tasks a call is split into at least, if it has so many tiles. Depends on shapes only, so that
#: results do not depend on the number of threads.
_LEAST_TASKS = 16
#: Bytes of a word of elements of 8 bits.
BYTES = 4
#: Products and sums that wrap around are the same bits for either sign: one kernel serves both.
_SIGNED = {name: f"i{name[1:]}" for name in MULTIPLIED if name in UNSIGNED.values()}


@dataclass(frozen=True)
class Packed:
    """Weights in panels: `[group][panel][tap][depth][width]`, and strides between the groups."""

    tensor: Tensor
    vectors: int
    outer: int = 0
    inner: int = 0
    words: str = ""  # what the elements of both operands hold (`layercc.cpu.tiles`); "": themselves


@dataclass(frozen=True)
class Product:
    """Y[g, m, n] = epilogue(Σ_t Σ_k X[g, row(m, t), k] · W[g, t, k, n]), over two dims of groups.

    `outside`: `depth` elements that a window reads outside of x; zeros if there are none.
    """

    x: Strided
    weights: Packed
    y: Strided
    rows: int
    columns: int
    depth: int
    outer: int = 1
    inner: int = 1
    window: Axes | None = None
    epilogue: Epilogue = field(default_factory=Epilogue)
    outside: Tensor | None = None


def multiply(builder: Builder, job: Product) -> None:
    """Appends the kernel call of a product."""
    dtype = str(job.x.tensor.dtype)
    vectors = job.weights.vectors
    element = job.weights.words or dtype
    if not job.epilogue.steps:
        element = _SIGNED.get(element, element)
    stored = WORDS.get(element, element)
    width = vectors * lanes(builder.isa, element)
    rows = tile_rows(builder.isa, vectors)
    window = job.window or Axes(w=Axis(inputs=job.rows, outputs=job.rows))
    panels = -(-job.columns // width)
    groups = job.outer * job.inner
    block = _block(job.rows, rows, panels * groups)
    blocks = -(-job.rows // block)
    panel = window.taps * job.depth * width  # elements
    stream = panels * panel * 4 > _CACHED_WEIGHTS
    expression = epilogue_expression(job.epilogue, stored)
    builder.call(
        contraction.key(element, vectors, expression, epilogue_columns(job.epilogue)),
        tasks=groups * panels * blocks if job.rows and job.columns else 0,
        flops=2 * groups * job.rows * job.columns * job.depth * window.taps,
        x=job.x.words(),
        w=Strided(job.weights.tensor, job.weights.outer, job.weights.inner, panel).words(),
        outside=job.outside or builder.constant(zeros(job.depth, dtype)),
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
        window=window_words(window),
        operands=epilogue_words(job.epilogue),
    )


def multiply_groups(builder: Builder, job: Product, groups: Sequence[GroupDim]) -> None:
    """`multiply` over any number of group dims: a call for each position of all but the last two.

    The strides of the groups are elements of the product's own operands, as packed.
    """
    *leading, outer, inner = [GroupDim(1, 0, 0, 0)] * (2 - len(groups)) + [*groups]
    job = replace(
        job,
        x=replace(job.x, outer=outer.x, inner=inner.x),
        weights=replace(job.weights, outer=outer.w, inner=inner.w),
        y=replace(job.y, outer=outer.y, inner=inner.y),
        outer=outer.size,
        inner=inner.size,
    )
    for index in itertools.product(*(range(group.size) for group in leading)):
        operands = tuple(_moved(o, _dot(index, o.groups[:-2])) for o in job.epilogue.operands)
        weights = job.weights.tensor
        w_bytes = _dot(index, [group.w for group in leading]) * weights.dtype.itemsize
        part = replace(
            job,
            x=job.x.moved(_dot(index, [group.x for group in leading])),
            weights=replace(job.weights, tensor=weights.moved(w_bytes)),
            y=job.y.moved(_dot(index, [group.y for group in leading])),
            epilogue=replace(job.epilogue, operands=operands),
        )
        multiply(builder, part)


def _dot(index: Sequence[int], strides: Sequence[int]) -> int:
    return sum(i * stride for i, stride in zip(index, strides, strict=False))


def _moved(operand: Operand, elements: int) -> Operand:
    tensor = operand.tensor
    return replace(operand, tensor=tensor.moved(elements * tensor.dtype.itemsize))


# --- packing


def packed(
    builder: Builder, job: Contraction, element: str, taps_joined: int = 1
) -> tuple[Packed, tuple[GroupDim, ...]]:
    """The weights of a job in panels, packed now if they are constant, else by each run; and the
    job's groups with their strides in the panels.

    `taps_joined`: so many taps along the width count as depth.
    """
    columns, depth = job.columns, job.depth * taps_joined
    taps = job.taps // taps_joined
    vectors = choose_vectors(builder.isa, columns, element)
    width = vectors * lanes(builder.isa, element)
    view = View.of(job)
    groups = packed_groups(job, -(-columns // width) * taps * depth * width)
    if job.weights.tensor.array is None:
        return _packed_by_each_run(builder, job.weights.tensor, view, vectors), groups

    def pack(array: np.ndarray) -> np.ndarray:
        seen = view.of_array(array).astype(DType[element].value, copy=False)
        return pack_weights(builder.isa, seen.reshape(view.count, taps, depth, columns), vectors)

    recipe = f"panels {element} {vectors} {view} in {taps} taps"
    return Packed(builder.packed(job.weights.tensor, recipe, pack), vectors), groups


def _packed_by_each_run(builder: Builder, tensor: Tensor, view: View, vectors: int) -> Packed:
    """Calls that pack. Weights are first brought in order where rows have no one stride."""
    groups = merged(view.groups)
    rows, columns = merged((*view.taps, view.depth)), merged(view.columns)
    if len(groups) > 2 or len(rows) > 1 or len(columns) > 1:
        dims = (*view.groups, *view.taps, view.depth, *view.columns)
        sizes, strides = (tuple(part) for part in zip(*dims, strict=True))
        ordered = builder.scratch(tensor.dtype, sizes)
        builder.emit(Move(tensor, ordered, sizes, strides, strides_of(sizes), view.start))
        height, width = (math.prod(n for n, _ in part) for part in (rows, columns))
        tensor, groups = ordered, [(view.count, height * width)]
        rows, columns = [(height, width)], [(width, 1)]
    else:
        tensor = tensor.moved(view.start * tensor.dtype.itemsize)
    (outer, outer_step), (inner, inner_step) = ([(1, 0)] * 2 + groups)[-2:]
    (height, row), (width, column) = (*rows, (1, 0))[0], (*columns, (1, 0))[0]
    strides = (outer_step, inner_step, row, column)
    return pack_at_run_time(builder, tensor, (outer, inner), strides, height, width, vectors)


def pack_weights(isa: Isa, array: np.ndarray, vectors: int) -> np.ndarray:
    """`[group, taps, depth, columns]` → `[group, panel, taps, depth, width]`, zero beyond."""
    groups, taps, depth, columns = array.shape
    width = vectors * (isa.vector_bytes // array.itemsize)
    panels = -(-columns // width)
    made = aligned_zeros((groups, panels, taps, depth, width), array.dtype)
    for panel in range(panels):
        part = array[..., panel * width : (panel + 1) * width]
        made[:, panel, ..., : part.shape[-1]] = part
    return made


def pack_bytes(isa: Isa, array: np.ndarray, vectors: int) -> np.ndarray:
    """`[group, taps, depth, columns]` of i8 as `pack_weights`, in words of u32 along the depth."""
    groups, taps, depth, columns = array.shape
    even = np.pad(array, ((0, 0), (0, 0), (0, -depth % BYTES), (0, 0)))
    words = even.reshape(groups, taps, even.shape[2] // BYTES, BYTES, columns).swapaxes(3, 4)
    return pack_weights(isa, np.ascontiguousarray(words).view(np.uint32)[..., 0], vectors)


def pack_at_run_time(
    builder: Builder,
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
    vectors = vectors or choose_vectors(builder.isa, columns, dtype)
    width = vectors * lanes(builder.isa, dtype)
    panels = -(-columns // width)
    size = panels * depth * width
    outer, inner = groups
    made = builder.scratch(b.dtype, (outer * inner, size))
    builder.call(
        pack_panels.key(dtype),
        tasks=outer * inner * panels,
        b=b,
        packed=made,
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
    return Packed(made, vectors, inner * size, size)


# --- sizes


def _block(pixels: int, rows: int, others: int) -> int:
    """Rows of a task: whole tiles, as even as possible, enough tasks for several threads."""
    most = BLOCK_TILES * rows
    tiles = -(-pixels // rows)
    blocks = max(-(-pixels // most), min(tiles, -(-_LEAST_TASKS // max(others, 1))), 1)
    return max(-(-tiles // blocks), 1) * rows


def zeros(depth: int, dtype: str) -> np.ndarray:
    """At least `depth` zeros, which kernels read where the window is outside the input; a few
    arrays serve all programs."""
    return _zeros(1 << max(depth - 1, 1023).bit_length(), dtype)


@functools.cache
def _zeros(size: int, dtype: str) -> np.ndarray:
    return np.zeros(size, DType[dtype])
