"""Pools over sliding windows, channels-last, and what puts their largest elements back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from layercc.buffers import Tensor
from layercc.jobs.job import Check, Job
from layercc.jobs.windows import Axes

PoolKind: TypeAlias = Literal["max", "average", "lp"]


@dataclass(frozen=True, eq=False)
class Pool(Job):
    """y[n, o, c] = the pool of x[n, o · stride - pad + t · dilation, c] over those t that are in x.

    x is [n, spatial..., channels], y the same with the window's outputs. The pool is the largest
    element (`max`; NaN wins), the mean (`average`) or the `power`-norm (`lp`). With `include_pad` a
    mean counts the taps in the padding, too, which ends `ends` elements (depth, height, width)
    behind x.
    """

    kind: PoolKind
    x: Tensor
    y: Tensor
    window: Axes
    power: int = 0
    include_pad: bool = False
    ends: tuple[int, int, int] = (0, 0, 0)


@dataclass(frozen=True, eq=False)
class PoolIndices(Job):
    """y[n, o, c] = where in x the largest element of the window is; NaN wins, then the first.

    Elements of x are counted channels-first: (n · channels + c) · pixels + pixel. `places` are the
    pixels between neighbours in depth, height and width. y is i64.
    """

    x: Tensor
    y: Tensor
    window: Axes
    places: tuple[int, int, int]


@dataclass(frozen=True, eq=False)
class Unpool(Job):
    """y[indices[i]] = x[i], one after another, all of them flat; the rest of y stays as it is.

    Negative indices are out of range, too.
    """

    x: Tensor
    indices: Tensor
    y: Tensor
    check: Check
