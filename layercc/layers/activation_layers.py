"""Activation functions with settings or weights, as layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ir.dtypes import DType
from layercc.layers import activations
from layercc.layers.initializers import Initializer
from layercc.layers.layer import Layer
from layercc.layers.masking import zero
from layercc.layers.tensor import SymbolicTensor, emit, ints


def not_negative(layer: Layer, what: str, value: float | None) -> None:
    """ValueError unless an argument is a number of at least 0."""
    if value is None or value < 0:
        raise ValueError(f"{type(layer).__name__}: {what} is {value!r}; 0 or more would fit")


class ReLU(Layer):
    """`x` at and above `threshold`, `negative_slope * (x - threshold)` below; `max_value` caps."""

    masking = True

    def __init__(
        self,
        max_value: float | None = None,
        negative_slope: float = 0.0,
        threshold: float = 0.0,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        for what, value in (
            ("max_value", 0.0 if max_value is None else max_value),
            ("negative_slope", negative_slope),
            ("threshold", threshold),
        ):
            not_negative(self, what, value)
        self.max_value, self.negative_slope, self.threshold = max_value, negative_slope, threshold

    def call(self, x: SymbolicTensor) -> SymbolicTensor:
        return activations.relu(x, self.negative_slope, self.max_value, self.threshold)


class LeakyReLU(Layer):
    """`x` where positive, `negative_slope * x` elsewhere."""

    masking = True

    def __init__(self, negative_slope: float = 0.3, **options: Any) -> None:
        super().__init__(**options)
        not_negative(self, "negative_slope", negative_slope)
        self.negative_slope = negative_slope

    def call(self, x: SymbolicTensor) -> SymbolicTensor:
        return activations.leaky_relu(x, self.negative_slope)


class PReLU(Layer):
    """`x` where positive, `alpha * x` elsewhere; a weight a position, but on `shared_axes`."""

    masking = True

    def __init__(
        self,
        alpha_initializer: Initializer = "zeros",
        *,
        shared_axes: int | Sequence[int] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.alpha_initializer = alpha_initializer
        self.shared_axes = [shared_axes] if isinstance(shared_axes, int) else shared_axes or []

    def call(self, x: SymbolicTensor) -> SymbolicTensor:
        shape = list(x.shape)
        for axis in self.shared_axes:
            shape[self.axis(axis, x)] = 1
        return emit("PRelu", x, self.weight("alpha", shape[1:], self.alpha_initializer))


class ELU(Layer):
    """`x` where positive, `alpha * (exp(x) - 1)` elsewhere."""

    masking = True

    def __init__(self, alpha: float = 1.0, **options: Any) -> None:
        super().__init__(**options)
        self.alpha = alpha

    def call(self, x: SymbolicTensor) -> SymbolicTensor:
        return activations.elu(x, self.alpha)


class Softmax(Layer):
    """`exp(x) / sum(exp(x))` along `axis` (one, or several).

    With `mask`, which broadcasts against `x`, elements where it is false take no part and give 0.
    """

    masking = True

    def __init__(self, axis: int | Sequence[int] = -1, **options: Any) -> None:
        super().__init__(**options)
        self.axes = [axis] if isinstance(axis, int) else list(axis)

    def call(self, x: SymbolicTensor, mask: SymbolicTensor | None = None) -> SymbolicTensor:
        if mask is None:
            return self._softmax(x)
        if mask.rank > x.rank:
            self.fail(f"the mask {mask.type} does not broadcast against {x.type}")
        kept = mask if mask.dtype is DType.bool else emit("Greater", mask, 0.5)
        low = np.asarray(-3e4 if x.dtype is DType.f16 else -1e9, x.dtype.value)  # as Keras has it
        return emit("Where", kept, self._softmax(emit("Where", kept, x, low)), zero(x))

    def _softmax(self, x: SymbolicTensor) -> SymbolicTensor:
        axes = [self.axis(axis, x) for axis in self.axes]
        if len(axes) == 1:
            return activations.softmax(x, axes[0])
        return emit("Exp", x - emit("ReduceLogSumExp", x, ints(*axes), keepdims=1))
