"""Convolutions: dense, grouped, depthwise and separable, over one to three axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ir.dims import Dim
from layercc.layers.activations import Activation, activate
from layercc.layers.initializers import Initializer
from layercc.layers.spatial import Sizes, Spatial, padding_attributes
from layercc.layers.tensor import SymbolicTensor, emit
from layercc.layers.weight import Layout, transposed


def kernel_layout(rank: int) -> Layout:
    """Keras (spatial..., in, out) ↔ ONNX (out, in, spatial...)."""
    return transposed(rank + 1, rank, *range(rank))


def depthwise_layout(rank: int) -> Layout:
    """Keras (spatial..., in, multiplier) ↔ ONNX (in * multiplier, 1, spatial...)."""

    def shape(keras: tuple[int, ...]) -> tuple[int, ...]:
        return (keras[-2] * keras[-1], 1, *keras[:-2])

    def from_keras(array: np.ndarray) -> np.ndarray:
        return array.transpose(rank, rank + 1, *range(rank)).reshape(shape(array.shape))

    def to_keras(array: np.ndarray, keras: tuple[int, ...]) -> np.ndarray:
        split = array.reshape(*keras[-2:], *keras[:-2])
        return split.transpose(*range(2, rank + 2), 0, 1)

    return Layout(shape, from_keras, to_keras)


class Convolution(Spatial):
    """Base of all convolutions: a sliding window, a bias, an activation."""

    def __init__(
        self,
        kernel_size: Sizes,
        strides: Sizes,
        padding: str,
        data_format: str | None,
        dilation_rate: Sizes,
        activation: Activation,
        use_bias: bool,
        bias_initializer: Initializer,
        **options: Any,
    ) -> None:
        super().__init__(data_format, **options)
        self.kernel_size = self.sizes(kernel_size, "kernel_size")
        self.strides = self.sizes(strides, "strides")
        self.padding = self.check_padding(padding)
        self.dilation_rate = self.sizes(dilation_rate, "dilation_rate")
        self.activation, self.use_bias = activation, use_bias
        self.bias_initializer = bias_initializer

    def refuse_strides_with_dilation(self) -> None:
        """ValueError if both are above 1, as in Keras' dense convolutions."""
        if max(self.strides) > 1 and max(self.dilation_rate) > 1:
            raise ValueError(
                f"{type(self).__name__}: strides {self.strides} with dilation_rate "
                f"{self.dilation_rate}; one of them above 1 would fit"
            )

    def bias(self, size: Dim) -> list[SymbolicTensor]:
        """The bias as further operands of a convolution: one, or none."""
        return [self.weight("bias", (size,), self.bias_initializer)] if self.use_bias else []

    def convolve(
        self,
        x: SymbolicTensor,
        kernel: SymbolicTensor,
        groups: Dim,
        bias: Sequence[SymbolicTensor] = (),
    ) -> SymbolicTensor:
        """Conv of `x` with the layer's window."""
        pads = padding_attributes(
            self.padding, self.spatial(x), self.kernel_size, self.strides, self.dilation_rate
        )
        return emit(
            "Conv",
            x,
            kernel,
            *bias,
            kernel_shape=self.kernel_size,
            strides=self.strides,
            dilations=self.dilation_rate,
            group=groups,
            **pads,
            **self.layout,
        )


