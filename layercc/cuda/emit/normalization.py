"""Emission of softmax, of normalizations of rows, and across channels."""

from __future__ import annotations

import math
from typing import Any

from layercc.cuda.emit.builder import Builder, countable
from layercc.cuda.emit.reductions import WARP_ROW
from layercc.cuda.emit.registry import emitter
from layercc.cuda.kernels.normalize import (
    THREADS,
    WARP,
    local_response,
    normalize_rows,
    softmax_columns,
    softmax_rows,
)
from layercc.jobs.normalization import LocalResponse, NormalizeRows, Softmax
from layercc.jobs.reductions import along_axis

_SOFTMAX_FLOPS, _ROW_FLOPS = 15, 7  # an element


@emitter(Softmax)
def softmax(builder: Builder, job: Softmax) -> None:
    """Rows, or columns side by side."""
    outer, n, inner = along_axis(job.x.shape, job.axis)
    countable("a softmax", job.x.size)
    flops = _SOFTMAX_FLOPS * job.x.size
    params = (str(job.x.dtype), job.logarithm)
    if inner == 1:
        warp = n <= WARP_ROW
        builder.call(
            softmax_rows.key(*params, warp), _blocks(outer, warp), flops=flops,
            x=job.x, y=job.y, outer=outer, n=n,
        )  # fmt: skip
        return
    columns = outer * inner
    builder.call(
        softmax_columns.key(*params), -(-columns // THREADS), flops=flops,
        x=job.x, y=job.y, columns=columns, n=n, inner=inner,
    )  # fmt: skip


def _blocks(rows: int, warp: bool) -> int:
    return -(-rows // (THREADS // WARP)) if warp else rows


@emitter(NormalizeRows)
def rows(builder: Builder, job: NormalizeRows) -> None:
    """A warp or a block a row."""
    x = job.x
    outer, n = math.prod(x.shape[: job.axis]), math.prod(x.shape[job.axis :])
    countable("a normalization", x.size)
    words: dict[str, Any] = {} if job.bias is None else {"bias": job.bias}
    stat = job.means or job.inverses
    if stat is not None:  # the kernel writes both
        words["means"] = job.means or builder.scratch(stat.dtype, stat.shape)
        words["inverses"] = job.inverses or builder.scratch(stat.dtype, stat.shape)
    warp = n <= WARP_ROW
    params = (job.centered, job.bias is not None, "" if stat is None else str(stat.dtype), warp)
    builder.call(
        normalize_rows.key(str(x.dtype), str(job.y.dtype), *params), _blocks(outer, warp),
        flops=_ROW_FLOPS * x.size,
        x=x, scale=job.scale, y=job.y, outer=outer, n=n, epsilon=job.epsilon, **words,
    )  # fmt: skip


@emitter(LocalResponse)
def response(builder: Builder, job: LocalResponse) -> None:
    """One launch."""
    x = job.x
    _, channels, step = along_axis(x.shape, job.axis)
    n = countable("a normalization", x.size)
    builder.call(
        local_response.key(str(x.dtype), job.beta), -(-n // THREADS),
        flops=n * (2 * (min(job.before, channels) + min(job.after, channels)) + 14),
        x=x, y=job.y, n=n, channels=channels, step=step, before=min(job.before, channels),
        after=min(job.after, channels), alpha=job.alpha, bias=job.bias,
    )  # fmt: skip
