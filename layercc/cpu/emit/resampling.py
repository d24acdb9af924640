"""Emission of resampling: output elements, or rows of them, in chunks."""

from __future__ import annotations

import math

from layercc.cpu.emit.builder import Builder
from layercc.cpu.emit.movement import CHUNK
from layercc.cpu.emit.registry import emitter
from layercc.cpu.kernels.resampling import resample as resample_kernel
from layercc.cpu.kernels.sampling import grid_sample
from layercc.jobs.resampling import Resample, SampleGrid
from layercc.jobs.windows import three

#: Numbers of taps that have a kernel; others share one.
_SPECIAL_TAPS = (2, 4)
#: Elements that a task of a grid reads, about.
_GRID_TASK = 1 << 13


@emitter(Resample)
def resample(builder: Builder, job: Resample) -> None:
    """A task's rows are all that lies behind the axis."""
    x, y, axis, weights = job.x, job.y, job.axis, job.weights
    count, taps = weights.shape
    outer, inner = math.prod(x.shape[:axis]), math.prod(x.shape[axis + 1 :])
    chunk = max(CHUNK // max(inner * taps, 1), 1)
    special = taps if taps in _SPECIAL_TAPS else 0
    builder.call(
        resample_kernel.key(str(x.dtype), str(y.dtype), str(weights.dtype), special),
        tasks=-(-outer * count // chunk) if y.size else 0,
        flops=2 * taps * y.size,
        x=x,
        positions=job.positions,
        weights=weights,
        y=y,
        outside=job.outside,
        outer=outer,
        size=x.shape[axis],
        count=count,
        inner=inner,
        count_taps=taps,
        chunk=chunk,
    )


@emitter(SampleGrid)
def sample_grid(builder: Builder, job: SampleGrid) -> None:
    """The positions and weights of a point are found once and used for all channels.

    Raises UnsupportedError for more than three spatial dims.
    """
    x, y = job.x, job.y
    batch, channels, *spatial = x.shape
    in_d, in_h, in_w = three(spatial, 1)
    points = math.prod(y.shape[2:])
    taps = {"nearest": 1, "linear": 2, "cubic": 4}[job.mode] ** len(spatial)
    chunk = max(_GRID_TASK // (taps * channels), 1)
    dtypes = str(x.dtype), str(job.grid.dtype)
    builder.call(
        grid_sample.key(*dtypes, job.mode, job.padding, job.align_corners),
        tasks=-(-batch * points // chunk) if y.size else 0,
        flops=4 * taps * y.size,
        x=x,
        grid=job.grid,
        y=y,
        batch=batch,
        channels=channels,
        points=points,
        rank=len(spatial),
        in_d=in_d,
        in_h=in_h,
        in_w=in_w,
        chunk=chunk,
    )
