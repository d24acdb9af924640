"""The window of an op as the window of a job."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ir.ops.windows import Window
from layercc.jobs.windows import Axes, Axis, three


def axes_of(spatial: Sequence[Any], window: Window) -> Axes:
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
