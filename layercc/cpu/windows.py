"""Sliding windows inside kernels: which pixels of a channels-last input a window meets.

Importing this module imports Numba.
"""

from __future__ import annotations

from typing import Any

from layercc.cpu.target import jit


@jit
def list_taps(
    offsets: Any,
    z: Any,
    y: Any,
    x: Any,
    in_d: Any,
    in_h: Any,
    in_w: Any,
    window_d: Any,
    window_h: Any,
    window_w: Any,
    dilation_d: Any,
    dilation_h: Any,
    dilation_w: Any,
    pixel: Any,
) -> Any:
    """Writes the offsets of the taps that lie in the input, and returns how many they are.

    Tap 0 is at depth z, height y and width x, which may be outside. Offsets count from the image's
    first element; `pixel` is the number of elements between neighbouring pixels.
    """
    taps = 0
    for kd in range(window_d):
        iz = z + kd * dilation_d
        if iz < 0 or iz >= in_d:
            continue
        for kh in range(window_h):
            iy = y + kh * dilation_h
            if iy < 0 or iy >= in_h:
                continue
            row = (iz * in_h + iy) * in_w
            for kw in range(window_w):
                ix = x + kw * dilation_w
                if ix >= 0 and ix < in_w:
                    offsets[taps] = (row + ix) * pixel
                    taps += 1
    return taps


@jit
def count_within(start: Any, window: Any, dilation: Any, end: Any) -> Any:
    """How many of `window` positions, from `start` in steps of `dilation`, are below `end`."""
    count = (end - start + dilation - 1) // dilation
    return max(min(count, window), 0)
