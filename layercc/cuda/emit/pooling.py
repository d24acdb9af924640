"""Emission of pools: an element of the output a thread; and of what puts elements back."""

from __future__ import annotations

import numpy as np

from ir.dtypes import DType
from layercc.cuda.emit.builder import Builder, countable
from layercc.cuda.emit.indexing import tell
from layercc.cuda.emit.movement import moved_as
from layercc.cuda.emit.registry import emitter
from layercc.cuda.kernels import pooling as kernels
from layercc.jobs.movement import Fill
from layercc.jobs.pooling import Pool, PoolIndices, Unpool


@emitter(Pool)
def pool(builder: Builder, job: Pool) -> None:
    """One launch."""
    n = countable("a pool", job.y.size)
    countable("a pool's input", job.x.size)
    builder.call(
        kernels.pool.key(job.kind, str(job.x.dtype), job.power),
        -(-n // kernels.THREADS),
        flops=job.window.taps * n,
        x=job.x,
        y=job.y,
        n=n,
        channels=job.x.shape[-1],
        include_pad=int(job.include_pad),
        ends=dict(zip("dhw", job.ends, strict=True)),
        window={name: vars(axis) for name, axis in vars(job.window).items()},
    )


@emitter(PoolIndices)
def pool_indices(builder: Builder, job: PoolIndices) -> None:
    """One launch."""
    n = countable("a pool", job.y.size)
    countable("a pool's input", job.x.size)
    builder.call(
        kernels.max_pool_indices.key(str(job.x.dtype)),
        -(-n // kernels.THREADS),
        flops=4 * job.window.taps * n,
        x=job.x,
        y=job.y,
        n=n,
        channels=job.x.shape[-1],
        places=dict(zip("dhw", job.places, strict=True)),
        window={name: vars(axis) for name, axis in vars(job.window).items()},
    )


@emitter(Unpool)
def unpool(builder: Builder, job: Unpool) -> None:
    """A launch that finds which of several values for a place is the last, and one that writes."""
    n, size = countable("what is put back", job.x.size), job.y.size
    dtype = moved_as(job.x.dtype)
    if not n:
        return
    fault = builder.check(job.check)
    blocks = -(-n // kernels.THREADS)
    last = builder.scratch(DType.i64, (max(size, 1),))
    builder.emit(Fill(last, builder.constant(np.ones(1, np.int64))))
    builder.call(
        kernels.unpool_places.key(), blocks,
        indices=job.indices, last=last, n=n, size=size, fault=fault,
    )  # fmt: skip
    builder.call(
        kernels.max_unpool.key(dtype), blocks,
        x=job.x, indices=job.indices, last=last, y=job.y, n=n, size=size,
    )  # fmt: skip
    tell(builder, job.indices, 0, size - 1, fault)
