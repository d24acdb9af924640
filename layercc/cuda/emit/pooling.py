"""Emission of pools: an element of the output a thread."""

from __future__ import annotations

from layercc.cuda.emit.builder import Builder, countable
from layercc.cuda.emit.registry import emitter
from layercc.cuda.kernels import pooling as kernels
from layercc.jobs.pooling import Pool


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
