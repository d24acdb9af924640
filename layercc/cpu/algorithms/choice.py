"""Which algorithm computes a contraction: the cheapest that fits and that the precision allows.

Some need several times the memory for their weights. At the highest precision, which is the
default, the weights of a model grow to no more than `GROWTH` times their size, so that no more
memory is taken than other runtimes take. What there is of it is spent where it saves the most time
a byte, a greedy solution of the knapsack problem: on layers with large maps and few channels. Some
have errors that count in a network of few layers (`Algorithm.layers`). Lower precisions know no
such limits, and a table of choices overrules both.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Iterable, Iterator
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
    found: dict[tuple[str, ...], tuple[list[Algorithm], list[Contraction]]] = {}
    jobs = list(jobs)
    exact = builder.precision == "highest"
    for job in jobs:
        fitting = [each for each in algorithms() if each.fits(job, builder.precision)]
        kind = shape_class(job)
        options = _asked_for(builder, kind, fitting)
        options = options or [e for e in fitting if e.layers <= len(jobs) or not exact]
        if options:
            key = (kind, *(each.name for each in options))
            found.setdefault(key, (options, []))[1].append(job)
    classes = [_Layers(builder.limits, *each) for each in found.values()]
    _spend(classes, _room(jobs) if exact else math.inf)
    chosen: dict[Contraction, Choice] = {}
    for layers in classes:
        chosen |= dict.fromkeys(layers.jobs, layers.choice())
    return chosen


def _spend(classes: list[_Layers], left: float) -> None:
    """Takes the steps that save most a byte, one after another, as long as there are `left` bytes
    for them."""
    serial = itertools.count()  # of equal steps, the first is taken

    def steps_of(layers: _Layers) -> Iterator[tuple[float, int, _Step]]:
        for step in layers.steps():
            yield -step.saved / max(step.growth, 1), next(serial), step

    waiting = [entry for layers in classes for entry in steps_of(layers)]
    heapq.heapify(waiting)
    while waiting:
        _, _, step = heapq.heappop(waiting)
        if step.layers.chosen is not step.before or step.growth > left:
            continue
        step.layers.chosen = step.algorithm
        left -= step.growth
        for entry in steps_of(step.layers):
            heapq.heappush(waiting, entry)


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
    """A cheaper algorithm for the layers of a class, instead of `before`: seconds saved, and bytes
    that it takes."""

    layers: _Layers
    before: Algorithm
    algorithm: Algorithm
    saved: float
    growth: int


class _Layers:
    """All jobs of a class of shapes, and the algorithms that they may have; `chosen` is the
    cheapest of those whose weights are smallest, until there is more room."""

    def __init__(self, limits: Limits, options: list[Algorithm], jobs: list[Contraction]) -> None:
        self.jobs, self.options = jobs, options
        distinct = {id(job.weights.tensor.array): job for job in jobs}.values()
        self._costs = [sum(each.cost(job, limits) for job in jobs) for each in options]
        self._growth = [sum(map(each.growth, distinct)) for each in options]
        self.chosen = options[min(range(len(options)), key=self._size)]

    def _size(self, index: int) -> tuple[int, float]:
        return self._growth[index], self._costs[index]

    def steps(self) -> Iterator[_Step]:
        """What is cheaper than what is chosen."""
        at = self.options.index(self.chosen)
        for each, cost, growth in zip(self.options, self._costs, self._growth, strict=True):
            if cost < self._costs[at]:
                saved = self._costs[at] - cost
                yield _Step(self, self.chosen, each, saved, growth - self._growth[at])

    def choice(self) -> Choice:
        """With the name of what is cheaper still, if anything is."""
        cheapest = self.options[self._costs.index(min(self._costs))]
        return Choice(self.chosen, "" if cheapest is self.chosen else cheapest.name)
