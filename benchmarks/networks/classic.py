"""Networks that are plain chains of layers."""

from __future__ import annotations

from typing import Any

from layercc.layers import (
    AveragePooling2D,
    Conv2D,
    Dense,
    Flatten,
    Input,
    LocalResponseNormalization,
    MaxPooling2D,
    Model,
    Sequential,
)

#: Normal weights whose variance keeps that of activations through ReLU (He et al. 2015).
RELU: dict[str, Any] = {"activation": "relu", "kernel_initializer": "he_normal"}


def lenet5() -> Model:
    """LeCun et al. 1998, with full connections between feature maps."""
    return Sequential(
        [
            Input((28, 28, 1)),
            Conv2D(6, 5, padding="same", activation="tanh"),
            AveragePooling2D(2),
            Conv2D(16, 5, activation="tanh"),
            AveragePooling2D(2),
            Flatten(),
            Dense(120, activation="tanh"),
            Dense(84, activation="tanh"),
            Dense(10, activation="softmax"),
        ],
        name="lenet5",
    )


def mlp() -> Model:
    """Three dense layers: 784 → 512 → 256 → 10."""
    return Sequential(
        [Input((784,)), Dense(512, **RELU), Dense(256, **RELU), Dense(10, activation="softmax")],
        name="mlp",
    )


def alexnet() -> Model:
    """Krizhevsky et al. 2012: convolutions in two groups, local response normalisation."""
    return Sequential(
        [
            Input((227, 227, 3)),
            Conv2D(96, 11, strides=4, **RELU),
            LocalResponseNormalization(5, alpha=1e-4, beta=0.75, bias=2.0),
            MaxPooling2D(3, 2),
            Conv2D(256, 5, padding="same", groups=2, **RELU),
            LocalResponseNormalization(5, alpha=1e-4, beta=0.75, bias=2.0),
            MaxPooling2D(3, 2),
            Conv2D(384, 3, padding="same", **RELU),
            Conv2D(384, 3, padding="same", groups=2, **RELU),
            Conv2D(256, 3, padding="same", groups=2, **RELU),
            MaxPooling2D(3, 2),
            Flatten(),
            Dense(4096, **RELU),
            Dense(4096, **RELU),
            Dense(1000, activation="softmax"),
        ],
        name="alexnet",
    )


def vgg16() -> Model:
    """Simonyan and Zisserman 2015, configuration D."""
    chain: list[Any] = [Input((224, 224, 3))]
    for filters, count in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        chain += [Conv2D(filters, 3, padding="same", **RELU) for _ in range(count)]
        chain.append(MaxPooling2D(2))
    chain += [Flatten(), Dense(4096, **RELU), Dense(4096, **RELU)]
    return Sequential([*chain, Dense(1000, activation="softmax")], name="vgg16")
