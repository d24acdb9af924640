"""Several callers of one model at once, as a server has them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait

from layercc.timing import Turn, one_by_one

#: Seconds that a caller waits for the others to be ready.
_PATIENCE = 600.0


class Streams:
    """Callers in threads of their own, each of which calls its runner over and over; a single one
    calls from the thread that takes the turn.

    A caller has the next call under way as soon as the last one is done (a closed loop, as in
    trtexec and benchmark_app). Threads stay the same between turns: runtimes keep pools for each.
    """

    def __init__(self, runners: Sequence[Callable[[], object]]) -> None:
        self._runners = list(runners)
        self._ready = threading.Barrier(len(runners))
        self._pool = ThreadPoolExecutor(len(runners), "stream")

    def take(self, seconds: float) -> Turn:
        """A turn: all begin together and go on for so long, each for one call at least.

        Its seconds are those from the first begin to the last end. Raises what a runner raises,
        when all are done.
        """
        if len(self._runners) == 1:
            return one_by_one(self._runners[0], seconds)
        running = [self._pool.submit(self._call, run, seconds) for run in self._runners]
        wait(running)
        found = [one.result() for one in running]
        begun = min(begin for begin, _ in found)
        ended = max(begin + turn.seconds for begin, turn in found)
        return Turn(tuple(call for _, turn in found for call in turn.calls), ended - begun)

    def _call(self, run: Callable[[], object], seconds: float) -> tuple[float, Turn]:
        """When the caller began, and its part of the turn."""
        self._ready.wait(_PATIENCE)  # all are here, so each has a thread of its own
        return time.perf_counter(), one_by_one(run, seconds)

    def close(self) -> None:
        """Ends the threads."""
        self._pool.shutdown()
