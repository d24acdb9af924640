"""The memory plan: buffers of one arena, placed so that those alive at the same time never overlap.

Greedy by size with best fit, after Pisarchyk and Lee, "Efficient Memory Management for Deep Neural
Net Inference" (2020): large buffers first, each into the smallest gap between the buffers that
are alive with it.
"""

from __future__ import annotations

from dataclasses import dataclass

from layercc.program import Buffer, Program

ALIGNMENT = 64


@dataclass(slots=True)
class _Lifetime:
    buffer: Buffer
    first: int
    last: int


def plan_memory(program: Program) -> None:
    """Sets the offset of every arena buffer, and `program.arena_bytes`."""
    lifetimes: dict[int, _Lifetime] = {}
    for index, call in enumerate(program.calls):
        for buffer in call.buffers():
            if buffer.space == "arena":
                found = lifetimes.setdefault(id(buffer), _Lifetime(buffer, index, index))
                found.last = index
    placed: list[_Lifetime] = []
    for item in sorted(lifetimes.values(), key=lambda item: (-item.buffer.nbytes, item.first)):
        overlapping = sorted(
            (other.buffer.offset, other.buffer.offset + _rounded(other.buffer.nbytes))
            for other in placed
            if other.first <= item.last and item.first <= other.last
        )
        item.buffer.offset = _best_gap(overlapping, _rounded(item.buffer.nbytes))
        placed.append(item)
    ends = [item.buffer.offset + _rounded(item.buffer.nbytes) for item in placed]
    program.arena_bytes = max(ends, default=0)


def _best_gap(taken: list[tuple[int, int]], size: int) -> int:
    """Start of the smallest gap of at least `size` bytes, or the end of all that is taken."""
    best_start, best_size = -1, 0
    end = 0
    for start, stop in taken:
        gap = start - end
        if gap >= size and (best_start < 0 or gap < best_size):
            best_start, best_size = end, gap
        end = max(end, stop)
    return best_start if best_start >= 0 else end


def _rounded(nbytes: int) -> int:
    return -(-nbytes // ALIGNMENT) * ALIGNMENT
