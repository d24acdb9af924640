"""Emission of folds."""

from __future__ import annotations

import math

from ir.diagnostics import UnsupportedError
from layercc.cpu.emit.builder import Builder
from layercc.cpu.emit.records import (
    epilogue_columns,
    epilogue_expression,
    epilogue_words,
    window_words,
)
from layercc.cpu.emit.registry import emitter
from layercc.cpu.kernels.col2im import CHANNEL_BLOCK, MOST_TAPS, col2im
from layercc.jobs.fold import Fold

#: Elements that a task reads, about.
_TASK = 1 << 15


@emitter(Fold)
def fold(builder: Builder, job: Fold) -> None:
    """Rows of the output in chunks, by blocks of channels.

    Raises UnsupportedError for a window of more taps than the kernel has room for.
    """
    window, y = job.window, job.y
    taps, dtype = window.taps, str(y.dtype)
    if taps > MOST_TAPS:
        raise UnsupportedError(f"a window of {taps} taps; {MOST_TAPS} at most fit")
    group_channels = y.shape[-1] // max(job.groups, 1)
    rows, out_w = math.prod(y.shape[:-2]), y.shape[-2]
    block = min(CHANNEL_BLOCK, group_channels)
    blocks = -(-group_channels // max(block, 1))
    met = -(-taps // (window.d.stride * window.h.stride * window.w.stride))
    chunk = max(_TASK // max(met * out_w * block, 1), 1)
    expression = epilogue_expression(job.epilogue, dtype)
    builder.call(
        col2im.key(dtype, expression, epilogue_columns(job.epilogue)),
        tasks=-(-rows // chunk) * job.groups * blocks if y.size else 0,
        flops=met * y.size,
        p=job.products,
        y=y,
        rows=rows,
        chunk=chunk,
        groups=job.groups,
        group_channels=group_channels,
        channel_block=block,
        blocks=blocks,
        window=window_words(window),
        operands=epilogue_words(job.epilogue),
    )
