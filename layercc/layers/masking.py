"""Layers that make masks."""

from __future__ import annotations

from typing import Any

import numpy as np

from layercc.layers.layer import Layer
from layercc.layers.tensor import SymbolicTensor, emit, ints


def not_equal(x: SymbolicTensor, value: Any) -> SymbolicTensor:
    """Where elements differ from a number."""
    made: SymbolicTensor = emit("Not", emit("Equal", x, value))
    return made


def zero(x: SymbolicTensor) -> np.ndarray:
    """Zero in the element type of `x`."""
    return np.zeros((), x.dtype.value)


def any_of(mask: SymbolicTensor, axis: int, keepdims: bool = False) -> SymbolicTensor:
    """Whether any element along an axis is true."""
    made: SymbolicTensor = emit("ReduceMax", mask, ints(axis), keepdims=int(keepdims))
    return made


class Masking(Layer):
    """Masks the steps of `[batch, steps, ...]` that hold `mask_value` alone, and zeros them.

    Layers behind that know masks leave these steps out.
    """

    masking = True
    makes_masks = True

    def __init__(self, mask_value: float = 0.0, **options: Any) -> None:
        super().__init__(**options)
        self.mask_value = mask_value

    def call(self, x: SymbolicTensor) -> SymbolicTensor:
        if x.rank < 2:
            self.fail(f"the input is {x.type}; [batch, steps, ...] would fit")
        kept = any_of(not_equal(x, self.mask_value), -1, keepdims=True)
        y: SymbolicTensor = emit("Where", kept, x, zero(x))
        y.mask = emit("Squeeze", kept, ints(-1))
        return y
