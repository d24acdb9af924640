"""Networks whose outputs are larger than their inputs: a generator and super-resolution."""

from __future__ import annotations

from typing import Any

from benchmarks.networks.residual import normalize
from layercc.layers import (
    Conv2D,
    Conv2DTranspose,
    Input,
    Lambda,
    Model,
    PReLU,
    ReLU,
    SymbolicTensor,
    emit,
)


def dcgan_generator() -> Model:
    """Radford et al. 2016: 100 random numbers to an image of 64×64, with 64 feature maps in the
    last hidden layer."""
    x = Input((1, 1, 100))
    options: dict[str, Any] = {"use_bias": False, "kernel_initializer": "he_normal"}
    y = ReLU()(normalize(Conv2DTranspose(512, 4, **options)(x)))
    for filters in (256, 128, 64):
        y = Conv2DTranspose(filters, 4, strides=2, padding="same", **options)(y)
        y = ReLU()(normalize(y))
    y = Conv2DTranspose(3, 4, strides=2, padding="same", activation="tanh", **options)(y)
    return Model(x, y, name="dcgan_generator")


def _prelu(x: SymbolicTensor) -> SymbolicTensor:
    return PReLU(0.25, shared_axes=[1, 2])(x)


def fsrcnn() -> Model:
    """Dong, Loy and Tang 2016, (56, 12, 4), three times as large; 12 464 weights, biases and
    slopes not counted."""
    x = Input((128, 128, 1))
    y = _prelu(Conv2D(56, 5, padding="same", kernel_initializer="he_normal")(x))
    for filters, size in ((12, 1), (12, 3), (12, 3), (12, 3), (12, 3), (56, 1)):
        y = _prelu(Conv2D(filters, size, padding="same", kernel_initializer="he_normal")(y))
    y = Conv2DTranspose(1, 9, strides=3, padding="same", kernel_initializer="he_normal")(y)
    return Model(x, y, name="fsrcnn")


def espcn() -> Model:
    """Shi et al. 2016, three times as large: the last layer's channels become pixels."""
    scale = 3
    x = Input((224, 224, 1))
    y = Conv2D(64, 5, padding="same", activation="tanh")(x)
    y = Conv2D(32, 3, padding="same", activation="tanh")(y)
    y = Conv2D(scale**2, 3, padding="same")(y)
    return Model(x, Lambda(lambda t: _shuffle(t, scale), name="shuffle")(y), name="espcn")


def _shuffle(x: SymbolicTensor, scale: int) -> SymbolicTensor:
    """PyTorch's PixelShuffle, on channels-last images."""
    first = emit("Transpose", x, perm=(0, 3, 1, 2))
    wide = emit("DepthToSpace", first, blocksize=scale, mode="CRD")
    return emit("Transpose", wide, perm=(0, 2, 3, 1))
