"""Algorithms: for one contraction, several ways to compute it, and which of them a target takes.

A target has a folder of them, a file each, found by being there: a module has them in `ALGORITHMS`.
"""

from __future__ import annotations

import functools
import importlib
import math
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from ir.diagnostics import UnsupportedError
from layercc.jobs.contraction import Contraction
from layercc.jobs.windows import Axis
from layercc.limits import Limits


class Chooser(Protocol):
    """What of a builder a choice hangs on: `choices` overrule, class of shapes → name; `limits` are
    the scale of costs."""

    precision: str
    choices: Mapping[str, str]
    limits: Limits


@dataclass(frozen=True)
class Algorithm:
    """One way to compute contractions.

    `fits(job, precision)`: whether it gives what the job asks for, as exact as the precision wants.
    `cost(job, limits)`: seconds for one image (or `ROWS` rows of a matrix): it must not depend on
    how many there are, so that a sample gives the same alone and within any batch. `emit(builder,
    job)` appends the calls to the builder of the target. `growth(job)`: bytes that its packed
    weights take beyond the weights as they are. `layers`: how many contractions a network must have
    for it at the highest precision, where its errors are small only beside those of many others.
    """

    name: str
    fits: Callable[[Contraction, str], bool]
    cost: Callable[[Contraction, Limits], float]
    emit: Callable[[Any, Contraction], None]
    growth: Callable[[Contraction], int] = lambda job: 0
    layers: int = 1


#: Rows of a matrix that a cost is told for.
ROWS = 64


def rows_of(job: Contraction) -> int:
    """The rows that a cost is told for, whatever the batch: those of one image."""
    return ROWS if job.window is None else job.window.outputs


@functools.cache
def algorithms_in(package: str) -> tuple[Algorithm, ...]:
    """All that a folder has, by name."""
    path = importlib.import_module(package).__path__
    modules = [importlib.import_module(f"{package}.{m.name}") for m in pkgutil.iter_modules(path)]
    found = [each for module in modules for each in getattr(module, "ALGORITHMS", ())]
    return tuple(sorted(found, key=lambda algorithm: algorithm.name))


def shape_class(job: Contraction) -> str:
    """What a choice may depend on, as text: a key of tuning tables.

    Nothing in it varies with the batch: no rows of matrices, and no groups of them.
    """
    window = job.window
    spatial = "rows"
    if window is not None:
        spatial = "x".join(map(_axis_class, (window.d, window.h, window.w)))
    groups = 1 if window is None else math.prod(group.size for group in job.groups if group.w)
    operands = f"{job.x.dtype},{job.weights.tensor.dtype}"
    return f"{operands} g{groups} {spatial} k{job.depth} n{job.columns}"


def _axis_class(axis: Axis) -> str:
    """Positions of the output : taps / stride * dilation."""
    dilated = f"*{axis.dilation}" if axis.taps > 1 < axis.dilation else ""
    return f"{axis.outputs}:{axis.taps}/{axis.stride}{dilated}"


def choose(algorithms: tuple[Algorithm, ...], chooser: Chooser, job: Contraction) -> Algorithm:
    """The algorithm for a job: what the table of choices says, else the cheapest that fits.

    Raises UnsupportedError where none fits, ValueError where the table has a name that none has.
    """
    fitting = [each for each in algorithms if each.fits(job, chooser.precision)]
    if not fitting:
        raise UnsupportedError(
            f"no algorithm multiplies {job.x.dtype} by {job.weights.tensor.dtype}"
        )
    asked = chooser.choices and chooser.choices.get(shape_class(job))
    if asked:
        for each in fitting:
            if each.name == asked:
                return each
        known = [each.name for each in algorithms]
        if asked not in known:
            raise ValueError(
                f"choices: there is no algorithm {asked!r} for {shape_class(job)!r}; there are "
                f"{', '.join(known)}"
            )
    return min(fitting, key=lambda algorithm: algorithm.cost(job, chooser.limits))
