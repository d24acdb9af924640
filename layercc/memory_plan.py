"""The memory plan: buffers of one arena, placed so that those alive at the same time never overlap.

Greedy with best fit, after Pisarchyk and Lee, "Efficient Memory Management for Deep Neural Net
Inference" (2020): one buffer after the other goes into the smallest gap between the placed buffers
that are alive with it. Which order is best depends on the graph, so several are tried until one
reaches the lower bound, the most bytes that are alive at once.

That takes a step for each pair of buffers that are alive together. Where those are too many
(thousands of values that are all read at the end), buffers are placed in the order in which calls
need them, as an allocator with a list of free blocks would: a logarithmic step each.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from layercc.buffers import ALIGNMENT, Buffer
from layercc.program import Program


@dataclass(slots=True, eq=False)
class _Item:
    """A buffer, the calls between which it is alive, and its bytes, rounded up."""

    buffer: Buffer
    first: int
    last: int
    size: int
    crowd: int = 0  # the most bytes alive at once while it is
    offset: int = -1
    others: list[_Item] = field(default_factory=list)  # that are alive together with it


#: Large buffers first; those of the most crowded calls first; long-lived first; as they come.
_ORDERS: tuple[Callable[[_Item], tuple[int, ...]], ...] = (
    lambda item: (-item.size, item.first),
    lambda item: (-item.crowd, -item.size, item.first),
    lambda item: (item.first - item.last, -item.size),
    lambda item: (item.first, -item.size),
)
#: Pairs of buffers alive together, for each buffer, up to which orders are compared; networks have
#: less than ten. And as many for all buffers together as are no matter.
_MOST_OTHERS = 32
_FEW_PAIRS = 1 << 16


def plan_memory(program: Program) -> None:
    """Sets the offset of every arena buffer, and `program.arena_bytes`."""
    items = _items(program)  # by first call
    alive = _alive_bytes(items, len(program.calls))
    if _find_others(items):
        _place_in_best_order(items, alive)
    else:
        _place_as_they_come(items)
    for item in items:
        item.buffer.offset = item.offset
    program.arena_bytes = _end(items)


def live_ranges(program: Program) -> list[tuple[Buffer, int, int]]:
    """Each buffer of the arena, with the first and the last call that mention it."""
    return [(item.buffer, item.first, item.last) for item in _items(program)]


def _place_in_best_order(items: list[_Item], alive: np.ndarray) -> None:
    """Tries orders until one takes no more than what is alive at once."""
    least = int(alive.max(initial=0))
    for item in items:
        item.crowd = int(alive[item.first : item.last + 1].max())
    best: list[int] = []
    best_total = -1
    for order in _ORDERS:
        _place(sorted(items, key=order))
        total = _end(items)
        if best_total < 0 or total < best_total:
            best_total = total
            best = [item.offset for item in items]
        if best_total == least:
            break
    for item, offset in zip(items, best, strict=True):
        item.offset = offset


def _end(items: Iterable[_Item]) -> int:
    return max((item.offset + item.size for item in items), default=0)


def _items(program: Program) -> list[_Item]:
    items: dict[int, _Item] = {}
    for index, call in enumerate(program.calls):
        for buffer in call.buffers():
            if buffer.space == "arena":
                size = -(-buffer.nbytes // ALIGNMENT) * ALIGNMENT
                found = items.setdefault(id(buffer), _Item(buffer, index, index, size))
                found.last = index
    return list(items.values())


def _alive_bytes(items: Sequence[_Item], n_calls: int) -> np.ndarray:
    """The bytes that are alive at each call."""
    change = np.zeros(n_calls + 1, np.int64)
    for item in items:
        change[item.first] += item.size
        change[item.last + 1] -= item.size
    return np.cumsum(change)[:n_calls]


def _find_others(items: Sequence[_Item]) -> bool:
    """Fills `others` of the items, which come by first call; gives up where they are too many."""
    most = max(_FEW_PAIRS, _MOST_OTHERS * len(items))
    alive: list[_Item] = []
    pairs = 0
    for item in items:
        alive = [other for other in alive if other.last >= item.first]
        pairs += len(alive)
        if pairs > most:
            return False
        item.others = list(alive)
        for other in alive:
            other.others.append(item)
        alive.append(item)
    return True


def _place(items: Iterable[_Item]) -> None:
    """Sets the offsets of the items, in this order."""
    placed: set[int] = set()
    for item in items:
        taken = sorted((o.offset, o.offset + o.size) for o in item.others if id(o) in placed)
        item.offset = _best_gap(taken, item.size)
        placed.add(id(item))


def _best_gap(taken: Iterable[tuple[int, int]], size: int) -> int:
    """Start of the smallest gap of at least `size` bytes, or the end of all that is taken."""
    best_start, best_size = -1, 0
    end = 0
    for start, stop in taken:
        gap = start - end
        if gap >= size and (best_start < 0 or gap < best_size):
            best_start, best_size = end, gap
        end = max(end, stop)
    return best_start if best_start >= 0 else end


def _place_as_they_come(items: Iterable[_Item]) -> None:
    """Sets the offsets of items, which come by first call: each in the smallest free block."""
    free = _FreeBlocks()
    alive: list[tuple[int, int, int]] = []  # last call, offset, size
    for item in items:
        if not item.size:
            item.offset = 0
            continue
        while alive and alive[0][0] < item.first:
            _, offset, size = heapq.heappop(alive)
            free.give_back(offset, size)
        item.offset = free.take(item.size)
        heapq.heappush(alive, (item.last, item.offset, item.size))


class _FreeBlocks:
    """Free stretches of an arena below its end, which moves up when none is large enough."""

    def __init__(self) -> None:
        self._end = 0
        self._by_size: list[tuple[int, int]] = []  # size, offset
        self._starts: dict[int, int] = {}  # offset → size
        self._stops: dict[int, int] = {}  # offset behind → size

    def take(self, size: int) -> int:
        """The offset of `size` bytes."""
        at = bisect_left(self._by_size, (size, -1))
        if at < len(self._by_size):
            length, offset = self._by_size[at]
            self._remove(offset, length)
        else:  # at the end, a free block there included
            length = self._stops.get(self._end, 0)
            offset = self._end - length
            if length:
                self._remove(offset, length)
            self._end = offset + size
            length = size
        if length > size:
            self._add(offset + size, length - size)
        return offset

    def give_back(self, offset: int, size: int) -> None:
        """Makes bytes free again, and one block of them and free neighbours."""
        before = self._stops.get(offset, 0)
        behind = self._starts.get(offset + size, 0)
        if before:
            self._remove(offset - before, before)
        if behind:
            self._remove(offset + size, behind)
        self._add(offset - before, before + size + behind)

    def _add(self, offset: int, size: int) -> None:
        insort(self._by_size, (size, offset))
        self._starts[offset] = self._stops[offset + size] = size

    def _remove(self, offset: int, size: int) -> None:
        del self._by_size[bisect_left(self._by_size, (size, offset))]
        del self._starts[offset], self._stops[offset + size]
