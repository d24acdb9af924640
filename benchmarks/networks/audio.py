"""Networks that hear: WaveNet, DNSMOS and Whisper's encoder."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.networks.classic import RELU
from benchmarks.networks.transformer import attend
from layercc.layers import (
    Activation,
    Add,
    Conv1D,
    Conv2D,
    Dense,
    GlobalMaxPooling2D,
    Input,
    Lambda,
    LayerNormalization,
    MaxPooling2D,
    Model,
    Multiply,
    ReLU,
    Sequential,
)


def wavenet() -> Model:
    """Van den Oord et al. 2016: four blocks of ten layers whose dilation doubles, 32 channels, 256
    in the skip connections, over 4096 samples of 256 levels each. What the last layer would hand on
    to another one is left out."""
    x = Input((4096, 256))
    y = Conv1D(32, 1, use_bias=False)(x)
    skips = []
    for _ in range(4):
        for level in range(10):
            value, gate = (
                Conv1D(
                    32, 2, padding="causal", dilation_rate=1 << level, use_bias=False,
                    activation=activation,
                )(y)
                for activation in ("tanh", "sigmoid")
            )  # fmt: skip
            made = Multiply()([value, gate])
            skips.append(Conv1D(256, 1, use_bias=False)(made))
            y = Add()([y, Conv1D(32, 1, use_bias=False)(made)])
    y = ReLU()(Add()(skips))
    y = Conv1D(256, 1)(Conv1D(256, 1, **RELU)(y))
    return Model(x, y, name="wavenet")


def dnsmos() -> Model:
    """Reddy, Gopal and Cutler 2022, "DNSMOS P.835": the quality of 900 frames of 120 bands."""
    layers: list[Any] = [Input((900, 120, 1))]
    for filters in (128, 64, 64, 32):
        layers.append(Conv2D(filters, 3, padding="same", **RELU))
    for filters in (32, 32, 64):
        layers += [MaxPooling2D(2), Conv2D(filters, 3, padding="same", **RELU)]
    layers += [GlobalMaxPooling2D(), Dense(128, **RELU), Dense(64, **RELU), Dense(3)]
    return Sequential(layers, name="dnsmos")


def _sinusoids(length: int, width: int) -> np.ndarray:
    """`[length, width]`: sines, then cosines, of wave lengths up to 10 000."""
    rates = np.exp(-np.log(10_000) / (width // 2 - 1) * np.arange(width // 2))
    angles = np.arange(length)[:, None] * rates
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=1).astype(np.float32)


def whisper_encoder() -> Model:
    """Radford et al. 2022, tiny: 30 seconds of 80 bands; positions are no parameters."""
    width, heads, length = 384, 6, 1500
    x = Input((2 * length, 80))
    y = Conv1D(width, 3, padding="same", activation="gelu")(x)
    y = Conv1D(width, 3, 2, padding="same", activation="gelu")(y)
    table = _sinusoids(length, width)
    y = Lambda(lambda t: t + table, name="positions")(y)
    for _ in range(4):
        normed = LayerNormalization(epsilon=1e-5)(y)
        query, value = (Dense(width)(normed) for _ in range(2))
        key = Dense(width, use_bias=False)(normed)
        y = Add()([y, Dense(width)(attend(query, key, value, heads))])
        made = Dense(4 * width)(LayerNormalization(epsilon=1e-5)(y))
        y = Add()([y, Dense(width)(Activation("gelu")(made))])
    return Model(x, LayerNormalization(epsilon=1e-5)(y), name="whisper_encoder")
