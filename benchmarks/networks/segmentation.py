"""U-Net."""

from __future__ import annotations

from benchmarks.networks.classic import RELU
from layercc.layers import (
    Concatenate,
    Conv2D,
    Conv2DTranspose,
    Input,
    MaxPooling2D,
    Model,
    SymbolicTensor,
)


def _double(x: SymbolicTensor, filters: int) -> SymbolicTensor:
    for _ in range(2):
        x = Conv2D(filters, 3, padding="same", **RELU)(x)
    return x


def unet() -> Model:
    """Ronneberger et al. 2015, with padded convolutions: 256×256×3 to two classes a pixel."""
    x = Input((256, 256, 3))
    y, skips = x, []
    for filters in (64, 128, 256, 512):
        y = _double(y, filters)
        skips.append(y)
        y = MaxPooling2D(2)(y)
    y = _double(y, 1024)
    for filters, skip in zip((512, 256, 128, 64), reversed(skips), strict=True):
        y = Conv2DTranspose(filters, 2, strides=2, kernel_initializer="he_normal")(y)
        y = _double(Concatenate()([skip, y]), filters)
    return Model(x, Conv2D(2, 1, activation="softmax")(y), name="unet")
