"""What all kernels of contractions are given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from layercc.buffers import Tensor
from layercc.jobs.contraction import Contraction, GroupDim
from layercc.jobs.windows import Axes, Axis
from layercc.kernels.element_types import MULTIPLIED, UNSIGNED

#: Products and sums that wrap around are the same bits for either sign: one kernel serves both.
_SIGNED = {name: f"i{name[1:]}" for name in MULTIPLIED if name in UNSIGNED.values()}


def multiplied(job: Contraction) -> str:
    """The type that a kernel multiplies."""
    dtype = str(job.x.dtype)
    return dtype if job.epilogue.steps else _SIGNED.get(dtype, dtype)


def of_key(job: Contraction, dtype: str, groups: Sequence[GroupDim]) -> tuple[Any, ...]:
    """What of a job is compiled into its kernel: the epilogue, how many dims the groups have, and
    whether there is a window."""
    expression = job.epilogue.steps or ((dtype,), (), (0,))
    columns = tuple(operand.column for operand in job.epilogue.operands)
    return expression, columns, len(groups), job.window is not None


def common(job: Contraction, w: Tensor, groups: Sequence[GroupDim]) -> dict[str, Any]:
    """The arguments that all of them take, of a job whose weights are at `w`, `groups` apart."""
    window = job.window or Axes(w=Axis(inputs=job.rows, outputs=job.rows))
    operands = [
        {
            "data": o.tensor,
            "row": o.row,
            "groups": o.groups[-len(job.groups) :] if job.groups else (),
        }
        for o in job.epilogue.operands
    ]
    return {
        "x": job.x,
        "w": w,
        "y": job.y,
        "columns_": job.columns,
        "depth": job.depth,
        "taps": job.taps,
        "x_row": job.x_row,
        "y_row": job.y_row,
        "groups": [{"size": g.size, "x": g.x, "w": g.w, "y": g.y} for g in groups],
        "window": {name: vars(axis) for name, axis in vars(window).items()},
        "operands": operands,
    }
