"""Networks with shortcuts: ResNet, ResNeXt, DenseNet and ConvNeXt.

Batch normalisation has scattered statistics, as after training; the last one of a residual branch
scales it down, so that sums over many blocks stay near 1.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from layercc.layers import (
    Add,
    AveragePooling2D,
    BatchNormalization,
    Concatenate,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    GlobalAveragePooling2D,
    Input,
    Layer,
    LayerNormalization,
    MaxPooling2D,
    Model,
    ReLU,
    SymbolicTensor,
)


def convolve(
    x: SymbolicTensor, filters: int, size: int, strides: int = 1, **options: Any
) -> SymbolicTensor:
    """A convolution that a batch normalisation follows: no bias."""
    options.setdefault("kernel_initializer", "he_normal")
    layer = Conv2D(filters, size, strides, padding="same", use_bias=False, **options)
    return layer(x)


def depthwise_normal(shape: tuple[int, ...], dtype: type) -> np.ndarray:
    """Values of a depthwise kernel `[..., channels, 1]` that keep the variance of its input."""
    random = np.random.default_rng(shape[-2])
    return (random.standard_normal(shape) / math.sqrt(math.prod(shape[:-2]))).astype(dtype)


def normalize(x: SymbolicTensor, gain: float = 1.0) -> SymbolicTensor:
    layer = BatchNormalization(
        epsilon=1e-5,
        gamma_initializer=gain,
        beta_initializer="random_normal",
        moving_mean_initializer="random_normal",
    )
    return layer(x)


def _relu(x: SymbolicTensor) -> SymbolicTensor:
    return ReLU()(x)


def _shortcut(x: SymbolicTensor, filters: int, strides: int) -> SymbolicTensor:
    if strides == 1 and x.shape[-1] == filters:
        return x
    return normalize(convolve(x, filters, 1, strides), gain=0.7)


def _basic_block(x: SymbolicTensor, filters: int, strides: int) -> SymbolicTensor:
    y = _relu(normalize(convolve(x, filters, 3, strides)))
    y = normalize(convolve(y, filters, 3), gain=0.5)
    return _relu(Add()([y, _shortcut(x, filters, strides)]))


def _bottleneck(x: SymbolicTensor, filters: int, strides: int) -> SymbolicTensor:
    y = _relu(normalize(convolve(x, filters, 1)))
    y = _relu(normalize(convolve(y, filters, 3, strides)))
    y = normalize(convolve(y, 4 * filters, 1), gain=0.5)
    return _relu(Add()([y, _shortcut(x, 4 * filters, strides)]))


def _resnet(block: Any, counts: tuple[int, ...], name: str) -> Model:
    x = Input((224, 224, 3))
    y = _relu(normalize(convolve(x, 64, 7, 2)))
    y = MaxPooling2D(3, 2, padding="same")(y)
    for stage, count in enumerate(counts):
        for index in range(count):
            y = block(y, 64 << stage, 2 if stage and not index else 1)
    y = Dense(1000, activation="softmax")(GlobalAveragePooling2D()(y))
    return Model(x, y, name=name)


def resnet18() -> Model:
    """He et al. 2016, 18 layers."""
    return _resnet(_basic_block, (2, 2, 2, 2), "resnet18")


def resnet50() -> Model:
    """He et al. 2016, 50 layers; the stride is on the 3×3 convolution ("v1.5")."""
    return _resnet(_bottleneck, (3, 4, 6, 3), "resnet50")


def _grouped_bottleneck(x: SymbolicTensor, filters: int, strides: int) -> SymbolicTensor:
    """32 groups of 4 channels in the first stage."""
    y = _relu(normalize(convolve(x, 2 * filters, 1)))
    y = _relu(normalize(convolve(y, 2 * filters, 3, strides, groups=32)))
    y = normalize(convolve(y, 4 * filters, 1), gain=0.5)
    return _relu(Add()([y, _shortcut(x, 4 * filters, strides)]))


def resnext50() -> Model:
    """Xie et al. 2017, 50 layers, 32×4d."""
    return _resnet(_grouped_bottleneck, (3, 4, 6, 3), "resnext50")


def densenet121() -> Model:
    """Huang et al. 2017, 121 layers, growth 32."""
    growth, counts = 32, (6, 12, 24, 16)
    x = Input((224, 224, 3))
    y = _relu(normalize(convolve(x, 2 * growth, 7, 2)))
    y = MaxPooling2D(3, 2, padding="same")(y)
    for stage, count in enumerate(counts):
        for _ in range(count):
            made = convolve(_relu(normalize(y)), 4 * growth, 1)
            made = convolve(_relu(normalize(made)), growth, 3)
            y = Concatenate()([y, made])
        y = _relu(normalize(y))
        if stage < len(counts) - 1:
            y = AveragePooling2D(2)(convolve(y, int(y.shape[-1]) // 2, 1))
    y = Dense(1000, activation="softmax")(GlobalAveragePooling2D()(y))
    return Model(x, y, name="densenet121")


def convnext_tiny() -> Model:
    """Liu et al. 2022, T."""
    x = Input((224, 224, 3))
    y = LayerNormalization(epsilon=1e-6)(Conv2D(96, 4, strides=4)(x))
    for stage, count in enumerate((3, 3, 9, 3)):
        width = 96 << stage
        if stage:
            y = Conv2D(width, 2, strides=2)(LayerNormalization(epsilon=1e-6)(y))
        for _ in range(count):
            made = DepthwiseConv2D(7, padding="same", depthwise_initializer=depthwise_normal)(y)
            made = LayerNormalization(epsilon=1e-6)(made)
            made = Dense(width)(Dense(4 * width, activation="gelu")(made))
            y = Add()([y, LayerScale()(made)])
    y = LayerNormalization(epsilon=1e-6)(GlobalAveragePooling2D()(y))
    return Model(x, Dense(1000, activation="softmax")(y), name="convnext_tiny")


class LayerScale(Layer):
    """A learned factor a channel (Touvron et al. 2021)."""

    def call(self, x: SymbolicTensor) -> SymbolicTensor:
        return x * self.weight("gamma", (x.shape[-1],), 0.5)
