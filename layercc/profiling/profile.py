"""The result of profiling: plain data, and how it reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from layercc.limits import Limits
from layercc.profiling.groups import CallRow, Group, grouped, ratio
from layercc.recording import LiveRange


@dataclass(frozen=True, eq=False)
class Profile:
    """Where the time of a model's runs goes.

    `seconds` is what `fn(x)` takes, the median of calls that are not recorded. `around` is the part
    of it before the plan for the inputs runs, and behind: inputs are looked at, and the plan is
    found. `between` is the part of a recorded run of the plan that is in no kernel call: before the
    first, between one and the next, and behind the last. `runs`: how many were recorded. `events`
    are those of one typical run: an array of `layercc.recording.EVENT`. `limits` are the machine's,
    None if they are not known.
    """

    graph: str
    device: str
    threads: int
    inputs: Mapping[str, tuple[int, ...]]
    seconds: float
    around: float
    between: float
    runs: int
    calls: Sequence[CallRow]
    events: np.ndarray
    memory: Sequence[LiveRange]
    arena_bytes: int
    constant_bytes: int
    limits: Limits | None = None

    @property
    def total(self) -> float:
        """All calls, what is between them, and what is around: `seconds`, as far as recording costs
        nothing."""
        return sum(row.seconds for row in self.calls) + self.between + self.around

    @property
    def accounted(self) -> float:
        """The sum of the calls' times over `seconds`."""
        return sum(row.seconds for row in self.calls) / self.seconds if self.seconds else 1.0

    @property
    def layers(self) -> list[Group]:
        """The calls of each layer, in the order in which layers begin."""
        return grouped(self.calls, lambda row: row.layer)

    @property
    def kinds(self) -> list[Group]:
        """The calls of each kind of work, the longest first."""
        found = grouped(self.calls, lambda row: row.call.kind)
        return sorted(found, key=lambda group: -group.seconds)

    def share(self, seconds: float) -> float:
        """Which part of `total` that is."""
        return seconds / self.total if self.total else 0.0

    def alive_bytes(self) -> list[int]:
        """The bytes of the arena that hold values during each call."""
        change = np.zeros(len(self.calls) + 1, np.int64)
        for each in self.memory:
            change[each.first] += each.bytes
            change[each.last + 1] -= each.bytes
        return np.cumsum(change)[:-1].tolist()

    def to_dict(self) -> dict[str, Any]:
        """JSON data; times in seconds, shares of `total`."""
        return {
            "graph": self.graph,
            "device": self.device,
            "threads": self.threads,
            "inputs": {name: list(shape) for name, shape in self.inputs.items()},
            "seconds": self.seconds,
            "around": self.around,
            "between": self.between,
            "total": self.total,
            "accounted": self.accounted,
            "runs": self.runs,
            "limits": None if self.limits is None else self.limits.to_dict(),
            "arena_bytes": self.arena_bytes,
            "constant_bytes": self.constant_bytes,
            "calls": [self._call_dict(row) for row in self.calls],
            "layers": [self._group_dict("layer", group) for group in self.layers],
            "kinds": [self._group_dict("kind", group) for group in self.kinds],
            "memory": [
                {
                    "name": each.name,
                    "bytes": each.bytes,
                    "offset": each.offset,
                    "first": each.first,
                    "last": each.last,
                }
                for each in self.memory
            ],
            "events": [
                {
                    "call": int(event["call"]),
                    "thread": int(event["thread"]),
                    "start": float(event["start"]),
                    "end": float(event["end"]),
                    "tasks": int(event["tasks"]),
                }
                for event in self.events
            ],
        }

    def _call_dict(self, row: CallRow) -> dict[str, Any]:
        call = row.call
        return {
            "node": call.node,
            "layer": row.layer,
            "sources": list(call.sources),
            "op": call.op,
            "kind": call.kind,
            "kernel": call.kernel,
            "algorithm": call.algorithm,
            "shape_class": call.shape_class,
            "dtype": call.dtype,
            "tasks": call.tasks,
            "start": row.start,
            "seconds": row.seconds,
            "p90": row.p90,
            "busy": row.busy,
            "flops": call.flops,
            "bytes": call.bytes,
            "limit_share": ratio(row.limit, row.seconds),
            "share": self.share(row.seconds),
        }

    def _group_dict(self, what: str, group: Group) -> dict[str, Any]:
        return {
            what: group.name,
            "calls": group.calls,
            "seconds": group.seconds,
            "share": self.share(group.seconds),
            "flops": group.flops,
            "bytes": group.bytes,
            "limit_share": ratio(group.limit, group.seconds),
        }

    def chrome_trace(self) -> dict[str, Any]:
        """The typical run in Chrome's trace event format, which Perfetto opens, as JSON data."""
        from layercc.profiling.trace import chrome_trace

        return chrome_trace(self)

    def table(self, by: str = "layer", top: int | None = None) -> str:
        """A table by `layer`, `kind` or `call`, as text; `top`: only the longest so many rows.

        Raises ValueError for another `by`.
        """
        from layercc.profiling.tables import plain

        return plain(self, by, top)

    def __str__(self) -> str:
        return self.table()
