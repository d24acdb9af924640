"""Reads and writes at places that only a run knows.

Negative indices count from the end of their dim. An index that is out of range is reported for the
job's `check`, and nothing outside of a tensor is read or written for it.
"""

from __future__ import annotations

from dataclasses import dataclass

from layercc.buffers import Tensor
from layercc.jobs.job import Check, Job


@dataclass(frozen=True, eq=False)
class Bound(Job):
    """`y` = the integers of `x`, those outside of `low`..`high` reported and moved inside."""

    x: Tensor
    y: Tensor
    low: int
    high: int
    check: Check


@dataclass(frozen=True, eq=False)
class Gather(Job):
    """y[o, i, :] = x[o, indices[i], :], over the dims before, along and behind `axis`.

    Without a check all indices are in range.
    """

    x: Tensor
    indices: Tensor
    y: Tensor
    axis: int
    check: Check | None = None


@dataclass(frozen=True, eq=False)
class GatherElements(Job):
    """y[i] = x[i with the coordinate along `axis` replaced by indices[i]]; x has elements."""

    x: Tensor
    indices: Tensor
    y: Tensor
    axis: int
    check: Check


@dataclass(frozen=True, eq=False)
class GatherND(Job):
    """y[b, t, :] = x[b, indices[b, t], :]: slices at tuples of indices behind `batch_dims`."""

    x: Tensor
    indices: Tensor
    y: Tensor
    batch_dims: int
    check: Check


@dataclass(frozen=True, eq=False)
class ScatterElements(Job):
    """y[i with the coordinate along `axis` replaced by indices[i]] = updates[i], one after another;
    or reduced into it by `reduction`: add, mul, max, min. y has elements."""

    y: Tensor
    indices: Tensor
    updates: Tensor
    axis: int
    reduction: str
    check: Check


@dataclass(frozen=True, eq=False)
class ScatterND(Job):
    """y[indices[t], :] = updates[t, :], one after another, or reduced into it."""

    y: Tensor
    indices: Tensor
    updates: Tensor
    reduction: str
    check: Check


@dataclass(frozen=True, eq=False)
class WriteSequence(Job):
    """y[b, o, starts[b] + i, :] = x[b, o, i, :] along `axis`, modulo its size if `circular`.

    What is written is inside of y.
    """

    x: Tensor
    starts: Tensor
    y: Tensor
    axis: int
    circular: bool


@dataclass(frozen=True, eq=False)
class OneHot(Job):
    """y = values[1] where the place along `axis` is indices[...], values[0] elsewhere.

    An index outside leaves all of them off.
    """

    indices: Tensor
    values: Tensor
    y: Tensor
    axis: int


@dataclass(frozen=True, eq=False)
class ReverseSequence(Job):
    """The first lengths[b] steps along `time_axis` of each element b of `batch_axis` reversed.

    The lengths are in range.
    """

    x: Tensor
    lengths: Tensor
    y: Tensor
    time_axis: int
    batch_axis: int


@dataclass(frozen=True, eq=False)
class Triangle(Job):
    """Matrices with zeros below (`upper`) or above diagonal k[0]; y may lie where x does."""

    x: Tensor
    k: Tensor
    y: Tensor
    upper: bool
