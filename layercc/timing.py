"""Measuring how long calls take, side by side.

Runners take turns in short rounds, so that a change of clock speed or of load meets all alike; a
pause before each turn lets the threads of the one before go to sleep. Figures are medians, and
ratios are taken within rounds.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

TURN_SECONDS = 0.1
PAUSE_SECONDS = 0.02
MIN_ROUNDS = 7

R = TypeVar("R")


@dataclass(frozen=True)
class Turn:
    """Seconds of the calls of one turn, and of the turn."""

    calls: tuple[float, ...]
    seconds: float


@dataclass(frozen=True)
class Times:
    """Seconds of single calls of one runner, by the rounds in which it had its turns; seconds of
    the turns, where they were taken."""

    rounds: tuple[tuple[float, ...], ...]
    turns: tuple[float, ...] = ()

    @property
    def calls(self) -> list[float]:
        """Those of all rounds."""
        return [seconds for calls in self.rounds for seconds in calls]

    @property
    def medians(self) -> list[float]:
        """Of each round."""
        return [float(np.median(calls)) for calls in self.rounds]

    @property
    def median(self) -> float:
        """The median of the rounds' medians."""
        return float(np.median(self.medians))

    @property
    def rates(self) -> list[float]:
        """Calls a second, of each round: more than one call may be under way at once."""
        return [len(calls) / s for calls, s in zip(self.rounds, self.turns, strict=True)]

    def ratios(self, other: Times) -> list[float]:
        """The medians over another runner's, round by round: a drift of the machine's speed meets
        both sides alike."""
        return [float(ratio) for ratio in np.divide(self.medians, other.medians)]

    def over(self, other: Times) -> float:
        """The median of the rounds' `ratios`."""
        return float(np.median(self.ratios(other)))


def one_by_one(run: Callable[[], object], seconds: float) -> Turn:
    """A turn of one caller: calls for so long, and one at least."""
    calls: list[float] = []
    begun = ended = time.perf_counter()
    while not calls or ended - begun < seconds:
        start = time.perf_counter()
        run()
        ended = time.perf_counter()
        calls.append(ended - start)
    return Turn(tuple(calls), ended - begun)


def in_turns(
    runners: Mapping[str, R],
    seconds: float = 0.0,
    *,
    calls: int = 0,
    rounds: int = MIN_ROUNDS,
    turn: float = TURN_SECONDS,
    pause: float = PAUSE_SECONDS,
    alternate: bool = True,
    take: Callable[[R, float], Turn] = one_by_one,  # type: ignore[assignment]
) -> dict[str, Times]:
    """The times of each runner, until each has had `seconds` of measured turns, `rounds` rounds and
    `calls` calls.

    In its turn a runner is called for `turn` seconds, and once at least; `take` does so. Behind a
    pause, one call more, which is not measured, wakes threads and warms caches. The order of turns
    alternates, so that none is always measured after the same other, unless `alternate` is false.
    """
    found: dict[str, list[Turn]] = {name: [] for name in runners}

    def missing(turns: list[Turn]) -> bool:
        return (
            len(turns) < rounds
            or sum(one.seconds for one in turns) < seconds
            or sum(len(one.calls) for one in turns) < calls
        )

    count = 0
    while any(map(missing, found.values())):
        for name in list(runners)[:: -1 if alternate and count % 2 else 1]:
            run = runners[name]
            if pause:
                time.sleep(pause)
                take(run, 0.0)
            found[name].append(take(run, turn))
        count += 1
    return {
        name: Times(tuple(one.calls for one in turns), tuple(one.seconds for one in turns))
        for name, turns in found.items()
    }
