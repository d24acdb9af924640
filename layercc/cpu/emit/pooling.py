"""Emission of pools: rows of the output in chunks, and blocks of channels."""

from __future__ import annotations

import math

from ir.diagnostics import UnsupportedError
from layercc.cpu.emit.builder import Builder
from layercc.cpu.emit.movement import moved_as
from layercc.cpu.emit.records import spatial_words, window_words
from layercc.cpu.emit.registry import emitter
from layercc.cpu.kernels import pooling as kernels
from layercc.jobs.pooling import Pool, PoolIndices, Unpool
from layercc.jobs.windows import Axes

#: Elements that a task reads, about.
_TASK = 1 << 16
#: Groups of taps that have a kernel: 2×2 windows and 3×3 windows; larger ones take several.
_SMALL_GROUP, _LARGE_GROUP = 4, 9


@emitter(Pool)
def pool(builder: Builder, job: Pool) -> None:
    """Tasks are rows of the output by blocks of channels."""
    x, y, taps = job.x, job.y, _taps(job.window)
    group = _SMALL_GROUP if taps <= _SMALL_GROUP else _LARGE_GROUP
    channels = x.shape[-1]
    block = min(kernels.CHANNEL_BLOCK, channels)
    blocks = -(-channels // max(block, 1))
    rows, chunk = _rows(job, taps * block)
    builder.call(
        kernels.pool.key(job.kind, str(x.dtype), group, job.power),
        tasks=-(-rows // chunk) * blocks if y.size else 0,
        flops=taps * y.size,
        x=x,
        y=y,
        rows=rows,
        chunk=chunk,
        channels=channels,
        channel_block=block,
        channel_blocks=blocks,
        include_pad=int(job.include_pad),
        ends=spatial_words(job.ends, 0),
        window=window_words(job.window),
    )


@emitter(PoolIndices)
def pool_indices(builder: Builder, job: PoolIndices) -> None:
    """Tasks are rows of the output."""
    x, y, taps = job.x, job.y, _taps(job.window)
    channels = x.shape[-1]
    rows, chunk = _rows(job, taps * channels)
    builder.call(
        kernels.max_pool_indices.key(str(x.dtype)),
        tasks=-(-rows // chunk) if y.size else 0,
        flops=4 * taps * y.size,
        x=x,
        y=y,
        rows=rows,
        chunk=chunk,
        channels=channels,
        places=spatial_words(job.places, 0),
        window=window_words(job.window),
    )


def _taps(window: Axes) -> int:
    """The window's taps, of which kernels have room for so many."""
    if window.taps > kernels.MOST_TAPS:
        raise UnsupportedError(f"a window of {window.taps} taps; {kernels.MOST_TAPS} at most fit")
    return window.taps


def _rows(job: Pool | PoolIndices, reads: int) -> tuple[int, int]:
    """Rows of the output and how many a task computes, where a pixel `reads` so many elements."""
    *images, width, _ = job.y.shape
    return math.prod(images), max(_TASK // max(reads * width, 1), 1)


@emitter(Unpool)
def unpool(builder: Builder, job: Unpool) -> None:
    """One task: of several values for a place the last one stays."""
    x = job.x
    builder.call(
        kernels.max_unpool.key(moved_as(x.dtype)),
        tasks=int(x.size > 0),
        x=x,
        indices=job.indices,
        y=job.y,
        n=x.size,
        size=job.y.size,
        fault=builder.check(job.check),
    )
