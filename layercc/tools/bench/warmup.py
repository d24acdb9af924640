"""Calling a model until its times are steady."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from layercc.statistics import LEAST_BATCHES, warm_up_calls

#: Calls go on for so long at least: clocks and caches settle in tenths of a second.
LEAST_SECONDS = 0.2
#: Whether times are steady is looked at again when there are this many times as many.
_GROWTH = 1.25


@dataclass(frozen=True, slots=True)
class WarmUp:
    """What was called before measuring: `made` calls in `seconds`.

    `calls`: how many of them, from the first one, differ from those behind (`warm_up_calls`); None
    where times still changed at the end, or where so few calls cannot tell.
    """

    made: int
    seconds: float
    calls: int | None


def warm_up(run: Callable[[], object], most: float, calls: int | None = None) -> WarmUp:
    """Calls until times are steady, for LEAST_SECONDS at least and `most` seconds at most; or just
    `calls` times, once at least."""
    times: list[float] = []
    check, spent = LEAST_BATCHES, 0.0
    while True:
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
        spent += times[-1]
        if calls is not None:
            if len(times) >= calls:
                return WarmUp(len(times), spent, warm_up_calls(times))
            continue
        if len(times) >= check and spent >= LEAST_SECONDS:
            warming = warm_up_calls(times)
            if warming is not None:
                return WarmUp(len(times), spent, warming)
            check = int(len(times) * _GROWTH) + 1
        if spent >= most:
            return WarmUp(len(times), spent, warm_up_calls(times))
