"""The memory plan: buffers of one arena, placed so that those alive at the same time never overlap.

Greedy with best fit, after Pisarchyk and Lee, "Efficient Memory Management for Deep Neural Net
Inference" (2020): one buffer after the other goes into the smallest gap between the placed buffers
that are alive with it. Which order is best depends on the graph, so several are tried until one
reaches the lower bound, the most bytes that are alive at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from layercc.program import ALIGNMENT, Buffer, Program


@dataclass(slots=True)
class _Item:
    """A buffer, the calls between which it is alive, and its bytes, rounded up."""

    buffer: Buffer
    first: int
    last: int
    size: int
    crowd: int = 0  # the most bytes alive at once while it is


#: Large buffers first; those of the most crowded calls first; long-lived first; as they come.
_ORDERS: tuple[Callable[[_Item], tuple[int, ...]], ...] = (
    lambda item: (-item.size, item.first),
    lambda item: (-item.crowd, -item.size, item.first),
    lambda item: (item.first - item.last, -item.size),
    lambda item: (item.first, -item.size),
)


def plan_memory(program: Program) -> None:
    """Sets the offset of every arena buffer, and `program.arena_bytes`."""
    items = _items(program)
    least = _measure_crowds(items, len(program.calls))
    best: list[int] = []
    best_total = -1
    for order in _ORDERS:
        items.sort(key=order)
        offsets = _placed(items)
        total = max((at + item.size for at, item in zip(offsets, items, strict=True)), default=0)
        if best_total < 0 or total < best_total:
            best_total = total
            best = offsets
            chosen = list(items)
        if best_total == least:
            break
    for at, item in zip(best, chosen, strict=True):
        item.buffer.offset = at
    program.arena_bytes = best_total


def _items(program: Program) -> list[_Item]:
    items: dict[int, _Item] = {}
    for index, call in enumerate(program.calls):
        for buffer in call.buffers():
            if buffer.space == "arena":
                size = -(-buffer.nbytes // ALIGNMENT) * ALIGNMENT
                found = items.setdefault(id(buffer), _Item(buffer, index, index, size))
                found.last = index
    return list(items.values())


def _measure_crowds(items: Sequence[_Item], n_calls: int) -> int:
    """Sets `crowd` of all items; the most bytes that are alive at once."""
    alive = [0] * n_calls
    for item in items:
        for index in range(item.first, item.last + 1):
            alive[index] += item.size
    for item in items:
        item.crowd = max(alive[item.first : item.last + 1])
    return max(alive, default=0)


def _placed(items: Sequence[_Item]) -> list[int]:
    """Offsets of the items, placed in this order."""
    placed: list[tuple[int, int, int, int]] = []  # offset, end, first, last
    offsets = []
    for item in items:
        taken = sorted(
            (start, stop)
            for start, stop, first, last in placed
            if first <= item.last and item.first <= last
        )
        at = _best_gap(taken, item.size)
        placed.append((at, at + item.size, item.first, item.last))
        offsets.append(at)
    return offsets


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
