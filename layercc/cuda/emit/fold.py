"""Emission of folds: an element of the output a thread."""

from __future__ import annotations

from layercc.cuda.emit.builder import Builder, countable
from layercc.cuda.emit.registry import emitter
from layercc.cuda.kernels import fold as kernels
from layercc.jobs.fold import Fold


@emitter(Fold)
def fold(builder: Builder, job: Fold) -> None:
    """One launch."""
    y, window, dtype = job.y, job.window, str(job.y.dtype)
    n = countable("a fold", y.size)
    countable("what is folded", job.products.size)
    strides = window.d.stride * window.h.stride * window.w.stride
    columns = tuple(each.column for each in job.epilogue.operands)
    builder.call(
        kernels.fold.key(dtype, job.epilogue.steps or ((dtype,), (), (0,)), columns),
        -(-n // kernels.THREADS),
        flops=-(-window.taps // strides) * n,
        p=job.products,
        y=y,
        n=n,
        groups=job.groups,
        group_channels=y.shape[-1] // max(job.groups, 1),
        window={name: vars(axis) for name, axis in vars(window).items()},
        operands=[{"data": o.tensor, "row": o.row, "groups": ()} for o in job.epilogue.operands],
    )
