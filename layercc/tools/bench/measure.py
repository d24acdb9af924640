"""Measuring runtimes side by side at one set of input shapes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from layercc.statistics import Interval, calls_needed, interval
from layercc.timing import PAUSE_SECONDS, TURN_SECONDS, Times, in_turns
from layercc.tools.arrays import difference
from layercc.tools.bench.figures import QUANTILES, Estimate, Point, Quantile, Timing
from layercc.tools.bench.noise import Caution, Watch, spinning
from layercc.tools.bench.streams import Streams
from layercc.tools.bench.warmup import WarmUp, warm_up
from layercc.tools.peers import Runner

OWN = "layercc"
#: The second turn that layercc takes in each round, to tell how much it differs from itself.
_AGAIN = "layercc again"
#: Turns of several streams: many calls of each, since the last ones run with fewer beside them.
_STREAMS_TURN = 0.5
_CURVE = np.linspace(0.0, 1.0, 101)
#: Share of a pause for which threads may be at work before that is called spinning.
_SPINNING = 0.25


@dataclass(frozen=True, slots=True)
class Effort:
    """How long to measure: for each runtime `seconds`, and until it has had `iterations` calls.
    `warm_up`: calls before that, found by themselves if None. `probe`: whether layercc is measured
    against itself."""

    seconds: float
    iterations: int = 0
    warm_up: int | None = None
    probe: bool = True


@dataclass(frozen=True, slots=True)
class Loaded:
    """A runtime that is ready: a runner for each stream, the seconds that loading took, and its
    version."""

    runners: list[Runner]
    seconds: float
    version: str


@dataclass(frozen=True, slots=True)
class _Warm:
    """What the calls before measuring told."""

    first: float
    difference: float
    warm_up: WarmUp
    spinning: float


def load(runtime: Callable[[], list[Runner]], version: str) -> Loaded:
    """Loads one; raises whatever that raises."""
    start = time.perf_counter()
    runners = runtime()
    return Loaded(runners, time.perf_counter() - start, version)


def measure(
    loaded: Mapping[str, Loaded],
    failures: Mapping[str, str],
    effort: Effort,
    inputs: Mapping[str, np.ndarray],
    batch: int | None,
    progress: Callable[[str], None],
) -> Point:
    """The figures of each runtime: `OWN`, which comes first, and others, which may fail."""
    failures = dict(failures)
    streams = {name: Streams(one.runners) for name, one in loaded.items()}
    warm: dict[str, _Warm] = {}
    try:
        wanted: list[np.ndarray] | None = None
        for name, one in loaded.items():
            progress(f"warming up {name}")
            try:
                start = time.perf_counter()
                made = one.runners[0]()
                first = time.perf_counter() - start
                wanted = made if wanted is None else wanted
                worst = max(map(difference, wanted, made), default=0.0)
                call = partial(streams[name].take, 0.0)
                warmed = warm_up(call, effort.seconds, effort.warm_up)
                warm[name] = _Warm(first, worst, warmed, spinning(one.runners[0]))
            except Exception as error:
                if name == OWN:
                    raise
                failures[name] = reason(error)
        turns = {name: streams[name] for name in warm}
        if effort.probe:
            turns[_AGAIN] = turns[OWN]
        progress(f"measuring {', '.join(warm)}")
        watch = Watch()
        several = len(loaded[OWN].runners) > 1
        measured = in_turns(
            turns,
            effort.seconds,
            calls=effort.iterations,
            turn=min(_STREAMS_TURN if several else TURN_SECONDS, effort.seconds),
            take=Streams.take,
        )
        noise = watch.noise()
    finally:
        for one_of in streams.values():
            one_of.close()

    ratios = {name: time_ratios(times, measured[OWN], several) for name, times in measured.items()}
    probe = interval(ratios[_AGAIN]) if effort.probe else None
    resolution = None if probe is None else max(probe.high, 1 / probe.low) - 1
    timings = [
        _timing(name, loaded[name], warm[name], measured[name], ratios[name], resolution)
        for name in warm
    ]
    shapes = {name: f"{array.dtype}{list(array.shape)}" for name, array in inputs.items()}
    cautions = noise.cautions() + _cautions(timings, resolution)
    return Point(shapes, batch, timings, failures, resolution, noise, cautions)


def time_ratios(times: Times, own: Times, several: bool) -> list[float]:
    """Times over layercc's, round by round; of several streams, layercc's rate over these ones':
    under load it is throughput that counts."""
    if several:
        return [a / b for a, b in zip(own.rates, times.rates, strict=True)]
    return times.ratios(own)


def verdict(ratio: Interval | Estimate, resolution: float | None) -> str:
    """What a ratio of times says: `slower`, `faster` or `no difference` (that this machine shows):
    the interval must lie on one side of 1, by more than a runtime differs from itself."""
    margin = 1 + (resolution or 0.0)
    if ratio.low > margin:
        return "slower"
    return "faster" if ratio.high < 1 / margin else "no difference"


def quantile(calls: np.ndarray, q: float) -> Quantile | None:
    """None where so few calls say nothing of it (`calls_needed`)."""
    if len(calls) < calls_needed(q):
        return None
    sure = interval(calls, q)
    return Quantile(q, float(np.quantile(calls, q)), sure.low, sure.high)


def median(values: list[float]) -> Estimate:
    sure = interval(values)
    return Estimate(float(np.median(values)), sure.low, sure.high)


def _timing(
    name: str,
    loaded: Loaded,
    warm: _Warm,
    times: Times,
    ratios: list[float],
    resolution: float | None,
) -> Timing:
    calls = np.sort(np.asarray(times.calls))
    found = {key: quantile(calls, q) for key, q in QUANTILES.items()}
    ratio = median(ratios)
    return Timing(
        runtime=name,
        version=loaded.version,
        calls=len(calls),
        median=median(times.medians),
        minimum=float(calls[0]),
        mean=float(np.mean(calls)),
        quantiles={key: value for key, value in found.items() if value is not None},
        rate=median(times.rates),
        ratio=ratio,
        verdict="" if name == OWN else verdict(ratio, resolution),
        difference=warm.difference,
        warm_up=warm.warm_up,
        load=loaded.seconds,
        first=warm.first,
        spinning=warm.spinning,
        rounds=_short(times.medians),
        curve=_short(np.quantile(calls, _CURVE)),
    )


def _short(seconds: Iterable[float]) -> list[float]:
    """Six digits are more than a clock has; files are smaller for it."""
    return [float(f"{value:.6g}") for value in seconds]


def _cautions(timings: list[Timing], resolution: float | None) -> list[Caution]:
    """What the times themselves tell of how far they are to be trusted."""
    found = []
    if resolution is not None and resolution > 0.05:
        found.append(Caution("layercc differed from itself", f"{resolution:.0%}"))
    for timing in timings:
        if timing.warm_up.calls is None:
            after = f"{timing.runtime} after {timing.warm_up.made} calls"
            found.append(Caution("not known to be steady behind the warm-up", after))
        half = len(timing.rounds) // 2
        first, last = interval(timing.rounds[:half]), interval(timing.rounds[-half:])
        if min(first.confidence, last.confidence) > 0.95 and (
            first.high < last.low or last.high < first.low
        ):
            drift = np.median(timing.rounds[-half:]) / np.median(timing.rounds[:half]) - 1
            value = f"{timing.runtime} {drift:+.0%}"
            found.append(Caution("times drifted in the course of measuring", value))
        if timing.spinning > _SPINNING * PAUSE_SECONDS:
            value = f"{timing.runtime} {1e3 * timing.spinning:.0f} ms"
            what = f"threads use up processors in the {1e3 * PAUSE_SECONDS:.0f} ms behind a call"
            found.append(Caution(f"{what}, which slows whoever is next", value))
    return found


def reason(error: Exception) -> str:
    """The kind of an error, and the first line of what it says."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
