"""Records runs of a plan: which task ran when, on which thread.

A recorded run walks a table like that of the plan, with trampolines (`layercc.cpu.trampoline`) in
the kernels' places. The counter that they read is converted to seconds by comparing it with
`time.perf_counter_ns` now and then.
"""

from __future__ import annotations

import ctypes
import os
import platform
import threading
import time
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path

import numpy as np

from layercc.cpu.isa import host_isa
from layercc.cpu.runtime.native import LoadedKernel, default_kernels
from layercc.cpu.trampoline import (
    ARGUMENTS,
    BLOCK_WORDS,
    END,
    FUNCTION,
    MASK,
    RECORD_WORDS,
    RECORDS,
    SHIFT,
    STACK,
    START,
    TASKS,
    record_call,
    record_task,
)
from layercc.recording import EVENT
from layercc.runtime.arenas import address_of
from layercc.runtime.control import TABLE_COLUMNS
from layercc.runtime.table import Instance

#: Records of a run, more or less: of a call with very many tasks, some are timed and stand for
#: their neighbours, so that a recording stays below some dozens of megabytes.
_MOST_RECORDS = 1 << 20
#: Of a call, so many tasks are timed at least, if it has them.
_LEAST_RECORDS = 1 << 8

#: Frames of one thread, called from the executor, lie closer together than this; stacks do not.
_STACK_BYTES = 1 << 14

_CALL_TYPE = ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_int64)
_CALIBRATION_NANOSECONDS = 20_000_000
_READINGS = 9


class Recorder:
    """A table of calls (see `layercc.cpu.executor`) with trampolines, and room for what they write.

    `shared`: whether several threads may run it; if not, a call is one event.
    """

    def __init__(self, table: np.ndarray, shared: bool) -> None:
        self._clock = clock()
        rows, tasks = len(table), table[:, 1]
        whole = (tasks == 1) | (table[:, 3] != 0) | (not shared)
        shifts = np.where(whole, 0, _shifts(tasks))
        counts = np.where(whole, 1, -(-tasks >> shifts))  # of records
        # A mark before the calls, and one behind them.
        firsts = np.cumsum([1, *counts])
        self._records = np.zeros((firsts[-1] + 1, RECORD_WORDS), np.int64)
        self._blocks = blocks = np.zeros((rows + 2, BLOCK_WORDS), np.int64)
        blocks[:, RECORDS] = address_of(self._records)
        blocks[1:, RECORDS] += 8 * RECORD_WORDS * firsts
        blocks[1:-1, FUNCTION] = table[:, 0]
        blocks[1:-1, ARGUMENTS] = table[:, 2]
        assert TASKS == MASK  # the one trampoline's word, or the other's
        blocks[1:-1, MASK] = np.where(whole, tasks, (1 << shifts) - 1)
        blocks[1:-1, SHIFT] = shifts
        self.rows = rows + 2
        self._table = np.zeros((self.rows, TABLE_COLUMNS), np.int64)
        self.table_address = address_of(self._table)
        self._table[:] = self._clock.call.address, 1, 0, 1
        self._table[:, 2] = address_of(blocks) + blocks.strides[0] * np.arange(self.rows)
        divided = 1 + np.flatnonzero(~whole)
        self._table[divided, 0] = self._clock.task.address
        self._table[divided, 1] = tasks[~whole]
        self._table[divided, 3] = 0
        self._events = np.zeros(firsts[-1] - 1, EVENT)
        self._events["call"] = np.repeat(np.arange(rows), counts)
        self._events["timed"] = np.repeat(np.where(whole, tasks, 1), counts)
        self._events["tasks"] = np.repeat(np.where(whole, tasks, 1 << shifts), counts)
        self._events["tasks"][firsts[1:] - 2] = tasks - np.where(whole, 0, counts - 1 << shifts)

    def recorded(self) -> Callable[[], np.ndarray]:
        """What gives the events (`layercc.recording.EVENT`) of the last run of the table."""
        return partial(self._events_of, self._records.copy())

    def _events_of(self, records: np.ndarray) -> np.ndarray:
        """Seconds count from the first mark."""
        calls, begin = records[1:-1], records[0, START]
        events = self._events.copy()
        rate = self._clock.seconds_per_tick()
        events["start"] = (calls[:, START] - begin) * rate
        events["end"] = (calls[:, END] - begin) * rate
        events["thread"] = _threads.numbers(calls[:, STACK], int(records[0, STACK]))
        return events


