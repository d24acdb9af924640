"""Measuring how long calls take, side by side.

Runners take turns in short rounds, so that a change of clock speed or of load meets all alike; a
pause before each turn lets the threads of the one before go to sleep. Figures are medians, and
ratios are taken within rounds.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

TURN_SECONDS = 0.1
PAUSE_SECONDS = 0.02
MIN_ROUNDS = 7


@dataclass(frozen=True)
class Times:
    """Seconds of single calls of one runner, by the rounds in which it had its turns."""

    rounds: tuple[tuple[float, ...], ...]

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

    def over(self, other: Times) -> float:
        """The median of the rounds' ratios to another runner's times in the same rounds: a drift of
        the machine's speed meets both sides alike."""
        return float(np.median(np.divide(self.medians, other.medians)))


def in_turns(
    runners: Mapping[str, Callable[[], object]],
    seconds: float = 0.0,
    *,
    rounds: int = MIN_ROUNDS,
    turn: float = TURN_SECONDS,
    pause: float = PAUSE_SECONDS,
    alternate: bool = True,
) -> dict[str, Times]:
    """The times of each runner, until each has had `seconds` of measured turns and `rounds` rounds.

    In its turn a runner is called for `turn` seconds, and once at least. Behind a pause, one call
    more, which is not measured, wakes threads and warms caches. The order of turns alternates, so
    that none is always measured after the same other, unless `alternate` is false.
    """
    found: dict[str, list[tuple[float, ...]]] = {name: [] for name in runners}
    spent = dict.fromkeys(runners, 0.0)
    count = 0
    while count < rounds or min(spent.values(), default=seconds) < seconds:
        for name in list(runners)[:: -1 if alternate and count % 2 else 1]:
            run = runners[name]
            if pause:
                time.sleep(pause)
                run()
            calls: list[float] = []
            begun = ended = time.perf_counter()
            while not calls or ended - begun < turn:
                start = time.perf_counter()
                run()
                ended = time.perf_counter()
                calls.append(ended - start)
            spent[name] += ended - begun
            found[name].append(tuple(calls))
        count += 1
    return {name: Times(tuple(rounds_of)) for name, rounds_of in found.items()}
