"""A profile in the trace event format of Chrome's about:tracing, which Perfetto opens too.

The format is that of the document "Trace Event Format" (Google, 2016): complete events ("X") with
microseconds, metadata ("M") that names processes and threads, counters ("C").
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from layercc.profiling.groups import CallRow
    from layercc.profiling.profile import Profile

_PROCESS = 1
#: Rows are threads to the format: the calls as a whole, then the threads from this number on.
_CALLS, _FIRST_THREAD = 1, 2


def chrome_trace(profile: Profile) -> dict[str, Any]:
    """The trace as JSON data: a row for the calls, one for each thread with the tasks that it ran,
    and the memory that holds values."""
    events = profile.events
    threads = sorted({0, *events["thread"].tolist()})
    rows = {_CALLS: "calls", **{_FIRST_THREAD + thread: _name(thread) for thread in threads}}
    made: list[dict[str, Any]] = [
        _metadata("process_name", 0, {"name": f"layercc {profile.graph}"})
    ]
    for row, name in rows.items():
        made += [
            _metadata("thread_name", row, {"name": name}),
            _metadata("thread_sort_index", row, {"sort_index": row}),
        ]
    begins = _nanoseconds(events["start"])
    ends = _nanoseconds(events["end"])
    for first, behind in _visits(events):
        row = profile.calls[events["call"][first]]
        start, end = begins[first:behind].min(), ends[first:behind].max()
        made.append(_complete(row, _CALLS, start, end, _arguments(row)))
    for event, start, end in zip(events, begins, ends, strict=True):
        row = profile.calls[event["call"]]
        made.append(
            _complete(
                row,
                _FIRST_THREAD + int(event["thread"]),
                start,
                end,
                {"kernel": row.call.kernel, "tasks": int(event["tasks"])},
            )
        )
    alive = profile.alive_bytes() if profile.memory else []
    for first, _ in _visits(events) if alive else []:
        counted = {"bytes": alive[events["call"][first]]}
        made.append(_event("C", "arena", 0, ts=_micro(begins[first]), args=counted))
    return {
        "traceEvents": made,
        "displayTimeUnit": "ms",
        "otherData": {"graph": profile.graph, "device": profile.device},
    }


def _name(thread: int) -> str:
    return "caller" if thread == 0 else f"worker {thread}"


def _event(phase: str, name: str, row: int, **fields: Any) -> dict[str, Any]:
    return {"ph": phase, "name": name, "pid": _PROCESS, "tid": row, **fields}


def _metadata(name: str, row: int, arguments: dict[str, Any]) -> dict[str, Any]:
    return _event("M", name, row, args=arguments)


def _complete(
    row: CallRow, thread: int, start: int, end: int, arguments: dict[str, Any]
) -> dict[str, Any]:
    times = {"ts": _micro(start), "dur": _micro(end - start)}
    return _event("X", row.layer, thread, cat=row.call.kind or "run", **times, args=arguments)


def _arguments(row: CallRow) -> dict[str, Any]:
    call = row.call
    found = {
        "node": call.node,
        "op": call.op,
        "kernel": call.kernel,
        "algorithm": call.algorithm,
        "tasks": call.tasks,
        "flops": call.flops,
        "bytes": call.bytes,
        "sources": ", ".join(call.sources),
    }
    return {name: value for name, value in found.items() if value}


def _visits(events: np.ndarray) -> list[tuple[int, int]]:
    """Where the events of each visit to a call begin and end, in the order of time."""
    if not len(events):
        return []
    new = np.diff(events["call"], prepend=-1) != 0
    new |= np.diff(events["visit"], prepend=-1) != 0
    bounds = [*np.flatnonzero(new).tolist(), len(events)]
    return sorted(pairwise(bounds), key=lambda span: events["start"][span[0] : span[1]].min())


def _nanoseconds(seconds: np.ndarray) -> np.ndarray:
    """Rounded, so that what does not overlap in time does not in the trace."""
    return np.rint(seconds * 1e9).astype(np.int64)


def _micro(nanoseconds: int) -> float:
    return int(nanoseconds) / 1000
