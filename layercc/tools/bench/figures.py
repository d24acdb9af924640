"""The figures of a benchmark, as plain data."""

from __future__ import annotations

from dataclasses import dataclass, field

from layercc.tools.bench.noise import Caution, Noise
from layercc.tools.bench.warmup import WarmUp

#: The quantiles that are told, beside the median.
QUANTILES = {"p90": 0.9, "p99": 0.99, "p99.9": 0.999}


@dataclass(frozen=True, slots=True)
class Quantile:
    """Seconds below which the share `q` of all calls lies, with an interval of 95 % confidence
    that takes calls for independent. There is none where too few calls stand behind it."""

    q: float
    seconds: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Estimate:
    """A median over rounds, and the interval that holds it with 95 % confidence."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Timing:
    """One runtime's figures. Times are seconds a call, rates are those of all streams together.

    `median`: of the rounds' medians (`rounds`), `rate`: of calls a second. `curve`: the quantiles
    0, 1/100, ..., 1 of all calls. `ratio`: the median over layercc's, round by round (of several
    streams: layercc's rate over its own); `verdict`: whether that is a difference. `difference`:
    the largest, over the outputs, of max|a - b| / max|b| with layercc's output a and this runtime's
    b. `spinning`: seconds of processor time that its threads use up in the 20 ms behind a call.
    `load`: seconds to load the model, `first`: of the first call, which plans. `processes`: figures
    of a process of its own (`processes.in_processes`), where they were asked for.
    """

    runtime: str
    version: str
    calls: int
    median: Estimate
    minimum: float
    mean: float
    quantiles: dict[str, Quantile]
    rate: Estimate
    ratio: Estimate
    verdict: str
    difference: float
    warm_up: WarmUp
    load: float
    first: float
    spinning: float
    rounds: list[float]
    curve: list[float]
    processes: dict[str, float] | None = None


@dataclass(frozen=True, slots=True)
class Point:
    """The figures at one set of input shapes. `batch`: samples a call, where known.

    `failures`: why a runtime has no figures. `resolution`: how much layercc seemed to differ from
    itself, as a share; what differs by less is no difference. None where that was not measured.
    """

    inputs: dict[str, str]
    batch: int | None
    timings: list[Timing]
    failures: dict[str, str]
    resolution: float | None
    noise: Noise
    cautions: list[Caution]


@dataclass(frozen=True, slots=True)
class Figures:
    """What was measured of one model.

    `threads`: of a call. `streams`: callers at once. `digest`: of the model with its weights.
    """

    graph: str
    digest: str
    threads: int
    streams: int
    precision: str
    made: str
    machine: dict[str, str | int]
    versions: dict[str, str]
    points: list[Point] = field(default_factory=list)

    @property
    def timings(self) -> list[Timing]:
        """Those of the first point."""
        return self.points[0].timings