def recorded_run(
    instance: Instance, inputs: Sequence[np.ndarray], threads: int
) -> tuple[list[np.ndarray], float, Callable[[], np.ndarray]]:
    """A run of an instance; the outputs, when the run ended, and `read` of a `Recording`.

    The table with trampolines stays, so that the next recorded run finds it. Raises as the run.
    """
    shared = threads > 1
    recorder = instance.recorders.get(shared)
    if recorder is None:
        recorder = Recorder(instance.table[: instance.rows], shared)
        instance.recorders[shared] = recorder
    own = instance.table_address, instance.rows
    instance.table_address, instance.rows = recorder.table_address, recorder.rows
    try:
        outputs = instance.run(inputs, threads)
    finally:
        instance.table_address, instance.rows = own
    ended = time.perf_counter()
    return outputs, ended, recorder.recorded()


def _shifts(tasks: np.ndarray) -> np.ndarray:
    """For each call, the logarithm of how many tasks one record stands for."""
    most = max(_MOST_RECORDS // max(len(tasks), 1), _LEAST_RECORDS)
    stands_for = -(-tasks // most)
    return np.ceil(np.log2(np.maximum(stands_for, 1))).astype(np.int64)


class Clock:
    """The counter that trampolines read. `call` and `task` are they."""

    def __init__(self, name: str) -> None:
        kernels = default_kernels(host_isa())
        keys = record_call.key(name), record_task.key(name)
        loaded = kernels.prepare(keys)
        self.call: LoadedKernel = loaded[keys[0]]
        self.task: LoadedKernel = loaded[keys[1]]
        self._take = _CALL_TYPE(self.call.address)
        self._rate = 1e-9 if name == "system" else 0.0
        self._first = self._reading()

    def _reading(self) -> tuple[int, int]:
        """The counter, and nanoseconds of `time.perf_counter_ns`, at the same moment."""
        block = np.zeros(BLOCK_WORDS, np.int64)
        record = np.zeros(RECORD_WORDS, np.int64)
        block[RECORDS] = address_of(record)
        best: tuple[int, int, int] | None = None
        for _ in range(_READINGS):
            before = time.perf_counter_ns()
            self._take(0, address_of(block))
            took = time.perf_counter_ns() - before
            if best is None or took < best[0]:
                best = took, int(record[START]), before + took // 2
        assert best is not None
        return best[1:]

    def seconds_per_tick(self) -> float:
        """How long the counter takes for a step; some milliseconds the first time it is asked."""
        if not self._rate:
            ticks, nanoseconds = self._first
            left = nanoseconds + _CALIBRATION_NANOSECONDS - time.perf_counter_ns()
            if left > 0:
                time.sleep(left * 1e-9)
            later_ticks, later = self._reading()
            self._rate = (later - nanoseconds) * 1e-9 / (later_ticks - ticks)
        return self._rate


@cache
def clock() -> Clock:
    """The clock of this process."""
    return Clock("counter" if counter_is_steady() else "system")


def counter_is_steady() -> bool:
    """Whether the processor's counter runs at one speed, the same on all its cores."""
    machine = platform.machine().lower()
    if machine in ("aarch64", "arm64"):
        return True
    if machine not in ("x86_64", "amd64"):
        return False
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:  # not Linux: all such processors of the last fifteen years have
        return True
    flags = next((line.split() for line in lines if line.startswith("flags")), [])
    return "constant_tsc" in flags and "nonstop_tsc" in flags


class _Threads:
    """Small numbers for the threads of this process, by where their stacks lie.

    A worker calls kernels from the same depth all its life. Numbers of workers stay as they are.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._workers: list[int] = []

    def numbers(self, places: np.ndarray, own: int) -> np.ndarray | int:
        """The numbers of the threads with these places in their stacks; 0 for that with `own`."""
        others = np.abs(places - own) >= _STACK_BYTES
        if not others.any():
            return 0
        numbers = np.zeros(len(places), np.int32)
        for place in np.unique(places[others]).tolist():
            numbers[others & (places == place)] = self._number(place)
        return numbers

    def _number(self, place: int) -> int:
        with self._lock:
            for number, known in enumerate(self._workers, 1):
                if abs(place - known) < _STACK_BYTES:
                    return number
            self._workers.append(place)
            return len(self._workers)


_threads = _Threads()


def _after_fork_in_child() -> None:
    global _threads
    _threads = _Threads()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
