"""Copies from global to shared memory that land later: cp.async."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tests.cuda.ptx.memory import Bytes
from tests.cuda.ptx.parser import Instruction, PtxError

if TYPE_CHECKING:
    from tests.cuda.ptx.machine import _Machine

_SIZES = {"ca": (4, 8, 16), "cg": (16,)}


@dataclass
class _Copy:
    """One instruction of several threads: their groups, and [threads, width] places and bytes."""

    threads: np.ndarray
    groups: np.ndarray
    places: np.ndarray
    data: np.ndarray

    def of(self, chosen: np.ndarray) -> _Copy:
        return _Copy(*(each[chosen] for each in vars(self).values()))


class AsyncCopies:
    """Copies that have not landed. They land when their thread waits for their group, not before;
    then that thread has written the bytes."""

    def __init__(self, shared: Bytes, count: int) -> None:
        self._shared = shared
        self._committed = np.zeros(count, np.int64)  # groups, by thread
        self._pending: list[_Copy] = []

    def begin(self, threads: np.ndarray, places: np.ndarray, data: np.ndarray) -> None:
        self._pending.append(_Copy(threads, self._committed[threads], places, data))

    def commit(self, threads: np.ndarray) -> None:
        self._committed[threads] += 1

    def wait(self, threads: np.ndarray, but: int, numbers: np.ndarray) -> None:
        """All groups of these threads land but the last `but`."""
        waits = np.zeros(len(self._committed), bool)
        waits[threads] = True
        left = []
        for copy in self._pending:
            lands = waits[copy.threads] & (copy.groups < self._committed[copy.threads] - but)
            if lands.any():
                landing = copy.of(lands)
                self._shared.land(landing.places, landing.data, numbers[landing.threads])
            if not lands.all():
                left.append(copy.of(~lands))
        self._pending = left

    def end(self, threads: np.ndarray, text: str) -> None:
        """Raises PtxError where threads end before their copies have landed."""
        if any(np.isin(copy.threads, threads).any() for copy in self._pending):
            raise PtxError(f"copies that are not waited for: {text}")


def copy(machine: _Machine, each: Instruction, parts: list[str], active: np.ndarray) -> None:
    """cp.async, with or without the number of bytes to read, its commit_group and wait_group."""
    if parts == ["async", "commit_group"]:
        machine.copies.commit(active)
    elif parts == ["async", "wait_group"]:
        machine.copies.wait(active, int(each.operands[0]), machine.numbers)
    elif len(parts) == 4 and parts[0] == "async" and parts[2:] == ["shared", "global"]:
        _begin(machine, each, _SIZES.get(parts[1], ()), active)
    else:
        raise PtxError(f"instruction that is not known: {each.text}")


def _begin(
    machine: _Machine, each: Instruction, sizes: tuple[int, ...], active: np.ndarray
) -> None:
    target, source, size, *valid = each.operands
    width = int(size)
    if width not in sizes or len(valid) > 1:
        raise PtxError(f"instruction that is not known: {each.text}")
    read = machine.get(valid[0], "u32", active) if valid else np.uint32(width)
    read = np.broadcast_to(read, (len(active),))
    if (read > width).any():
        raise PtxError(f"more bytes than are copied: {each.text}")
    who = machine.numbers[active]
    if (machine.address(source, active) % width).any():
        raise PtxError(f"misaligned: {each.text}")
    data = np.zeros((len(active), width), np.uint8)
    for count in set(read.tolist()) - {0}:
        some = np.flatnonzero(read == count)
        at = machine.address(source, active[some])
        places = machine.memory.places(at, count, each.text)
        data[some, :count] = machine.memory.load(places, who[some], each.text)
    shared, places = machine.places(target, width, "shared", active, each.text)
    shared.begin(places, who, each.text)
    machine.copies.begin(active, places, data)


OPERATIONS: dict[str, Callable[..., None]] = {"cp": copy}
