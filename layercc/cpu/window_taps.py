"""Sliding windows inside kernels: which pixels of a channels-last input a window meets.

Importing this module imports Numba.
"""

from __future__ import annotations

from typing import Any

from layercc.kernels.declaration import INT, record
from layercc.kernels.helper import jit

#: A window along one axis: positions of the input and output, taps, and how the window moves.
AXIS = record("Axis", inputs=INT, outputs=INT, taps=INT, stride=INT, pad=INT, dilation=INT)
#: A window over depth, height and width.
WINDOW = record("Window", d=AXIS, h=AXIS, w=AXIS)
#: One number for each of depth, height and width.
SPATIAL = record("Spatial", d=INT, h=INT, w=INT)


@jit
def split_row(window: Any, row: Any) -> Any:
    """A row of the output as image, depth and height."""
    rest, h = row // window.h.outputs, row % window.h.outputs
    return rest // window.d.outputs, rest % window.d.outputs, h


@jit
def first_met(axis: Any, output: Any) -> Any:
    """The input position under the first tap for a position of the output; may be outside."""
    return output * axis.stride - axis.pad


@jit
def is_inside(axis: Any, position: Any) -> Any:
    """Whether the input has this position."""
    return (position >= 0) & (position < axis.inputs)


@jit
def pixel_number(window: Any, z: Any, y: Any, x: Any) -> Any:
    """The number of a pixel in its input image."""
    return (z * window.h.inputs + y) * window.w.inputs + x


@jit
def count_pixels(window: Any) -> Any:
    """Pixels of an input image."""
    return window.d.inputs * window.h.inputs * window.w.inputs


@jit
def count_taps(window: Any) -> Any:
    """Taps of the window, inside the input or not."""
    return window.d.taps * window.h.taps * window.w.taps


@jit
def is_plain(window: Any) -> Any:
    """Whether outputs meet the inputs of the same number, and nothing else."""
    same = _is_same(window.d) & _is_same(window.h) & _is_same(window.w)
    return same & (count_taps(window) == 1)


@jit
def _is_same(axis: Any) -> Any:
    return (axis.stride == 1) & (axis.pad == 0) & (axis.inputs == axis.outputs)


@jit
def list_taps(offsets: Any, window: Any, z: Any, y: Any, x: Any, steps: Any) -> Any:
    """Writes the offsets of the taps that lie in the input, and returns how many they are.

    Tap 0 is at depth z, height y and width x, which may be outside. Offsets count from the image's
    first pixel; `steps` are those between neighbours in depth, height and width.
    """
    taps = 0
    for kd in range(window.d.taps):
        iz = z + kd * window.d.dilation
        if not is_inside(window.d, iz):
            continue
        for kh in range(window.h.taps):
            iy = y + kh * window.h.dilation
            if not is_inside(window.h, iy):
                continue
            for kw in range(window.w.taps):
                ix = x + kw * window.w.dilation
                if is_inside(window.w, ix):
                    offsets[taps] = iz * steps[0] + iy * steps[1] + ix * steps[2]
                    taps += 1
    return taps


@jit
def channel_steps(window: Any, channels: Any) -> Any:
    """Elements between neighbours in depth, height and width, where a pixel has `channels`."""
    row = window.w.inputs * channels
    return window.h.inputs * row, row, channels


@jit
def count_within(axis: Any, start: Any, end: Any) -> Any:
    """How many taps, of which the first is at `start`, are before `end`."""
    count = (end - start + axis.dilation - 1) // axis.dilation
    return max(min(count, axis.taps), 0)
