"""Profiles a model: many runs, recorded ones and others in turns.

The times of calls are means over the middle third of the recorded runs, by what these took as a
whole. Unlike medians, these add up; and a run in which the machine was busy elsewhere does not
count.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from layercc.limits import Limits
from layercc.profiling.groups import CallRow
from layercc.profiling.layers import layer_of
from layercc.profiling.profile import Profile
from layercc.recording import CallInfo, Recording
from layercc.timing import PAUSE_SECONDS, Times, in_turns

_TURN_SECONDS = 0.05
#: Recordings of a turn that are kept, more or less: more would say little that is new.
_KEPT = 100
#: A model is slow, and run a few times only, if it runs for less often than that in the time given.
_SLOW = 24
#: Rounds, and the standard error of a median over them, at which no more runs are needed.
_ENOUGH_ROUNDS, _ENOUGH = 8, 0.002


@dataclass(frozen=True)
class Subject:
    """What is profiled: three ways to run it, and facts of it.

    `call` is what a user writes; `plain` runs the plan that it comes to, and `record` does so
    recorded. `layers`: see `layercc.profiling.layers.layer_of`. `limits` are the machine's,
    None if they are not known.
    """

    call: Callable[[], object]
    plain: Callable[[], object]
    record: Callable[[], Recording]
    graph: str
    layers: Mapping[str, str]
    device: str
    threads: int
    inputs: Mapping[str, tuple[int, ...]]
    limits: Limits | None = None


def measure(subject: Subject, seconds: float) -> Profile:
    """A profile from about so many seconds of runs. Raises what the runs raise, ValueError for
    seconds that are not positive."""
    if not seconds > 0:
        raise ValueError(f"seconds={seconds}: a positive number would fit")
    subject.record()  # makes the table, and the first time compiles the trampolines
    begun = time.perf_counter()
    subject.plain()
    once = time.perf_counter() - begun
    keep_each = max(int(_TURN_SECONDS / max(once, 1e-9) / _KEPT), 1)
    kept: list[Recording] = []
    runs = 0

    def recorded() -> None:
        nonlocal runs
        recording = subject.record()
        if runs % keep_each == 0:
            kept.append(recording)
        runs += 1

    runners = {"call": subject.call, "plain": subject.plain, "recorded": recorded}
    turns: dict[str, list[tuple[float, ...]]] = {name: [] for name in runners}
    slow = once > seconds / _SLOW
    while True:
        found = in_turns(
            runners,
            rounds=1 if slow else 2,
            turn=0 if slow else _TURN_SECONDS,
            pause=0 if slow else PAUSE_SECONDS,
        )
        for name, times in found.items():
            turns[name] += times.rounds
        all_times = {name: Times(tuple(rounds)) for name, rounds in turns.items()}
        if time.perf_counter() - begun >= seconds or all(map(_is_settled, all_times.values())):
            break
    call, plain = (float(np.median(all_times[name].calls)) for name in ("call", "plain"))
    around = max(call - plain, 0.0)
    return _profile(subject, kept, call, around, runs)


def _is_settled(times: Times) -> bool:
    """Whether the median over rounds is as good as known."""
    medians = times.medians
    if len(medians) < _ENOUGH_ROUNDS:
        return False
    deviation = 1.4826 * float(np.median(np.abs(np.subtract(medians, times.median))))
    return deviation / len(medians) ** 0.5 < _ENOUGH * times.median


def _profile(
    subject: Subject, kept: Sequence[Recording], call_seconds: float, around: float, runs: int
) -> Profile:
    calls = _usual_calls(kept)
    alike = sorted(
        (recording for recording in kept if recording.calls == calls),
        key=lambda recording: recording.seconds,
    )
    times = [_call_times(recording, len(calls)) for recording in alike]
    middle = slice(len(alike) // 3, len(alike) - len(alike) // 3)
    starts, lengths, busy = (np.mean(each, axis=0) for each in zip(*times[middle], strict=True))
    totals = [recording.seconds for recording in alike[middle]]
    nine_of_ten = np.quantile([length for _, length, _ in times], 0.9, axis=0)
    typical = alike[len(alike) // 2]
    threads = max(subject.threads, int(typical.events["thread"].max(initial=0)) + 1)
    rows = [
        CallRow(
            call,
            layer_of(call.sources[0] if call.sources else call.node, subject.layers) or "outputs",
            float(starts[index]),
            float(lengths[index]),
            float(nine_of_ten[index]),
            min(float(busy[index] / (threads * lengths[index])), 1.0) if lengths[index] else 1.0,
            None if subject.limits is None else _least(subject.limits, call),
        )
        for index, call in enumerate(calls)
    ]
    return Profile(
        subject.graph,
        subject.device,
        subject.threads,
        dict(subject.inputs),
        call_seconds,
        around,
        float(np.mean(totals) - lengths.sum()),
        runs,
        rows,
        typical.events,
        [replace(each, name=rows[each.first].layer) for each in typical.memory],
        typical.arena_bytes,
        typical.constant_bytes,
        subject.limits,
    )


def _usual_calls(recordings: Sequence[Recording]) -> tuple[CallInfo, ...]:
    """The calls that most runs have. Values may decide which there are, and random ones differ from
    run to run; but mostly they are the same object in all recordings."""
    if len({id(recording.calls) for recording in recordings}) == 1:
        return recordings[0].calls
    (calls, _), *_ = Counter(recording.calls for recording in recordings).most_common(1)
    return calls


def _least(limits: Limits, call: CallInfo) -> float | None:
    """The least seconds that a call could take; None where nothing is known of its work."""
    if not call.flops and not call.bytes:
        return None
    level = limits.nearest_level(call.bytes)
    return limits.seconds(call.flops, call.bytes, call.dtype or "f32", level)


def _call_times(recording: Recording, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each call: when it began, how long it took, and how long its tasks took together."""
    events = recording.events
    starts, lengths, busy = np.full(count, np.inf), np.zeros(count), np.zeros(count)
    if not len(events):
        return np.zeros(count), lengths, busy
    call, visit = events["call"], events["visit"]
    new = (np.diff(call, prepend=-1) != 0) | (np.diff(visit, prepend=-1) != 0)
    first = np.flatnonzero(new)
    begins = np.minimum.reduceat(events["start"], first)
    ends = np.maximum.reduceat(events["end"], first)
    np.add.at(lengths, call[first], ends - begins)
    np.minimum.at(starts, call[first], begins)
    work = (events["end"] - events["start"]) * (events["tasks"] / events["timed"])
    np.add.at(busy, call, work)
    return np.where(np.isinf(starts), 0.0, starts), lengths, busy
