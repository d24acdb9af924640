"""Which algorithm computes a contraction: the cheapest that fits and that the precision allows."""

from __future__ import annotations

import functools
import importlib
import math
import pkgutil

from ir.diagnostics import UnsupportedError
from layercc.cpu.algorithms.algorithm import Algorithm
from layercc.cpu.emit.builder import Builder
from layercc.jobs.contraction import Contraction
from layercc.jobs.windows import Axis


@functools.cache
def algorithms() -> tuple[Algorithm, ...]:
    """All of them, by name."""
    package = __name__.rpartition(".")[0]
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


def choose(builder: Builder, job: Contraction) -> Algorithm:
    """The algorithm for a job: what the builder's table says, else the cheapest that fits.

    Raises UnsupportedError where none fits, ValueError where the table has a name that none has.
    """
    fitting = [each for each in algorithms() if each.fits(job, builder.precision)]
    if not fitting:
        raise UnsupportedError(
            f"no algorithm multiplies {job.x.dtype} by {job.weights.tensor.dtype}"
        )
    asked = builder.choices and builder.choices.get(shape_class(job))
    if asked:
        for each in fitting:
            if each.name == asked:
                return each
        known = [each.name for each in algorithms()]
        if asked not in known:
            raise ValueError(
                f"choices: there is no algorithm {asked!r} for {shape_class(job)!r}; there are "
                f"{', '.join(known)}"
            )
    return min(fitting, key=lambda algorithm: algorithm.cost(job, builder.limits))
