"""Networks of 3-D convolutions: C3D and R3D-18."""

from __future__ import annotations

from typing import Any

from benchmarks.networks.classic import RELU
from benchmarks.networks.residual import normalize
from layercc.layers import (
    Add,
    Conv3D,
    Dense,
    Flatten,
    GlobalAveragePooling3D,
    Input,
    MaxPooling3D,
    Model,
    ReLU,
    Sequential,
    SymbolicTensor,
)


def c3d() -> Model:
    """Tran et al. 2015: 16 frames of 112×112, the 487 classes of Sports-1M."""
    chain: list[Any] = [Input((16, 112, 112, 3))]
    for filters, count in ((64, 1), (128, 1), (256, 2), (512, 2), (512, 2)):
        chain += [Conv3D(filters, 3, padding="same", **RELU) for _ in range(count)]
        pool = (1, 2, 2) if filters == 64 else 2
        chain.append(MaxPooling3D(pool, padding="same"))
    chain += [Flatten(), Dense(4096, **RELU), Dense(4096, **RELU)]
    return Sequential([*chain, Dense(487, activation="softmax")], name="c3d")


def _convolve(x: SymbolicTensor, filters: int, size: Any, strides: Any = 1) -> SymbolicTensor:
    layer = Conv3D(
        filters, size, strides, padding="same", use_bias=False, kernel_initializer="he_normal"
    )
    return layer(x)


def _block(x: SymbolicTensor, filters: int, strides: int) -> SymbolicTensor:
    y = ReLU()(normalize(_convolve(x, filters, 3, strides)))
    y = normalize(_convolve(y, filters, 3), gain=0.5)
    if strides != 1:
        x = normalize(_convolve(x, filters, 1, strides), gain=0.7)
    return ReLU()(Add()([y, x]))


def r3d_18() -> Model:
    """Tran et al. 2018, "R3D", 18 layers: 8 frames of 112×112, the 400 classes of Kinetics."""
    x = Input((8, 112, 112, 3))
    y = ReLU()(normalize(_convolve(x, 64, (3, 7, 7), (1, 2, 2))))
    for stage in range(4):
        for index in range(2):
            y = _block(y, 64 << stage, 2 if stage and not index else 1)
    y = Dense(400, activation="softmax")(GlobalAveragePooling3D()(y))
    return Model(x, y, name="r3d_18")
