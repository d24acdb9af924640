"""Data that is moved as it is: copies, transposes, fills."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from layercc.buffers import Tensor
from layercc.jobs.job import Job


@dataclass(frozen=True, eq=False)
class Move(Job):
    """Copies an index space of `shape` between two tensors; starts and strides in elements.

    Strides of the source may be negative or 0. Copies, transposes, slices, repeats and what puts
    parts together are moves.
    """

    source: Tensor
    target: Tensor
    shape: tuple[int, ...]
    source_strides: tuple[int, ...]
    target_strides: tuple[int, ...]
    source_start: int = 0
    target_start: int = 0

    def dims(self) -> list[tuple[int, int, int]]:
        """(size, source stride, target stride) a dim, neighbours joined where both sides allow it;
        at least one."""
        dims: list[tuple[int, int, int]] = []
        sides = zip(self.shape, self.source_strides, self.target_strides, strict=True)
        for size, s, t in sides:
            if size == 1:
                continue
            if dims and dims[-1][1] == s * size and dims[-1][2] == t * size:
                dims[-1] = (dims[-1][0] * size, s, t)
            else:
                dims.append((size, s, t))
        return dims or [(1, 1, 1)]


@dataclass(frozen=True, eq=False)
class Fill(Job):
    """Writes one value, the first element of `value` or zero, to all of a tensor."""

    target: Tensor
    value: Tensor | None = None


def strides_of(shape: Sequence[int]) -> tuple[int, ...]:
    """Row-major strides in elements."""
    strides = [1] * len(shape)
    for axis in range(len(shape) - 2, -1, -1):
        strides[axis] = strides[axis + 1] * shape[axis + 1]
    return tuple(strides)
