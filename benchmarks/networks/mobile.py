"""Networks made small: MobileNetV2 and SqueezeNet."""

from __future__ import annotations

from benchmarks.networks.classic import RELU
from benchmarks.networks.residual import convolve, normalize
from layercc.layers import (
    Activation,
    Add,
    Concatenate,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    GlobalAveragePooling2D,
    Input,
    MaxPooling2D,
    Model,
    Softmax,
    SymbolicTensor,
)

#: Expansion, output channels, blocks, stride of the first block (Sandler et al. 2018, table 2).
_STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


def _relu6(x: SymbolicTensor) -> SymbolicTensor:
    return Activation("relu6")(x)


def _inverted_residual(
    x: SymbolicTensor, expansion: int, filters: int, strides: int
) -> SymbolicTensor:
    y = x
    channels = int(x.shape[-1])
    if expansion > 1:
        y = _relu6(normalize(convolve(y, expansion * channels, 1)))
    depthwise = DepthwiseConv2D(
        3, strides, padding="same", use_bias=False, depthwise_initializer="random_normal"
    )
    y = _relu6(normalize(depthwise(y), gain=4.0))  # the filters are small: 9 weights of 0.05
    y = normalize(convolve(y, filters, 1), gain=0.7)
    return Add()([x, y]) if strides == 1 and channels == filters else y


def mobilenet_v2() -> Model:
    """Sandler et al. 2018, width 1."""
    x = Input((224, 224, 3))
    y = _relu6(normalize(convolve(x, 32, 3, 2)))
    for expansion, filters, count, strides in _STAGES:
        for index in range(count):
            y = _inverted_residual(y, expansion, filters, 1 if index else strides)
    y = _relu6(normalize(convolve(y, 1280, 1)))
    y = Dense(1000, activation="softmax")(GlobalAveragePooling2D()(y))
    return Model(x, y, name="mobilenet_v2")


def _fire(x: SymbolicTensor, squeeze: int, expand: int) -> SymbolicTensor:
    y = Conv2D(squeeze, 1, **RELU)(x)
    wide = [Conv2D(expand, size, padding="same", **RELU)(y) for size in (1, 3)]
    return Concatenate()(wide)


def squeezenet() -> Model:
    """Iandola et al. 2016, version 1.1."""
    x = Input((224, 224, 3))
    y = Conv2D(64, 3, strides=2, **RELU)(x)
    for stage in (((16, 64), (16, 64)), ((32, 128), (32, 128))):
        y = MaxPooling2D(3, 2)(y)
        for squeeze, expand in stage:
            y = _fire(y, squeeze, expand)
    y = MaxPooling2D(3, 2)(y)
    for squeeze, expand in ((48, 192), (48, 192), (64, 256), (64, 256)):
        y = _fire(y, squeeze, expand)
    y = GlobalAveragePooling2D()(Conv2D(1000, 1, **RELU)(y))
    return Model(x, Softmax()(y), name="squeezenet")
