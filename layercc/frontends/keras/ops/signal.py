"""Fourier transforms of frames."""

from __future__ import annotations

from typing import Any

import numpy as np

from layercc.frontends.keras.registry import Refused, translates_op
from layercc.layers import emit
from layercc.layers.tensor import SymbolicTensor, ints

#: Keras' name of a window → its two coefficients, of a period of the cosine.
_WINDOWS = {"hann": (0.5, 0.5), "hamming": (0.54, 0.46)}


@translates_op("math.STFT")
def stft(c: Any, x: Any) -> Any:
    """Real and imaginary parts `[..., frames, bins]`; the window stands amid `fft_length`."""
    x, op = c.tensor(x, c.dtype), c.op
    if isinstance(op.window, SymbolicTensor):
        raise Refused("a window that is computed")
    length, size = int(op.sequence_length), int(op.fft_length)
    if op.window is None:
        window = np.ones(length)
    elif isinstance(op.window, str):
        constant, cosine = _WINDOWS[op.window]
        window = constant - cosine * np.cos(2 * np.pi * np.arange(length) / length)
    else:
        window = np.asarray(op.window)
    before = (size - length) // 2
    window = np.pad(window, (before, size - length - before)).astype(x.dtype.value)
    outer = emit("Shape", x, end=x.rank - 1)
    samples = emit("Shape", x, start=x.rank - 1)
    flat = x
    if x.rank != 2:
        flat = emit("Reshape", x, emit("Concat", ints(-1), samples, axis=0))
    if op.center:
        half = size // 2
        flat = emit("Pad", flat, ints(half, half), None, ints(1), mode="reflect")
    step = np.asarray(op.sequence_stride, np.int64)
    frames = emit("STFT", emit("Unsqueeze", flat, ints(2)), step, window)
    parts = []
    for part in (0, 1):
        y = emit("Gather", frames, np.int64(part), axis=3)
        if x.rank != 2:
            y = emit("Reshape", y, emit("Concat", outer, emit("Shape", y, start=1), axis=0))
        parts.append(y)
    return tuple(parts)
