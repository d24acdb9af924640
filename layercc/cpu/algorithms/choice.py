"""Which algorithm computes a contraction: the cheapest that fits and that the precision allows."""

from __future__ import annotations

from layercc import algorithms as common
from layercc.algorithms import Algorithm, shape_class
from layercc.cpu.emit.builder import Builder
from layercc.jobs.contraction import Contraction

__all__ = ["algorithms", "choose", "shape_class"]


def algorithms() -> tuple[Algorithm, ...]:
    """All of them, by name."""
    return common.algorithms_in(__name__.rpartition(".")[0])


def choose(builder: Builder, job: Contraction) -> Algorithm:
    """The algorithm for a job: what the builder's table says, else the cheapest that fits.

    Raises UnsupportedError where none fits, ValueError where the table has a name that none has.
    """
    return common.choose(algorithms(), builder, job)
