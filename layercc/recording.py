"""What was recorded of one run: its kernel calls, and when each task ran on which thread."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

#: An event: some tasks of one call on one thread, one after another. `call` is a position in
#: `Recording.calls`; `visit` tells runs of a call apart, where it runs more than once (in a loop);
#: `thread` is 0 for the caller's own; `start` and `end` are seconds from the run's begin.
EVENT = np.dtype(
    [
        ("call", np.int32),
        ("visit", np.int32),
        ("thread", np.int32),
        ("tasks", np.int32),
        ("start", np.float64),
        ("end", np.float64),
    ]
)


@dataclass(frozen=True)
class CallInfo:
    """One call of a kernel, as far as it is the same in all runs of a plan.

    `node` is that of the optimized graph, `sources` are the nodes of the model as given that it
    computes, by name, the most important first; none where that is not known. `kind` is the family
    of the job that it is part of (a file of `layercc/jobs`). `flops` are operations, a multiply-add
    counted as two; `bytes` those of all tensors that the call reads and writes, each counted once.
    """

    node: str
    op: str = ""
    kind: str = ""
    kernel: str = ""
    algorithm: str = ""
    shape_class: str = ""
    dtype: str = ""
    tasks: int = 1
    flops: int = 0
    bytes: int = 0
    sources: tuple[str, ...] = ()


@dataclass(frozen=True)
class LiveRange:
    """A buffer of the arena: its place, in bytes, and the first and last call that mention it.

    `name` is the node whose call is the first.
    """

    name: str
    bytes: int
    offset: int
    first: int
    last: int


@dataclass(frozen=True, eq=False)
class Recording:
    """One run. `events` is an array of `EVENT`, in the order of the calls.

    `begun` is when the run began, on the clock of `time.perf_counter`; `seconds` what it took.
    Calls and memory of the same plan are the same objects in all its recordings.
    """

    events: np.ndarray
    begun: float
    seconds: float
    calls: tuple[CallInfo, ...]
    memory: tuple[LiveRange, ...] = ()
    arena_bytes: int = 0
    constant_bytes: int = 0


def event(
    call: int, start: float, end: float, *, visit: int = 0, thread: int = 0, tasks: int = 1
) -> np.ndarray:
    """An array of one event."""
    return np.array([(call, visit, thread, tasks, start, end)], EVENT)


@dataclass
class Collector:
    """Puts together the recording of a run that consists of others, and of steps of its own.

    What is recorded of the same calls several times (the body of a loop) are visits to these calls.
    """

    begun: float
    calls: list[CallInfo] = field(default_factory=list)
    _events: list[np.ndarray] = field(default_factory=list)
    _memory: list[LiveRange] = field(default_factory=list)
    _arena_bytes: int = 0
    _constant_bytes: int = 0
    _first: dict[tuple[CallInfo, ...], int] = field(default_factory=dict)
    _visits: dict[int, int] = field(default_factory=dict)  # by first call

    def add(self, part: Recording) -> None:
        """Adds a run that was a part of this one."""
        if not part.calls:
            return
        first = self._first.get(part.calls)
        if first is None:
            first = self._first[part.calls] = len(self.calls)
            self.calls += part.calls
            self._memory += [
                replace(
                    each,
                    offset=each.offset + self._arena_bytes,
                    first=each.first + first,
                    last=each.last + first,
                )
                for each in part.memory
            ]
            self._arena_bytes += part.arena_bytes
            self._constant_bytes += part.constant_bytes
        visit = self._visits.get(first, 0)
        events = part.events.copy()
        events["call"] += first
        events["visit"] += visit
        later = part.begun - self.begun
        events["start"] += later
        events["end"] += later
        self._visits[first] = int(events["visit"].max(initial=visit - 1)) + 1
        self._events.append(events)

    def step(self, call: CallInfo, start: float, end: float) -> None:
        """Adds what was done from `start` to `end`, on the clock of `time.perf_counter`."""
        events = event(0, 0.0, end - start)
        self.add(Recording(events, start, end - start, (call,)))

    def finish(self, end: float) -> Recording:
        """The recording of all; the run ends at `end`."""
        events: Sequence[np.ndarray] = self._events or [np.empty(0, EVENT)]
        together = np.concatenate(events)
        order = np.lexsort((together["visit"], together["call"]))
        return Recording(
            together[order],
            self.begun,
            end - self.begun,
            tuple(self.calls),
            tuple(self._memory),
            self._arena_bytes,
            self._constant_bytes,
        )
