"""What an algorithm is, and the size that costs are told for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from layercc.cpu.emit.builder import Builder
from layercc.jobs.contraction import Contraction
from layercc.limits import Limits


@dataclass(frozen=True)
class Algorithm:
    """One way to compute contractions.

    `fits(job, precision)`: whether it gives what the job asks for, as exact as the precision wants.
    `cost(job, limits)`: seconds for one image (or `ROWS` rows of a matrix): it must not depend on
    how many there are, so that a sample gives the same alone and within any batch. `emit` appends
    the calls.
    """

    name: str
    fits: Callable[[Contraction, str], bool]
    cost: Callable[[Contraction, Limits], float]
    emit: Callable[[Builder, Contraction], None]


#: Rows of a matrix that a cost is told for.
ROWS = 64


def rows_of(job: Contraction) -> int:
    """The rows that a cost is told for, whatever the batch: those of one image."""
    return ROWS if job.window is None else job.window.outputs
