"""Sliding windows over up to three spatial dims: always depth, height and width."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ir.diagnostics import UnsupportedError

#: Spatial dims that a window has room for.
MOST_SPATIAL_DIMS = 3


@dataclass(frozen=True)
class Axis:
    """How positions of the output meet those of the input along one axis."""

    inputs: int = 1
    outputs: int = 1
    taps: int = 1
    stride: int = 1
    pad: int = 0
    dilation: int = 1


@dataclass(frozen=True)
class Axes:
    """How a window moves over depth, height and width; by default, one tap on one pixel."""

    d: Axis = Axis()
    h: Axis = Axis()
    w: Axis = Axis()

    @property
    def taps(self) -> int:
        return self.d.taps * self.h.taps * self.w.taps

    @property
    def outputs(self) -> int:
        """Positions of the output of one image."""
        return self.d.outputs * self.h.outputs * self.w.outputs


def three(values: Sequence[Any], fill: int) -> tuple[int, int, int]:
    """Up to three values, one a spatial dim, with `fill` for the dims in front that are missing.

    Raises UnsupportedError for more than three.
    """
    if len(values) > MOST_SPATIAL_DIMS:
        raise UnsupportedError(
            f"{len(values)} spatial dims; kernels have room for {MOST_SPATIAL_DIMS}"
        )
    return (*(fill,) * (3 - len(values)), *map(int, values))  # type: ignore[return-value]
