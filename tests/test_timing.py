"""Measuring in turns, by a clock that only the runners move."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest

from layercc import timing
from layercc.timing import MIN_ROUNDS, PAUSE_SECONDS, Times, Turn, in_turns


class Clock:
    """Stands in for the module `time`; runners, by the names that they enter, let it run on."""

    def __init__(self) -> None:
        self.now = 0.0
        self.called: list[str] = []
        self.pauses: list[float] = []

    def perf_counter(self) -> float:
        return self.now

    def process_time(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.called.append("-")
        self.now += seconds

    def runner(self, name: str, *seconds: float) -> Callable[[], None]:
        """A runner whose calls take so long, over and over."""
        each = itertools.cycle(seconds)

        def run() -> None:
            self.called.append(name)
            self.now += next(each)

        return run


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(timing, "time", made)
    return made


def test_turns_come_in_alternating_order_behind_pauses(clock: Clock) -> None:
    runners = {"a": clock.runner("a", 0.3), "b": clock.runner("b", 0.4)}
    found = in_turns(runners, rounds=3, turn=0.5)
    # a call to wake threads, then as many as fill the turn
    a, b = ["-", "a", "a", "a"], ["-", "b", "b", "b"]
    assert clock.called == [*a, *b, *b, *a, *a, *b]
    assert set(clock.pauses) == {PAUSE_SECONDS}
    assert [len(times.calls) for times in found.values()] == [6, 6]
    assert found["a"].calls == pytest.approx([0.3] * 6)


def test_it_goes_on_until_each_has_had_its_seconds(clock: Clock) -> None:
    runners = {"fast": clock.runner("a", 0.25), "slow": clock.runner("b", 64.0)}
    found = in_turns(runners, 5.0, rounds=2, turn=0.5)
    assert {len(times.rounds) for times in found.values()} == {10}
    assert [len(calls) for calls in found["fast"].rounds] == [2] * 10
    assert [len(calls) for calls in found["slow"].rounds] == [1] * 10
    assert {len(times.rounds) for times in in_turns(runners).values()} == {MIN_ROUNDS}
    assert in_turns({}, 1.0) == {}


def test_it_goes_on_until_each_has_had_its_calls(clock: Clock) -> None:
    runners = {"fast": clock.runner("a", 0.25), "slow": clock.runner("b", 1.0)}
    found = in_turns(runners, calls=9, rounds=2, turn=0.5)
    assert [len(times.calls) for times in found.values()] == [18, 9]


def test_a_turn_may_be_taken_in_another_way(clock: Clock) -> None:
    def take(name: str, seconds: float) -> Turn:
        clock.called.append(f"{name} for {seconds}")
        return Turn((1.0, 1.0, 1.0), 2.0)

    found = in_turns({"a": "first"}, rounds=2, turn=0.5, take=take)
    assert clock.called == ["-", "first for 0.0", "first for 0.5"] * 2
    assert found["a"].rates == [1.5, 1.5]  # three calls in two seconds: some at once


def test_without_pause_calls_follow_each_other(clock: Clock) -> None:
    runners = {"a": clock.runner("a", 1.0), "b": clock.runner("b", 2.0)}
    in_turns(runners, rounds=3, turn=0, pause=0, alternate=False)
    assert clock.called == ["a", "b"] * 3
    assert not clock.pauses


def test_figures_are_medians_and_ratios_are_of_rounds() -> None:
    own = Times(((1.0, 1.0, 9.0), (10.0,), (2.0, 2.0)))
    other = Times(((2.0,), (40.0, 40.0, 0.5), (6.0,)))
    assert own.medians == [1.0, 10.0, 2.0]
    assert (own.median, other.median) == (2.0, 6.0)
    assert other.ratios(own) == [2.0, 4.0, 3.0]
    assert other.over(own) == 3.0
    assert own.calls == [1.0, 1.0, 9.0, 10.0, 2.0, 2.0]
