"""Which algorithm computes a contraction: the cheapest that fits and that the precision allows.

Some need several times the memory for their weights. At the highest precision, which is the
default, the weights of a model grow to no more than `GROWTH` times their size, so that no more
memory is taken than other runtimes take. What there is of it is spent where it saves the most time
a byte, a greedy solution of the knapsack problem: on layers with large maps and few channels. Some
have errors that count in a network of few layers (`Algorithm.layers`). Lower precisions know no
such limits, and a table of choices none at all.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

from ir.diagnostics import UnsupportedError
from layercc.algorithms import Algorithm, algorithms_in, shape_class
from layercc.cpu.emit.builder import Builder
from layercc.jobs.contraction import Contraction
from layercc.limits import Limits

#: Packed weights over the weights as they are, at most.
GROWTH = 1.5
#: Bytes more that any model may take: little beside what a process takes that runs one.
ALWAYS = 16 << 20


class Choice(NamedTuple):
    """An algorithm; and a cheaper one for whose weights there was no memory, by name, or ""."""

    algorithm: Algorithm
    too_large: str = ""


def algorithms() -> tuple[Algorithm, ...]:
    """All of them, by name."""
    return algorithms_in(__name__.rpartition(".")[0])


def choose(builder: Builder, job: Contraction) -> Choice:
    """The choice for a job: that of `choose_all` for the workload, or for the job alone.

    Raises UnsupportedError where no algorithm fits, ValueError where the table has a name that none
    has.
    """
    found = builder.chosen.get(job) or choose_all(builder, [job]).get(job)
    if found is None:
        raise UnsupportedError(
            f"no algorithm multiplies {job.x.dtype} by {job.weights.tensor.dtype}"
        )
    return found


def choose_all(builder: Builder, jobs: Iterable[Contraction]) -> dict[Contraction, Choice]:
    """A choice for each job that an algorithm fits: what the builder's table says, else the
    cheapest, as far as there is memory for its weights.

    Layers of a class of shapes get the same. Neither the batch nor the number of threads counts.
    Raises ValueError where the table has a name that no algorithm has.
    """
    classes: dict[tuple[str, ...], _Layers] = {}
    jobs = list(jobs)
    exact = builder.precision == "highest"
    for job in jobs:
        fitting = [each for each in algorithms() if each.fits(job, builder.precision)]
        kind = shape_class(job)
        options = _asked_for(builder, kind, fitting)
        options = options or [e for e in fitting if e.layers <= len(jobs) or not exact]
        if options:
            key = (kind, *(each.name for each in options))
            classes.setdefault(key, _Layers(builder.limits, options)).jobs.append(job)
    left = _room(jobs) if exact else math.inf
    while steps := [
        step for layers in classes.values() for step in layers.steps() if step.growth <= left
    ]:
        best = max(steps, key=lambda step: step.saved / max(step.growth, 1))
        best.layers.chosen = best.algorithm
        left -= best.growth
    return {job: layers.choice() for layers in classes.values() for job in layers.jobs}


def _asked_for(builder: Builder, kind: str, fitting: list[Algorithm]) -> list[Algorithm]:
    """What the builder's table names for a class of shapes, if it fits."""
    asked = builder.choices and builder.choices.get(kind)
    known = [each.name for each in algorithms()]
    if asked and asked not in known:
        raise ValueError(
            f"choices: there is no algorithm {asked!r} for {kind!r}; there are {', '.join(known)}"
        )
    return [each for each in fitting if each.name == asked]


def _room(jobs: Iterable[Contraction]) -> int:
    """Bytes by which the weights of a workload may grow."""
    constants = {
        id(job.weights.tensor.array): job.weights.tensor.nbytes
        for job in jobs
        if job.weights.tensor.array is not None
    }
    return max(int((GROWTH - 1) * sum(constants.values())), ALWAYS)


class _Step(NamedTuple):
    """A cheaper algorithm for the layers of a class: seconds saved, and bytes that it takes."""

    layers: _Layers
    algorithm: Algorithm
    saved: float
    growth: int


class _Layers:
    """All jobs of a class of shapes, and the algorithms that they may have; `chosen` is the
    cheapest of those whose weights are smallest, until there is more room."""

    def __init__(self, limits: Limits, options: list[Algorithm]) -> None:
        self.limits, self.options = limits, options
        self.jobs: list[Contraction] = []
        self.chosen: Algorithm | None = None

    def steps(self) -> list[_Step]:
        """What would be cheaper than what is chosen."""
        if self.chosen is None:
            self.chosen = min(self.options, key=lambda each: (self._growth(each), self._cost(each)))
        cost, growth = self._cost(self.chosen), self._growth(self.chosen)
        return [
            _Step(self, each, cost - self._cost(each), self._growth(each) - growth)
            for each in self.options
            if self._cost(each) < cost
        ]

    def choice(self) -> Choice:
        cheapest = min(self.options, key=self._cost)
        assert self.chosen is not None
        return Choice(self.chosen, "" if cheapest is self.chosen else cheapest.name)

    def _cost(self, algorithm: Algorithm) -> float:
        return sum(algorithm.cost(job, self.limits) for job in self.jobs)

    def _growth(self, algorithm: Algorithm) -> int:
        distinct = {id(job.weights.tensor.array): job for job in self.jobs}
        return sum(map(algorithm.growth, distinct.values()))
