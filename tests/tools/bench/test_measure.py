"""Streams, warm-up and the figures of a point, by a clock that only the runners move."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable

import numpy as np
import pytest

from layercc.statistics import Interval
from layercc.timing import PAUSE_SECONDS, Times
from layercc.tools.bench.figures import Point
from layercc.tools.bench.measure import Effort, Loaded, measure, quantile, time_ratios, verdict
from layercc.tools.bench.streams import Streams
from layercc.tools.bench.warmup import LEAST_SECONDS, warm_up
from tests.test_timing import Clock

X = {"x": np.zeros((2, 3), np.float32)}


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    for module in ("timing", "tools.bench.streams", "tools.bench.warmup", "tools.bench.measure"):
        monkeypatch.setattr(f"layercc.{module}.time", made)
    monkeypatch.setattr("layercc.tools.bench.noise.time", made)
    return made


def runner(clock: Clock, *seconds: float, gives: float = 1.0) -> Callable[[], list[np.ndarray]]:
    run = clock.runner("", *seconds)

    def call() -> list[np.ndarray]:
        run()
        return [np.array([gives])]

    return call


def point(clock: Clock, effort: Effort, **runners: Callable[[], list[np.ndarray]]) -> Point:
    loaded = {name: Loaded([run], 0.5, "1.2") for name, run in runners.items()}
    return measure(loaded, {}, effort, X, 2, lambda text: None)


def test_figures_of_a_point(clock: Clock) -> None:
    found = point(
        clock,
        Effort(1.0),
        layercc=runner(clock, 0.010),
        peer=runner(clock, *[0.020] * 9, 0.030, gives=1.5),
    )
    own, peer = found.timings
    assert found.batch == 2 and found.inputs == {"x": "float32[2, 3]"}
    assert own.median.value == pytest.approx(0.010)
    assert own.rate.value == pytest.approx(100)
    assert own.verdict == "" and own.ratio.value == 1
    assert peer.median.value == pytest.approx(0.020)
    assert (peer.minimum, peer.mean) == (pytest.approx(0.020), pytest.approx(0.021, rel=0.02))
    assert peer.ratio.value == pytest.approx(2)
    assert peer.verdict == "slower"
    assert peer.difference == pytest.approx(1 / 3)
    assert (peer.version, peer.load, peer.first) == ("1.2", 0.5, pytest.approx(0.020))
    assert len(peer.curve) == 101 and peer.curve == sorted(peer.curve)
    assert found.resolution == pytest.approx(0)
    # its 50 calls tell the quantile 0.9, which takes 29, and none beyond
    assert peer.calls >= 50 and set(peer.quantiles) == {"p90"}


def test_a_peer_that_fails_has_a_reason_and_no_figures(clock: Clock) -> None:
    def fails() -> list[np.ndarray]:
        raise RuntimeError("no kernel\nfor this")

    found = point(clock, Effort(0.1), layercc=runner(clock, 0.01), peer=fails)
    assert [timing.runtime for timing in found.timings] == ["layercc"]
    assert found.failures == {"peer": "RuntimeError: no kernel"}
    with pytest.raises(RuntimeError, match="no kernel"):
        point(clock, Effort(0.1), layercc=fails)


def test_effort(clock: Clock) -> None:
    found = point(clock, Effort(0.1, 500, 3, probe=False), layercc=runner(clock, 0.01))
    assert found.timings[0].calls >= 500
    assert (found.timings[0].warm_up.made, found.timings[0].warm_up.calls) == (3, None)
    assert found.resolution is None


def test_cautions(clock: Clock) -> None:
    """Times that grow are told, and a model that differs from itself."""
    grows = itertools.count(1)

    def run() -> list[np.ndarray]:
        clock.now += 0.001 * next(grows)
        return []

    found = point(clock, Effort(3.0), layercc=run)
    text = "\n".join(map(str, found.cautions))
    assert "not known to be steady behind the warm-up: layercc after" in text
    assert "times drifted in the course of measuring: layercc +" in text
    spins = point(clock, Effort(0.1), layercc=runner(clock, 0.01))
    # the clock of the process goes on in the pause, as if a thread spun
    assert spins.timings[0].spinning == pytest.approx(PAUSE_SECONDS)
    assert "in the 20 ms behind a call" in spins.cautions[-1].what
    assert spins.cautions[-1].value == "layercc 20 ms"


def test_warm_up_goes_on_until_times_are_steady(clock: Clock) -> None:
    slow = iter(np.linspace(0.1, 0.02, 40))
    calls = []

    def run() -> None:
        calls.append(next(slow, 0.02))
        clock.now += calls[-1]

    found = warm_up(run, 60.0)
    assert found.calls is not None and 35 <= found.calls <= 45
    assert 70 <= found.made == len(calls) <= 110
    assert found.seconds == pytest.approx(sum(calls))


def test_warm_up_takes_its_time_and_no_longer(clock: Clock) -> None:
    fast = warm_up(clock.runner("a", 0.001), 60.0)
    assert fast.calls == 0 and fast.seconds >= LEAST_SECONDS
    slow = warm_up(clock.runner("a", 4.0), 10.0)
    assert (slow.made, slow.calls) == (3, None)  # too few to tell
    assert warm_up(clock.runner("a", 4.0), 10.0, 0).made == 1


def test_quantiles_need_calls() -> None:
    calls = np.arange(1.0, 300.0)
    assert quantile(calls, 0.999) is None
    assert quantile(calls[:298], 0.99) is None
    found = quantile(calls, 0.99)
    assert found is not None and found.low < found.seconds <= found.high
    assert found.seconds == pytest.approx(296.02)


@pytest.mark.parametrize(
    ("low", "high", "resolution", "expected"),
    [
        (1.02, 1.05, None, "slower"),
        (1.02, 1.05, 0.01, "slower"),
        (1.02, 1.05, 0.03, "no difference"),
        (0.99, 1.05, 0.0, "no difference"),
        (0.90, 0.95, 0.03, "faster"),
        (0.90, 0.95, 0.10, "no difference"),
    ],
)
def test_verdict(low: float, high: float, resolution: float | None, expected: str) -> None:
    assert verdict(Interval(low, high, 0.95), resolution) == expected


def test_streams_call_at_once() -> None:
    """Each call waits for one of every other stream: they would never end one by one."""
    meet = threading.Barrier(3, timeout=60)
    threads = set()

    def run() -> None:
        threads.add(threading.get_ident())
        meet.wait()

    streams = Streams([run] * 3)
    first, again = streams.take(0.0), streams.take(0.0)
    streams.close()
    assert (len(first.calls), len(again.calls)) == (3, 3)
    assert len(threads) == 3  # the same ones in both turns
    assert max(first.calls) <= first.seconds


def test_each_stream_has_a_thread_of_its_own() -> None:
    """However short its calls are: one thread would call one runner after the other."""
    threads: list[int] = []
    streams = Streams([lambda: threads.append(threading.get_ident())] * 8)
    for _ in range(5):
        threads.clear()
        streams.take(0.0)
        assert len(set(threads)) == len(threads) == 8
    streams.close()


def test_a_fault_in_a_stream_is_raised_when_all_are_done() -> None:
    done = []

    def fails() -> None:
        raise RuntimeError("no memory")

    streams = Streams([fails, lambda: done.append(1)])
    for _ in range(2):
        with pytest.raises(RuntimeError, match="no memory"):
            streams.take(0.0)
    streams.close()
    assert len(done) == 2


def test_one_stream_calls_from_the_thread_of_the_turn() -> None:
    threads = []
    streams = Streams([lambda: threads.append(threading.get_ident())])
    streams.take(0.0)
    streams.close()
    assert threads == [threading.get_ident()]


def test_ratios_of_several_streams_are_of_rates() -> None:
    """A runtime that serves its streams one by one makes half as many calls of the same length."""
    parallel = Times(((1.0,) * 8, (1.0,) * 8), (4.0, 4.0))
    serial = Times(((1.0,) * 4, (1.0,) * 2), (4.0, 4.0))
    assert time_ratios(serial, parallel, several=True) == [2.0, 4.0]
    assert time_ratios(serial, parallel, several=False) == [1.0, 1.0]


def test_streams_are_measured_by_their_rates() -> None:
    """All streams' calls are in the figures; a runtime beside itself is as fast as itself."""
    calls = []
    run = [lambda: calls.append(1) or [np.zeros(1)]] * 3
    loaded = {name: Loaded(run, 0.0, "") for name in ("layercc", "same")}
    found = measure(loaded, {}, Effort(0.01, 30, 1, probe=False), X, None, lambda text: None)
    own, other = found.timings
    assert own.calls >= 30 and other.calls >= 30
    assert own.ratio.value == 1
    assert own.rate.value > 0
