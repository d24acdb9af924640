"""Rows of a profile: calls, and groups of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from layercc.recording import CallInfo


@dataclass(frozen=True)
class CallRow:
    """A kernel call and its times, in seconds: means over the middle third of the recorded runs
    (`layercc.profiling.measure`).

    `start`: from the run's begin to the call's first task. `seconds`: from there to the end of its
    last task; where a call runs several times (in a loop), the sum. `p90`: the time that nine of
    ten runs keep to. `busy`: the part of the threads' time, meanwhile, that went into its tasks: 1
    if all worked from the first moment to the last. `limit`: the least seconds that the machine
    could take, None if that is not known.
    """

    call: CallInfo
    layer: str
    start: float
    seconds: float
    p90: float
    busy: float
    limit: float | None


@dataclass(frozen=True)
class Group:
    """Calls that belong together, and what they take together."""

    name: str
    calls: int
    seconds: float
    flops: int
    bytes: int
    limit: float | None


def ratio(least: float | None, seconds: float) -> float | None:
    """The least time over the time taken; None where either is not known."""
    return None if least is None or not seconds else least / seconds


def grouped(rows: Iterable[CallRow], name_of: Callable[[CallRow], str]) -> list[Group]:
    """Rows that have the same name together, in the order of the first of each."""
    together: dict[str, list[CallRow]] = {}
    for row in rows:
        together.setdefault(name_of(row), []).append(row)
    return [
        Group(
            name,
            len(members),
            sum(row.seconds for row in members),
            sum(row.call.flops for row in members),
            sum(row.call.bytes for row in members),
            _sum_known(row.limit for row in members),
        )
        for name, members in together.items()
    ]


def _sum_known(limits: Iterable[float | None]) -> float | None:
    known = list(limits)
    return None if None in known else sum(limit for limit in known if limit is not None)
