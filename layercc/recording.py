"""What was recorded of one run: its kernel calls, and when each task ran on which thread."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property, partial

import numpy as np

#: An event: one task of a call, or several on one thread, one after another. `call` is a position
#: in `Recording.calls`; `visit` tells runs of a call apart, where it runs more than once (in a
#: loop); `thread` is 0 for the caller's own; `start` and `end` are seconds from the run's begin.
#: Of a call with very many tasks not all are timed: `timed` tasks, those from `start` to `end`,
#: stand for as many as `tasks`.
EVENT = np.dtype(
    [
        ("call", np.int32),
        ("visit", np.int32),
        ("thread", np.int32),
        ("tasks", np.int64),
        ("timed", np.int64),
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
    """One run.

    `begun` is when the run began, on the clock of `time.perf_counter`; `seconds` what it took.
    Calls and memory of the same plan are the same objects in all its recordings. `read` gives the
    events: what was written down is converted when somebody asks, not between runs.
    """

    read: Callable[[], np.ndarray]
    begun: float
    seconds: float
    calls: tuple[CallInfo, ...]
    memory: tuple[LiveRange, ...] = ()
    arena_bytes: int = 0
    constant_bytes: int = 0

    @cached_property
    def events(self) -> np.ndarray:
        """An array of `EVENT`, in the order of the calls, visits of one call in their order."""
        return self.read()

    @staticmethod
    def of_one_call(call: CallInfo, begun: float, seconds: float) -> Recording:
        """The recording of a run that is one call, on the caller's thread."""
        event = np.array([(0, 0, 0, call.tasks, call.tasks, 0.0, seconds)], EVENT)
        return Recording(lambda: event, begun, seconds, (call,))


class Collector:
    """Puts together the recording of a run that consists of others, and of steps of its own.

    What is recorded of the same calls several times (the body of a loop) are visits to these calls.
    """

    def __init__(self, begun: float) -> None:
        self.begun = begun
        self._calls: list[CallInfo] = []
        self._parts: list[tuple[int, Recording]] = []  # with their first calls
        self._memory: list[LiveRange] = []
        self._arena_bytes = 0
        self._constant_bytes = 0
        self._first: dict[tuple[CallInfo, ...], int] = {}

    def add(self, part: Recording) -> None:
        """Adds a run that was a part of this one."""
        first = self._first.get(part.calls)
        if first is None:
            first = self._first[part.calls] = len(self._calls)
            self._calls += part.calls
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
        self._parts.append((first, part))

    @contextmanager
    def step(self, call: CallInfo) -> Iterator[None]:
        """What is done inside, but for what is added meanwhile, is a call."""
        first = len(self._parts)
        begun = time.perf_counter()
        yield
        ended = time.perf_counter()
        for _, part in self._parts[first:]:
            self.add(Recording.of_one_call(call, begun, part.begun - begun))
            begun = part.begun + part.seconds
        self.add(Recording.of_one_call(call, begun, ended - begun))

    def finish(self, ended: float) -> Recording:
        """The recording of all; the run ended at `ended`."""
        return Recording(
            partial(_together, self.begun, self._parts),
            self.begun,
            ended - self.begun,
            tuple(self._calls),
            tuple(self._memory),
            self._arena_bytes,
            self._constant_bytes,
        )


def _together(begun: float, parts: Sequence[tuple[int, Recording]]) -> np.ndarray:
    """The events of parts of a run, with the first calls of each."""
    visits: dict[int, int] = {}
    found = [np.empty(0, EVENT)]
    for first, part in parts:
        events = part.events.copy()
        events["call"] += first
        events["start"] += part.begun - begun
        events["end"] += part.begun - begun
        events["visit"] += visits.get(first, 0)
        visits[first] = int(events["visit"].max(initial=-1)) + 1
        found.append(events)
    together = np.concatenate(found)
    return together[np.lexsort((together["start"], together["visit"], together["call"]))]