class Conv(Convolution):
    """Base of `Conv1D`, `Conv2D`, `Conv3D`: cross-correlation with a kernel, as in Keras.

    padding: `valid`, `same`, or (1D) `causal`.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: Sizes,
        strides: Sizes = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: Sizes = 1,
        groups: int = 1,
        activation: Activation = None,
        use_bias: bool = True,
        kernel_initializer: Initializer = "glorot_uniform",
        bias_initializer: Initializer = "zeros",
        **options: Any,
    ) -> None:
        super().__init__(
            kernel_size, strides, padding, data_format, dilation_rate,
            activation, use_bias, bias_initializer, **options,
        )  # fmt: skip
        self.filters = self.positive(filters, "filters")
        self.groups = self.positive(groups, "groups")
        self.refuse_strides_with_dilation()
        self.kernel_initializer = kernel_initializer
        if filters % groups:
            raise ValueError(f"{type(self).__name__}: {filters} filters in {groups} groups")

    def call(self, x: SymbolicTensor) -> SymbolicTensor:
        self.expect_spatial(x)
        channels = self.channels(x)
        if not isinstance(channels, int) or channels % self.groups:
            self.fail(f"the input is {x.type}: {channels} channels in {self.groups} groups")
        kernel = self.weight(
            "kernel",
            (*self.kernel_size, channels // self.groups, self.filters),
            self.kernel_initializer,
            kernel_layout(self.spatial_rank),
        )
        y = self.convolve(x, kernel, self.groups, self.bias(self.filters))
        return activate(y, self.activation)


class Conv1D(Conv):
    """Convolution over `[batch, steps, channels]`."""

    spatial_rank = 1
    paddings = ("valid", "same", "causal")


class Conv2D(Conv):
    """Convolution over `[batch, height, width, channels]`."""

    spatial_rank = 2


class Conv3D(Conv):
    """Convolution over `[batch, depth, height, width, channels]`."""

    spatial_rank = 3


class _Depthwise(Convolution):
    """Convolutions of each channel for itself, with `depth_multiplier` filters."""

    depth_multiplier: int
    depthwise_initializer: Initializer

    def depthwise_kernel(self, name: str, channels: Dim) -> SymbolicTensor:
        return self.weight(
            name,
            (*self.kernel_size, channels, self.depth_multiplier),
            self.depthwise_initializer,
            depthwise_layout(self.spatial_rank),
        )


class DepthwiseConv(_Depthwise):
    """Base of `DepthwiseConv1D`, `DepthwiseConv2D`: `depth_multiplier` filters for each channel."""

    def __init__(
        self,
        kernel_size: Sizes,
        strides: Sizes = 1,
        padding: str = "valid",
        depth_multiplier: int = 1,
        data_format: str | None = None,
        dilation_rate: Sizes = 1,
        activation: Activation = None,
        use_bias: bool = True,
        depthwise_initializer: Initializer = "glorot_uniform",
        bias_initializer: Initializer = "zeros",
        **options: Any,
    ) -> None:
        super().__init__(
            kernel_size, strides, padding, data_format, dilation_rate,
            activation, use_bias, bias_initializer, **options,
        )  # fmt: skip
        self.depth_multiplier = self.positive(depth_multiplier, "depth_multiplier")
        self.depthwise_initializer = depthwise_initializer

    def call(self, x: SymbolicTensor) -> SymbolicTensor:
        self.expect_spatial(x)
        channels = self.channels(x)
        kernel = self.depthwise_kernel("kernel", channels)
        y = self.convolve(x, kernel, channels, self.bias(channels * self.depth_multiplier))
        return activate(y, self.activation)


class DepthwiseConv1D(DepthwiseConv):
    """Depthwise convolution over `[batch, steps, channels]`."""

    spatial_rank = 1


class DepthwiseConv2D(DepthwiseConv):
    """Depthwise convolution over `[batch, height, width, channels]`."""

    spatial_rank = 2


class SeparableConv(_Depthwise):
    """Base of `SeparableConv1D`, `SeparableConv2D`: a depthwise, then a 1×1 convolution."""

    def __init__(
        self,
        filters: int,
        kernel_size: Sizes,
        strides: Sizes = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: Sizes = 1,
        depth_multiplier: int = 1,
        activation: Activation = None,
        use_bias: bool = True,
        depthwise_initializer: Initializer = "glorot_uniform",
        pointwise_initializer: Initializer = "glorot_uniform",
        bias_initializer: Initializer = "zeros",
        **options: Any,
    ) -> None:
        super().__init__(
            kernel_size, strides, padding, data_format, dilation_rate,
            activation, use_bias, bias_initializer, **options,
        )  # fmt: skip
        self.filters = self.positive(filters, "filters")
        self.depth_multiplier = self.positive(depth_multiplier, "depth_multiplier")
        self.depthwise_initializer = depthwise_initializer
        self.pointwise_initializer = pointwise_initializer

    def call(self, x: SymbolicTensor) -> SymbolicTensor:
        self.expect_spatial(x)
        channels = self.channels(x)
        y = self.convolve(x, self.depthwise_kernel("depthwise_kernel", channels), channels)
        ones = (1,) * self.spatial_rank
        kernel = self.weight(
            "pointwise_kernel",
            (*ones, channels * self.depth_multiplier, self.filters),
            self.pointwise_initializer,
            kernel_layout(self.spatial_rank),
        )
        y = emit("Conv", y, kernel, *self.bias(self.filters), kernel_shape=ones, **self.layout)
        return activate(y, self.activation)


class SeparableConv1D(SeparableConv):
    """Separable convolution over `[batch, steps, channels]`."""

    spatial_rank = 1
    paddings = ("valid", "same", "causal")


class SeparableConv2D(SeparableConv):
    """Separable convolution over `[batch, height, width, channels]`."""

    spatial_rank = 2
