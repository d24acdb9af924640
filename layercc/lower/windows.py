"""Sliding windows as the arguments of kernels: always depth, height and width."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ir.diagnostics import UnsupportedError
from ir.ops.windows import Window

#: Spatial dims that kernels handle.
MOST_SPATIAL_DIMS = 3


def three(values: Sequence[Any], fill: int) -> tuple[int, int, int]:
    """Up to three values, one a spatial dim, with `fill` for the dims in front that are missing.

    Raises UnsupportedError for more than three.
    """
    if len(values) > MOST_SPATIAL_DIMS:
        raise UnsupportedError(
            f"{len(values)} spatial dims; kernels have room for {MOST_SPATIAL_DIMS}"
        )
    return (*(fill,) * (3 - len(values)), *map(int, values))  # type: ignore[return-value]


def spatial_words(values: Sequence[Any], fill: int) -> dict[str, int]:
    """What `three` gives, as the record `layercc.cpu.windows.SPATIAL`."""
    return dict(zip("dhw", three(values, fill), strict=True))


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

    def words(self) -> dict[str, Any]:
        """The record `layercc.cpu.windows.WINDOW`."""
        return {name: vars(axis) for name, axis in vars(self).items()}


def axes_of(spatial: Sequence[int], window: Window) -> Axes:
    """A window over an input whose spatial dims are `spatial`.

    Raises UnsupportedError for more than three.
    """
    numbers = (
        three(spatial, 1),
        three(window.output_dims, 1),
        three(window.kernel, 1),
        three(window.strides, 1),
        three(window.pads_begin, 0),
        three(window.dilations, 1),
    )
    return Axes(*(Axis(*of_axis) for of_axis in zip(*numbers, strict=True)))
