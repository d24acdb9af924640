"""Emission of softmax, of normalizations of rows, and of those across neighbouring channels."""

from __future__ import annotations

import math
from typing import Any

from layercc.cpu.emit.builder import Builder
from layercc.cpu.emit.registry import emitter
from layercc.cpu.kernels.normalize import normalize_rows as rows_kernel
from layercc.cpu.kernels.response import BLOCK
from layercc.cpu.kernels.response import local_response as response_kernel
from layercc.cpu.kernels.softmax import COLUMNS, softmax_columns, softmax_rows
from layercc.jobs.normalization import LocalResponse, NormalizeRows, Softmax
from layercc.jobs.reductions import along_axis

#: Elements of a task.
_SOFTMAX_TASK = 1 << 13
_TASK = 1 << 14
_SOFTMAX_FLOPS, _ROW_FLOPS = 15, 7  # an element


@emitter(Softmax)
def softmax(builder: Builder, job: Softmax) -> None:
    """Rows, or columns side by side."""
    x = job.x
    outer, n, inner = along_axis(x.shape, job.axis)
    params = (str(x.dtype), job.logarithm)
    flops = _SOFTMAX_FLOPS * x.size
    if inner == 1:
        outer_block = max(1, _SOFTMAX_TASK // n)
        builder.call(
            softmax_rows.key(*params),
            tasks=-(-outer // outer_block),
            flops=flops,
            x=x, y=job.y, outer=outer, outer_block=outer_block, n=n,
        )  # fmt: skip
        return
    builder.call(
        softmax_columns.key(*params),
        tasks=outer * -(-inner // COLUMNS),
        flops=flops,
        x=x, y=job.y, n=n, inner=inner,
    )  # fmt: skip


@emitter(NormalizeRows)
def normalize_rows(builder: Builder, job: NormalizeRows) -> None:
    """Rows in chunks."""
    x = job.x
    outer, n = math.prod(x.shape[: job.axis]), math.prod(x.shape[job.axis :])
    outer_block = max(1, _TASK // max(n, 1))
    optional: dict[str, Any] = {}
    if job.bias is not None:
        optional["bias"] = job.bias
    stat = job.means or job.inverses
    if stat is not None:  # the kernel writes both
        optional["means"] = job.means or builder.scratch(stat.dtype, stat.shape)
        optional["inverses"] = job.inverses or builder.scratch(stat.dtype, stat.shape)
    builder.call(
        rows_kernel.key(
            str(x.dtype),
            str(job.y.dtype),
            job.centered,
            job.bias is not None,
            "" if stat is None else str(stat.dtype),
        ),
        tasks=-(-outer // outer_block),
        flops=_ROW_FLOPS * x.size,
        x=x,
        scale=job.scale,
        y=job.y,
        outer=outer,
        outer_block=outer_block,
        n=n,
        epsilon=job.epsilon,
        **optional,
    )


@emitter(LocalResponse)
def local_response(builder: Builder, job: LocalResponse) -> None:
    """Planes of the channels and what lies behind them, in chunks of planes and blocks of each."""
    x = job.x
    planes, channels, step = along_axis(x.shape, job.axis)
    plane = channels * step
    plane_block = max(1, _TASK // plane)
    before, after = min(job.before, channels), min(job.after, channels)
    builder.call(
        response_kernel.key(str(x.dtype), job.beta),
        tasks=-(-planes // plane_block) * -(-plane // BLOCK),
        flops=x.size * (2 * (before + after) + 14),
        x=x,
        y=job.y,
        planes=planes,
        plane_block=plane_block,
        channels=channels,
        step=step,
        before=before,
        after=after,
        alpha=job.alpha,
        bias=job.bias,
    )
