"""Where the channels are: `[N, C, spatial...]` as in ONNX, or `[N, spatial..., C]`.

Spatial ops have the attribute `channels_last`; references compute channels-first.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ir.dims import Dim
from ir.registry import Attr, Call

CHANNELS_LAST = {"channels_last": Attr("int", 0)}


def split_shape(call: Call, index: int = 0) -> tuple[Dim, Dim, tuple[Dim, ...]]:
    """Batch, channels and spatial dims of input `index`; fails if there is no channel dim."""
    shape = call.shape(index)
    if len(shape) < 2:
        name = call.op.input_name(index)
        call.fail(
            f"input {name!r} is {call.type(index)}; a batch dim, a channel dim and spatial dims"
            " would fit"
        )
    if call.channels_last:
        return shape[0], shape[-1], shape[1:-1]
    return shape[0], shape[1], shape[2:]


def join_shape(call: Call, batch: Dim, channels: Dim, spatial: Sequence[Dim]) -> tuple[Dim, ...]:
    """A shape in the layout that the node asks for."""
    if call.channels_last:
        return (batch, *spatial, channels)
    return (batch, channels, *spatial)


def channels_first(call: Call, array: np.ndarray) -> np.ndarray:
    """A view of an activation in `[N, C, spatial...]`."""
    return np.moveaxis(array, -1, 1) if call.channels_last and array.ndim > 2 else array


def as_asked(call: Call, array: np.ndarray) -> np.ndarray:
    """A channels-first result in the layout that the node asks for."""
    if call.channels_last and array.ndim > 2:
        return np.ascontiguousarray(np.moveaxis(array, 1, -1))
    return array


def per_channel(array: np.ndarray, rank: int) -> np.ndarray:
    """A vector over channels, shaped to broadcast over a channels-first tensor of this rank."""
    return array.reshape(-1, *[1] * (rank - 2))


def widened(array: np.ndarray) -> np.ndarray:
    """Floats in float64, in which references compute; anything else as it is."""
    if array.dtype.kind in "iub" or array.dtype == object:
        return array
    return array.astype(np.complex128 if array.dtype.kind == "c" else np.float64)
