"""What Keras refuses, the builder refuses too."""

from __future__ import annotations

import os
from typing import Any

import pytest

os.environ.setdefault("KERAS_BACKEND", "torch")
keras = pytest.importorskip("keras", reason="Keras is not installed")

from ir.diagnostics import ShapeError  # noqa: E402
from layercc import layers  # noqa: E402

pytestmark = pytest.mark.keras

Row = tuple[str, dict[str, Any], list[tuple[int, ...]]]


def row(layer: str, *shapes: tuple[int, ...], **arguments: Any) -> Row:
    return layer, arguments, list(shapes)


FLAT, STEPS, IMAGE, VOLUME = (5,), (9, 2), (9, 9, 2), (9, 9, 9, 2)
STRIDED = {"kernel_size": 2, "strides": 2, "dilation_rate": 2}

ROWS = [
    row("Cropping1D", (6, 2), cropping=(3, 3)),
    row("Cropping1D", (6, 2), cropping=(-1, 0)),
    row("Cropping2D", (4, 4, 1), cropping=((2, 2), (0, 0))),
    row("Cropping3D", (4, 4, 4, 1), cropping=2),
    row("Conv1D", STEPS, filters=2, **STRIDED),
    row("Conv2D", IMAGE, filters=2, **STRIDED),
    row("Conv3D", VOLUME, filters=2, **STRIDED),
    row("Conv1DTranspose", STEPS, filters=2, **STRIDED),
    row("Conv2DTranspose", IMAGE, filters=2, **STRIDED),
    row("Conv2DTranspose", IMAGE, filters=2, kernel_size=3, strides=2, output_padding=2),
    *(row("Conv1D", STEPS, filters=filters, kernel_size=2) for filters in (0, -1)),
    row("Conv1D", STEPS, filters=2, kernel_size=0),
    row("Conv1D", STEPS, filters=2, kernel_size=2, strides=0),
    *(row("Conv1D", STEPS, filters=3, kernel_size=2, groups=groups) for groups in (0, 2, 3)),
    row("Conv1D", STEPS, filters=2, kernel_size=10),
    row("Conv2D", IMAGE, filters=2, kernel_size=3, padding="causal"),
    row("Conv2D", IMAGE, filters=2, kernel_size=(3,)),
    row("Conv2D", IMAGE, filters=2, kernel_size=2, data_format="x"),
    row("Conv1DTranspose", STEPS, filters=0, kernel_size=2),
    row("DepthwiseConv2D", IMAGE, kernel_size=3, depth_multiplier=0),
    row("DepthwiseConv2D", IMAGE, kernel_size=10),
    row("SeparableConv2D", IMAGE, filters=2, kernel_size=3, depth_multiplier=0),
    row("SeparableConv2D", IMAGE, filters=0, kernel_size=3),
    row("SeparableConv2D", IMAGE, filters=2, kernel_size=10),
    *(
        row(layer, FLAT, **{argument: value})
        for layer, argument in (
            ("Dropout", "rate"),
            ("AlphaDropout", "rate"),
            ("GaussianDropout", "rate"),
            ("GaussianNoise", "stddev"),
        )
        for value in (1.5, -0.1)
    ),
    *(row(f"SpatialDropout{len(x) - 1}D", x, rate=1.5) for x in (STEPS, IMAGE, VOLUME)),
    *(row(f"SpatialDropout{rank}D", FLAT, rate=0.5) for rank in (1, 2, 3)),
    *(row("Dense", FLAT, units=units) for units in (0, -2, 2.5)),
    row("Embedding", FLAT, input_dim=0, output_dim=2),
    row("Embedding", FLAT, input_dim=2, output_dim=0),
    *(row(kind, STEPS, units=n) for kind in ("LSTM", "GRU", "SimpleRNN") for n in (0, -3)),
    row("LSTM", FLAT, units=3),
    *(row("ReLU", FLAT, **{name: -1.0}) for name in ("max_value", "negative_slope", "threshold")),
    row("LeakyReLU", FLAT, negative_slope=-1.0),
    *(row("GroupNormalization", (5, 4), groups=groups) for groups in (0, -2, 3, 8)),
    *(row(f"{kind}Normalization", (5, 4), axis=3) for kind in ("Batch", "Layer", "RMS", "Unit")),
    row("RepeatVector", FLAT, n=0),
    row("RepeatVector", (5, 2), n=2),
    row("Permute", (5, 4), dims=(0, 1)),
    row("Permute", FLAT, dims=(1, 2)),
    row("Reshape", (5, 4), target_shape=(3,)),
    row("Reshape", (5, 4), target_shape=(-1, -1)),
    *(row("MaxPooling1D", (5, 4), pool_size=size) for size in (0, 6)),
    row("AveragePooling2D", (5, 5, 4), pool_size=6),
    row("MaxPooling2D", IMAGE, strides=0),
    row("MaxPooling2D", IMAGE, padding="x"),
    row("MaxPooling2D", (5, 5)),
    row("GlobalAveragePooling1D", FLAT),
    row("GlobalMaxPooling2D", (5, 5)),
    row("UpSampling2D", IMAGE, size=0),
    row("UpSampling1D", STEPS, size=0),
    row("UpSampling1D", FLAT),
    row("ZeroPadding1D", STEPS, padding=-1),
    row("ZeroPadding2D", IMAGE, padding=(1, 2, 3)),
    row("ZeroPadding2D", (5, 5)),
    row("Add", (5, 3), (5, 4)),
    row("Add", FLAT),
    row("Subtract", FLAT, FLAT, FLAT),
    row("Concatenate", (5, 3), (5, 4), axis=1),
    row("Concatenate", (5, 3), (4,)),
    row("Concatenate", (5, 3), (5, 4), axis=5),
    row("Concatenate", FLAT),
    row("Dot", FLAT, (4,), axes=1),
    row("Dot", FLAT, (4,), axes=(1, 2, 3)),
    row("Dot", FLAT, FLAT, axes="x"),
    row("Dot", FLAT, axes=1),
    row("Attention", (5, 3), (4, 3), score_mode="x"),
    row("Attention", (5, 3)),
    row("EinsumDense", (5, 4), equation="abbc", output_shape=3),
    row("PReLU", (5, 4), shared_axes=[4]),
    row("Normalization", FLAT, mean=1.0),
    row("Activation", FLAT, activation="x"),
    row("Flatten", (5, 4), data_format="x"),
]


def apply(module: Any, row: Row) -> None:
    name, arguments, shapes = row
    inputs = [module.Input(shape) for shape in shapes]
    getattr(module, name)(**arguments)(inputs if len(inputs) > 1 else inputs[0])


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row[0]}{row[1]}{row[2]}".replace(" ", ""))
def test_both_refuse(row: Row) -> None:
    with pytest.raises((ValueError, TypeError, LookupError, ArithmeticError, OverflowError)):
        apply(keras.layers, row)
    with pytest.raises((ShapeError, ValueError, TypeError)):
        apply(layers, row)
