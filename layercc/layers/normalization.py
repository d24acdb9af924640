"""Normalisation layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from layercc.layers.initializers import Initializer
from layercc.layers.layer import Layer
from layercc.layers.tensor import SymbolicTensor, emit, ints


class Scaled(Layer):
    """Base of normalisations with a learned `gamma` and `beta`."""

    def __init__(
        self,
        epsilon: float,
        center: bool,
        scale: bool,
        beta_initializer: Initializer,
        gamma_initializer: Initializer,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.epsilon, self.center, self.scale = float(epsilon), center, scale
        self.beta_initializer, self.gamma_initializer = beta_initializer, gamma_initializer

    def gamma(self, shape: Sequence[Any]) -> Any:
        """The weight `gamma`, or ones where the layer has none."""
        if self.scale:
            return self.weight("gamma", shape, self.gamma_initializer)
        return np.ones([int(dim) for dim in shape], self._dtype.value)

    def beta(self, shape: Sequence[Any]) -> Any:
        """The weight `beta`, or zeros where the layer has none."""
        if self.center:
            return self.weight("beta", shape, self.beta_initializer)
        return np.zeros([int(dim) for dim in shape], self._dtype.value)


class BatchNormalization(Scaled):
    """`gamma * (x - moving_mean) / sqrt(moving_variance + epsilon) + beta`, as in inference.

    `axis` is that of the channels. Weights: gamma, beta, moving_mean, moving_variance.
    """

    masking = True

    def __init__(
        self,
        axis: int = -1,
        momentum: float = 0.99,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Initializer = "zeros",
        gamma_initializer: Initializer = "ones",
        moving_mean_initializer: Initializer = "zeros",
        moving_variance_initializer: Initializer = "ones",
        **options: Any,
    ) -> None:
        super().__init__(epsilon, center, scale, beta_initializer, gamma_initializer, **options)
        self.channel_axis, self.momentum = axis, momentum
        self.moving_mean_initializer = moving_mean_initializer
        self.moving_variance_initializer = moving_variance_initializer

    def call(self, x: SymbolicTensor) -> SymbolicTensor:
        axis = self.axis(self.channel_axis, x)
        shape = (x.shape[axis],)
        operands = [
            self.gamma(shape),
            self.beta(shape),
            self.weight("moving_mean", shape, self.moving_mean_initializer),
            self.weight("moving_variance", shape, self.moving_variance_initializer),
        ]
        if axis == x.rank - 1 and x.rank > 1:
            return emit("BatchNormalization", x, *operands, epsilon=self.epsilon, channels_last=1)
        if axis == 1:
            return emit("BatchNormalization", x, *operands, epsilon=self.epsilon)
        return self.fail(f"axis {axis} of {x.type}; axis 1 or the last would fit", "bad-attribute")


class LayerNormalization(Scaled):
    """`gamma * (x - mean) / sqrt(variance + epsilon) + beta` over `axis` (one, or several)."""

    masking = True

    def __init__(
        self,
        axis: int | Sequence[int] = -1,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Initializer = "zeros",
        gamma_initializer: Initializer = "ones",
        **options: Any,
    ) -> None:
        super().__init__(epsilon, center, scale, beta_initializer, gamma_initializer, **options)
        self.axes = [axis] if isinstance(axis, int) else list(axis)

    def call(self, x: SymbolicTensor) -> SymbolicTensor:
        axes = sorted(self.axis(axis, x) for axis in self.axes)
        shape = [x.shape[axis] for axis in axes]
        gamma, beta = self.gamma(shape), self.beta(shape)
        if axes == list(range(axes[0], x.rank)):
            operands = [gamma, beta] if self.center else [gamma]
            return emit(
                "LayerNormalization", x, *operands, axis=axes[0] - x.rank, epsilon=self.epsilon
            )
        centred = x - emit("ReduceMean", x, ints(*axes), keepdims=1)
        variance = emit("ReduceMean", centred * centred, ints(*axes), keepdims=1)
        y = centred / emit("Sqrt", variance + self.epsilon)
        spread = ints(*(x.shape[a] if a in axes else 1 for a in range(x.rank)))
        if self.scale:
            y = y * emit("Reshape", gamma, spread)
        return y + emit("Reshape", beta, spread) if self.center else y


class GroupNormalization(Scaled):
    """Normalisation over positions and a group of channels, for each sample.

    `groups=-1` makes a group of each channel (instance normalisation). `axis`, that of the
    channels, is the last, or 1.
    """

    masking = True

    def __init__(
        self,
        groups: int = 32,
        axis: int = -1,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Initializer = "zeros",
        gamma_initializer: Initializer = "ones",
        **options: Any,
    ) -> None:
        super().__init__(epsilon, center, scale, beta_initializer, gamma_initializer, **options)
        if groups != -1:
            self.positive(groups, "groups")
        self.groups, self.channel_axis = groups, axis

    def call(self, x: SymbolicTensor) -> SymbolicTensor:
        axis = self.axis(self.channel_axis, x)
        if axis not in (1, x.rank - 1):
            self.fail(f"axis {axis} of {x.type}; axis 1 or the last would fit", "bad-attribute")
        channels = x.shape[axis]
        groups = channels if self.groups == -1 else self.groups
        if not isinstance(channels, int) or channels % int(groups):
            self.fail(f"the input is {x.type}: {channels} channels in {groups} groups")
        layout: dict[str, Any] = {"channels_last": 1} if axis == x.rank - 1 and x.rank > 2 else {}
        return emit(
            "GroupNormalization",
            x,
            self.gamma((channels,)),
            self.beta((channels,)),
            num_groups=groups,
            epsilon=self.epsilon,
            **layout,
        )


class RMSNormalization(Layer):
    """`scale * x / sqrt(mean(x²) + epsilon)` over `axis` and, if a list, all axes of it."""

    def __init__(
        self, axis: int | Sequence[int] = -1, epsilon: float = 1e-6, **options: Any
    ) -> None:
        super().__init__(**options)
        self.axes = [axis] if isinstance(axis, int) else list(axis)
        self.epsilon = float(epsilon)

    def call(self, x: SymbolicTensor) -> SymbolicTensor:
        axes = sorted(self.axis(axis, x) for axis in self.axes)
        scale = self.weight("scale", [x.shape[axis] for axis in axes], "ones")
        if axes == list(range(axes[0], x.rank)):
            return emit("RMSNormalization", x, scale, axis=axes[0] - x.rank, epsilon=self.epsilon)
        mean = emit("ReduceMean", x * x, ints(*axes), keepdims=1)
        spread = ints(*(x.shape[a] if a in axes else 1 for a in range(x.rank)))
        return x / emit("Sqrt", mean + self.epsilon) * emit("Reshape", scale, spread)


class UnitNormalization(Layer):
    """`x / sqrt(max(sum(x²), 1e-12))` over `axis` (one, or several)."""

    masking = True

    def __init__(self, axis: int | Sequence[int] = -1, **options: Any) -> None:
        super().__init__(**options)
        self.axes = [axis] if isinstance(axis, int) else list(axis)

    def call(self, x: SymbolicTensor) -> SymbolicTensor:
        axes = sorted(self.axis(axis, x) for axis in self.axes)
        total = emit("ReduceSumSquare", x, ints(*axes), keepdims=1)
        return x / emit("Sqrt", emit("Max", total, 1e-12))


class LocalResponseNormalization(Layer):
    """`x / (bias + alpha / size * sum of x² over size neighbouring channels) ** beta`.

    Krizhevsky et al. 2012 (AlexNet); not in Keras. Channels are the last axis.
    """

    def __init__(
        self,
        size: int = 5,
        alpha: float = 1e-4,
        beta: float = 0.75,
        bias: float = 1.0,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.size, self.alpha, self.beta, self.bias = size, alpha, beta, bias

    def call(self, x: SymbolicTensor) -> SymbolicTensor:
        return emit(
            "LRN",
            x,
            size=self.size,
            alpha=float(self.alpha),
            beta=float(self.beta),
            bias=float(self.bias),
            channels_last=1,
        )
