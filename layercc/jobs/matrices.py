"""Weights of contractions as matrices: how they lie, and how they lie when they are packed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from layercc.jobs.contraction import Contraction, GroupDim
from layercc.jobs.windows import Axes


def packed_groups(job: Contraction, size: int) -> tuple[GroupDim, ...]:
    """The groups of a job with the strides of matrices that lie packed one behind the other, each
    of `size` elements; only dims along which they differ count."""
    strides: list[int] = []
    step = size
    for group in reversed(job.groups):
        strides.insert(0, step if group.w else 0)
        step *= group.size if group.w else 1
    return tuple(replace(g, w=stride) for g, stride in zip(job.groups, strides, strict=True))


@dataclass(frozen=True)
class View:
    """Weights as [own groups..., taps of d, h and w, depth, columns...], (size, stride) a dim."""

    groups: tuple[tuple[int, int], ...]  # those along which they differ
    taps: tuple[tuple[int, int], ...]
    depth: tuple[int, int]
    columns: tuple[tuple[int, int], ...]
    start: int

    @staticmethod
    def of(job: Contraction) -> View:
        """The weights of a job."""
        window, w = job.window or Axes(), job.weights
        sizes = (window.d.taps, window.h.taps, window.w.taps)
        return View(
            tuple((group.size, group.w) for group in job.groups if group.w),
            tuple(zip(sizes, w.taps, strict=True)),
            (job.depth, w.row),
            w.column,
            w.start,
        )

    @property
    def count(self) -> int:
        """Matrices for each tap."""
        return math.prod(size for size, _ in self.groups)

    def of_array(self, array: np.ndarray) -> np.ndarray:
        """An array of the weights' shape seen so: `[groups, taps, depth, columns]`."""
        dims = (*self.groups, *self.taps, self.depth, *self.columns)
        sizes = [size for size, _ in dims]
        shape = (self.count, *(math.prod(size for size, _ in part) for part in
                               (self.taps, (self.depth,), self.columns)))  # fmt: skip
        if 0 in sizes:
            return np.zeros(shape, array.dtype)
        flat = np.ascontiguousarray(array).reshape(-1)[self.start :]  # of stride 0, where filled
        steps = [array.itemsize * stride for _, stride in dims]
        seen = np.lib.stride_tricks.as_strided(flat, sizes, steps, writeable=False)
        return seen.reshape(shape)


def merged(dims: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """(size, stride) a dim, neighbours that are walked as one joined, those of size 1 left out."""
    merged: list[tuple[int, int]] = []
    for size, stride in dims:
        if size == 1:
            continue
        if merged and merged[-1][1] == stride * size:
            merged[-1] = (merged[-1][0] * size, stride)
        else:
            merged.append((size, stride))
    return merged
