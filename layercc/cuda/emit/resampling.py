"""Emission of resampling: an element of the output a thread, or a point of some channels."""

from __future__ import annotations

import math

from layercc.cuda.emit.builder import Builder, countable
from layercc.cuda.emit.registry import emitter
from layercc.cuda.kernels import resampling as kernels
from layercc.jobs.resampling import Resample, SampleGrid
from layercc.jobs.windows import three


@emitter(Resample)
def resample(builder: Builder, job: Resample) -> None:
    """One launch."""
    x, y, axis, weights = job.x, job.y, job.axis, job.weights
    count, taps = weights.shape
    n = countable("what is resampled", y.size)
    countable("what is resampled", x.size)
    builder.call(
        kernels.resample.key(str(x.dtype), str(y.dtype), str(weights.dtype)),
        -(-n // kernels.THREADS),
        flops=2 * taps * n,
        x=x,
        positions=job.positions,
        weights=weights,
        y=y,
        outside=job.outside,
        n=n,
        size=x.shape[axis],
        count=count,
        inner=math.prod(x.shape[axis + 1 :]),
        taps=taps,
    )


@emitter(SampleGrid)
def sample_grid(builder: Builder, job: SampleGrid) -> None:
    """One launch. Raises UnsupportedError for more than three spatial dims."""
    x, y = job.x, job.y
    batch, channels, *spatial = x.shape
    in_d, in_h, in_w = three(spatial, 1)
    points = math.prod(y.shape[2:])
    countable("what is sampled", max(x.size, y.size, job.grid.size))
    channel_blocks = -(-channels // kernels.CHANNELS)
    n = batch * channel_blocks * points
    taps = {"nearest": 1, "linear": 2, "cubic": 4}[job.mode] ** len(spatial)
    builder.call(
        kernels.grid_sample.key(
            str(x.dtype), str(job.grid.dtype), job.mode, job.padding, job.align_corners,
            len(spatial),
        ),
        -(-n // kernels.THREADS),
        flops=4 * taps * y.size,
        x=x,
        grid=job.grid,
        y=y,
        n=n,
        channels=channels,
        channel_blocks=channel_blocks,
        points=points,
        in_d=in_d,
        in_h=in_h,
        in_w=in_w,
    )  # fmt: skip
