"""Which algorithm computes a contraction: the cheapest that fits and that the precision allows."""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass

from ir.diagnostics import UnsupportedError
from layercc.cpu.emit.builder import Builder
from layercc.cpu.limits import Limits
from layercc.jobs.contraction import Contraction


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


@functools.cache
def algorithms() -> tuple[Algorithm, ...]:
    """All of them, by name."""
    package = __name__.rpartition(".")[0]
    path = importlib.import_module(package).__path__
    modules = [importlib.import_module(f"{package}.{m.name}") for m in pkgutil.iter_modules(path)]
    found = [module.ALGORITHM for module in modules if hasattr(module, "ALGORITHM")]
    return tuple(sorted(found, key=lambda algorithm: algorithm.name))


def shape_class(job: Contraction) -> str:
    """What a choice may depend on, as text: a key of tuning tables. No number of images in it."""
    window = job.window
    spatial = "rows" if window is None else "x".join(
        f"{axis.outputs}:{axis.taps}/{axis.stride}" + (f"*{axis.dilation}" if axis.taps > 1 else "")
        for axis in (window.d, window.h, window.w)
    )  # fmt: skip
    groups = "x".join(str(group.size) for group in job.groups if group.w) or "1"
    return f"{job.x.dtype} g{groups} {spatial} k{job.depth} n{job.columns}"


def choose(builder: Builder, job: Contraction) -> Algorithm:
    """The algorithm for a job: what the builder's table says, else the cheapest that fits.

    Raises UnsupportedError where none fits.
    """
    fitting = [each for each in algorithms() if each.fits(job, builder.precision)]
    if not fitting:
        raise UnsupportedError(
            f"no algorithm multiplies {job.x.dtype} by {job.weights.tensor.dtype}"
        )
    asked = builder.choices.get(shape_class(job))
    for each in fitting:
        if each.name == asked:
            return each
    return min(fitting, key=lambda algorithm: algorithm.cost(job, builder.limits))
