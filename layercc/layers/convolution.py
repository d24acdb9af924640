"""Convolutions: dense, grouped, depthwise and separable, over one to three axes."""

from __future__ import annotations

from typing import Any

import numpy as np

from layercc.layers.activations import Activation, activate
from layercc.layers.initializers import Initializer
from layercc.layers.tensor import Tensor, emit
from layercc.layers.weight import Layout, transposed
from layercc.layers.windows import Sizes, Spatial, check_padding, padding_attributes, sizes


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


class Conv(Spatial):
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
        super().__init__(data_format, **options)
        rank = self.spatial_rank
        self.filters, self.groups = filters, groups
        self.kernel_size = sizes(self, kernel_size, rank, "kernel_size")
        self.strides = sizes(self, strides, rank, "strides")
        self.dilation_rate = sizes(self, dilation_rate, rank, "dilation_rate")
        allowed = ("valid", "same", "causal") if rank == 1 else ("valid", "same")
        self.padding = check_padding(self, padding, allowed)
        self.activation, self.use_bias = activation, use_bias
        self.kernel_initializer, self.bias_initializer = kernel_initializer, bias_initializer
        if filters < 1 or filters % groups:
            raise ValueError(f"{type(self).__name__}: {filters} filters in {groups} groups")

    def call(self, x: Tensor) -> Tensor:
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
        y = convolve(self, x, kernel, self.groups, self.bias(self.filters))
        return activate(y, self.activation)

    def bias(self, size: int) -> Tensor | None:
        return self.weight("bias", (size,), self.bias_initializer) if self.use_bias else None


def convolve(layer: Any, x: Tensor, kernel: Tensor, groups: int, bias: Tensor | None) -> Tensor:
    """Conv of `x` with the window settings of `layer`."""
    pads = padding_attributes(
        layer.padding, layer.spatial(x), layer.kernel_size, layer.strides, layer.dilation_rate
    )
    return emit(
        "Conv",
        x,
        kernel,
        *([] if bias is None else [bias]),
        kernel_shape=layer.kernel_size,
        strides=layer.strides,
        dilations=layer.dilation_rate,
        group=groups,
        **pads,
        **layer.layout,
    )


class Conv1D(Conv):
    """Convolution over `[batch, steps, channels]`."""

    spatial_rank = 1


class Conv2D(Conv):
    """Convolution over `[batch, height, width, channels]`."""

    spatial_rank = 2


class Conv3D(Conv):
    """Convolution over `[batch, depth, height, width, channels]`."""

    spatial_rank = 3


class DepthwiseConv(Spatial):
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
        super().__init__(data_format, **options)
        rank = self.spatial_rank
        self.kernel_size = sizes(self, kernel_size, rank, "kernel_size")
        self.strides = sizes(self, strides, rank, "strides")
        self.dilation_rate = sizes(self, dilation_rate, rank, "dilation_rate")
        self.padding = check_padding(self, padding, ("valid", "same"))
        self.depth_multiplier = depth_multiplier
        self.activation, self.use_bias = activation, use_bias
        self.depthwise_initializer = depthwise_initializer
        self.bias_initializer = bias_initializer

    def call(self, x: Tensor) -> Tensor:
        self.expect_spatial(x)
        made = depthwise(self, x, "kernel")
        bias = None
        if self.use_bias:
            bias = self.weight(
                "bias", (self.channels(x) * self.depth_multiplier,), self.bias_initializer
            )
        return activate(convolve(self, x, *made, bias), self.activation)


def depthwise(layer: Any, x: Tensor, name: str) -> tuple[Tensor, int]:
    """The depthwise kernel of `layer` for `x`, and its number of groups."""
    channels = layer.channels(x)
    kernel = layer.weight(
        name,
        (*layer.kernel_size, channels, layer.depth_multiplier),
        layer.depthwise_initializer,
        depthwise_layout(layer.spatial_rank),
    )
    return kernel, channels


class DepthwiseConv1D(DepthwiseConv):
    """Depthwise convolution over `[batch, steps, channels]`."""

    spatial_rank = 1


class DepthwiseConv2D(DepthwiseConv):
    """Depthwise convolution over `[batch, height, width, channels]`."""

    spatial_rank = 2


class SeparableConv(Spatial):
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
        super().__init__(data_format, **options)
        rank = self.spatial_rank
        self.filters, self.depth_multiplier = filters, depth_multiplier
        self.kernel_size = sizes(self, kernel_size, rank, "kernel_size")
        self.strides = sizes(self, strides, rank, "strides")
        self.dilation_rate = sizes(self, dilation_rate, rank, "dilation_rate")
        allowed = ("valid", "same", "causal") if rank == 1 else ("valid", "same")
        self.padding = check_padding(self, padding, allowed)
        self.activation, self.use_bias = activation, use_bias
        self.depthwise_initializer = depthwise_initializer
        self.pointwise_initializer = pointwise_initializer
        self.bias_initializer = bias_initializer

    def call(self, x: Tensor) -> Tensor:
        self.expect_spatial(x)
        made = depthwise(self, x, "depthwise_kernel")
        y = convolve(self, x, *made, None)
        ones = (1,) * self.spatial_rank
        kernel = self.weight(
            "pointwise_kernel",
            (*ones, self.channels(x) * self.depth_multiplier, self.filters),
            self.pointwise_initializer,
            kernel_layout(self.spatial_rank),
        )
        bias = [self.weight("bias", (self.filters,), self.bias_initializer)] * self.use_bias
        y = emit("Conv", y, kernel, *bias, kernel_shape=ones, **self.layout)
        return activate(y, self.activation)


class SeparableConv1D(SeparableConv):
    """Separable convolution over `[batch, steps, channels]`."""

    spatial_rank = 1


class SeparableConv2D(SeparableConv):
    """Separable convolution over `[batch, height, width, channels]`."""

    spatial_rank = 2
