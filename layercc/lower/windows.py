"""Sliding windows as the arguments of kernels: always depth, height and width."""

from __future__ import annotations

from collections.abc import Sequence
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


def window_words(spatial: Sequence[int], window: Window) -> dict[str, Any]:
    """Arguments of window kernels: `in_`, `out_`, `window_`, `stride_`, `pad_` and `dilation_`,
    each over `d`, `h` and `w`. `spatial` are the dims of the input."""
    words: dict[str, Any] = {}
    for name, values, fill in (
        ("in", spatial, 1),
        ("out", window.output_dims, 1),
        ("window", window.kernel, 1),
        ("stride", window.strides, 1),
        ("pad", window.pads_begin, 0),
        ("dilation", window.dilations, 1),
    ):
        for axis, value in zip("dhw", three(values, fill), strict=True):
            words[f"{name}_{axis}"] = value
    return words
