"""Resampling: weighted sums of elements at given places, along one axis or in an image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from layercc.buffers import Tensor
from layercc.jobs.job import Job

Interpolation: TypeAlias = Literal["nearest", "linear", "cubic"]
Padding: TypeAlias = Literal["zeros", "border", "reflection"]


@dataclass(frozen=True, eq=False)
class Resample(Job):
    """y[o, i, j] = Σ over t of weights[i, t] · x[o, positions[i, t], j], i along `axis`.

    `positions`, i64, and `weights`, of the type in which sums are kept, are constants of the shape
    [y's size along `axis`, taps]. All y of an i whose first position is negative are `outside`
    instead. Integers are rounded to even and saturated.
    """

    x: Tensor
    positions: Tensor
    weights: Tensor
    y: Tensor
    axis: int
    outside: float = 0.0


@dataclass(frozen=True, eq=False)
class SampleGrid(Job):
    """y[n, c, o] = Σ over t of W_t(grid[n, o]) · x[n, c, P_t(grid[n, o])].

    x is [n, channels, spatial...] and not empty, y [n, channels, points...] and the grid
    [n, points..., spatial rank], with the coordinate of the innermost dim first. Coordinates run
    from -1 to 1 over the image: between the centres of its outermost pixels with `align_corners`,
    else between their outer edges. The positions P_t around such a point and their weights W_t are
    those of nearest, linear or cubic interpolation (Keys' kernel, a = -0.75), axis by axis; what
    lies outside of the image is told by `padding`. Computed in f64.
    """

    x: Tensor
    grid: Tensor
    y: Tensor
    mode: Interpolation
    padding: Padding
    align_corners: bool
