"""Each layer with random weights against Keras, through the reference interpreter.

The table lists layer, arguments and input shapes; both sides are built from the same row, and
ours takes Keras' weights as they are.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

os.environ.setdefault("KERAS_BACKEND", "torch")
keras = pytest.importorskip("keras", reason="Keras is not installed")

from ir.interpreter import interpret  # noqa: E402
from layercc import layers  # noqa: E402

pytestmark = pytest.mark.keras


@dataclass
class Row:
    """One comparison. `calls` wraps what the layer is called on: one tensor, or a list."""

    layer: str
    arguments: dict[str, Any]
    shapes: list[tuple[int, ...]]
    spread: bool = False  # several inputs as separate arguments
    options: dict[str, Any] = field(default_factory=dict)
    inner: tuple[str, dict[str, Any]] | None = None  # the layer that a wrapper takes
    tolerance: float = 2e-5

    def __str__(self) -> str:
        inner = f"({self.inner[0]})" if self.inner else ""
        text = ",".join(f"{name}={value}" for name, value in self.arguments.items())
        return f"{self.layer}{inner}[{text}]{self.shapes}".replace(" ", "")


def row(layer: str, *shapes: tuple[int, ...], **arguments: Any) -> Row:
    return Row(layer, arguments, list(shapes))


# VOLUME is odd because Keras' torch backend averages padding in where `same` is uneven
# (TensorFlow does not, nor do we: test_models.py).
IMAGE, ODD, STEPS, VOLUME = (9, 8, 4), (7, 11, 3), (11, 6), (5, 9, 7, 2)

ROWS = [
    row("Dense", (7,), units=5, activation="relu"),
    row("Dense", (3, 7), units=5, use_bias=False),
    row("EinsumDense", (5, 7), equation="abc,cd->abd", output_shape=(None, 4), bias_axes="d"),
    row("EinsumDense", (5, 8), equation="...x,xy->...y", output_shape=4, activation="tanh"),
    row("Conv1D", STEPS, filters=5, kernel_size=3),
    row("Conv1D", STEPS, filters=5, kernel_size=3, padding="causal", dilation_rate=2),
    row("Conv1D", STEPS, filters=4, kernel_size=4, padding="same", strides=3),
    row("Conv2D", IMAGE, filters=6, kernel_size=3, activation="relu"),
    row("Conv2D", IMAGE, filters=6, kernel_size=(3, 2), strides=(2, 1), padding="valid"),
    row("Conv2D", IMAGE, filters=6, kernel_size=3, strides=2, padding="same", use_bias=False),
    row("Conv2D", ODD, filters=6, kernel_size=(4, 3), strides=(3, 2), padding="same"),
    row("Conv2D", IMAGE, filters=6, kernel_size=3, padding="same", groups=2),
    row("Conv2D", IMAGE, filters=5, kernel_size=2, dilation_rate=(2, 3), padding="same"),
    row("Conv2D", (3, 8, 7), filters=5, kernel_size=3, data_format="channels_first"),
    row("Conv3D", VOLUME, filters=3, kernel_size=(2, 3, 1), strides=(1, 2, 1), padding="same"),
    row("SeparableConv1D", STEPS, filters=5, kernel_size=3, depth_multiplier=2),
    row("SeparableConv2D", IMAGE, filters=5, kernel_size=3, strides=2, padding="same"),
    row("DepthwiseConv1D", STEPS, kernel_size=3, depth_multiplier=2, padding="same"),
    row("DepthwiseConv2D", IMAGE, kernel_size=3, depth_multiplier=3, activation="relu6"),
    row("DepthwiseConv2D", IMAGE, kernel_size=3, strides=2, padding="same"),
    row("Conv1DTranspose", STEPS, filters=5, kernel_size=3, strides=2),
    row("Conv1DTranspose", STEPS, filters=5, kernel_size=2, strides=3, padding="same"),
    row("Conv2DTranspose", IMAGE, filters=5, kernel_size=3, strides=2, padding="same"),
    row("Conv2DTranspose", IMAGE, filters=5, kernel_size=2, strides=2),
    row("Conv2DTranspose", IMAGE, filters=5, kernel_size=(4, 3), strides=(3, 1), padding="same"),
    row("Conv2DTranspose", IMAGE, filters=2, kernel_size=3, dilation_rate=2),
    row("Conv2DTranspose", IMAGE, filters=2, kernel_size=4, strides=2, output_padding=1),
    row("Conv3DTranspose", VOLUME, filters=3, kernel_size=2, strides=2),
    *(
        row(f"{kind}Pooling{len(shape) - 1}D", shape, **arguments)
        for kind in ("Max", "Average")
        for shape in (STEPS, ODD, VOLUME)
        for arguments in (
            {"pool_size": 2},
            {"pool_size": 3, "strides": 2, "padding": "same"},
            {"pool_size": 3, "strides": 1, "padding": "same"},
        )
    ),
    *(
        row(f"Global{kind}Pooling{len(shape) - 1}D", shape, keepdims=keepdims)
        for kind in ("Max", "Average")
        for shape, keepdims in ((STEPS, False), (ODD, True), (VOLUME, False))
    ),
    *(
        row(f"Adaptive{kind}Pooling{len(shape) - 1}D", shape, output_size=size)
        for kind in ("Max", "Average")
        for shape, size in ((STEPS, 4), ((8, 12, 3), (4, 3)), (ODD, (3, 5)), (VOLUME, 2))
    ),
    row("BatchNormalization", IMAGE),
    row("BatchNormalization", (7,), epsilon=1e-2, scale=False),
    row("BatchNormalization", STEPS, center=False),
    row("BatchNormalization", (3, 8, 7), axis=1),
    row("LayerNormalization", STEPS),
    row("LayerNormalization", IMAGE, axis=[2, 3], epsilon=1e-5),
    row("LayerNormalization", STEPS, scale=False),
    row("GroupNormalization", IMAGE, groups=2),
    row("GroupNormalization", IMAGE, groups=-1, center=False),
    row("GroupNormalization", (4, 5, 6), groups=2, axis=1),
    row("RMSNormalization", STEPS),
    row("RMSNormalization", IMAGE, axis=[2, 3]),
    row("UnitNormalization", STEPS),
    row("UnitNormalization", IMAGE, axis=[1, 2]),
    *(
        row("Activation", (3, 6), activation=name)
        for name in sorted(set(layers.activations.ACTIVATIONS) - {"sparsemax"})
    ),
    row("ReLU", (9,), max_value=1.0, negative_slope=0.25, threshold=0.5),
    row("ReLU", (9,), negative_slope=0.1, max_value=0.5),
    row("ReLU", (9,), max_value=0.3),
    row("LeakyReLU", (9,)),
    row("PReLU", IMAGE, shared_axes=[1, 2]),
    row("PReLU", (9,)),
    row("ELU", (9,), alpha=0.7),
    row("Softmax", STEPS, axis=1),
    row("Softmax", IMAGE, axis=[1, -1]),
    row("Flatten", IMAGE),
    row("Flatten", IMAGE, data_format="channels_first"),
    row("Reshape", (12,), target_shape=(3, -1)),
    row("Reshape", IMAGE, target_shape=(8, 9, 4)),
    row("Permute", IMAGE, dims=(3, 1, 2)),
    row("RepeatVector", (5,), n=3),
    row("Cropping1D", STEPS, cropping=(2, 3)),
    row("Cropping1D", STEPS, cropping=1),
    row("Cropping2D", IMAGE, cropping=((1, 0), (2, 3))),
    row("Cropping2D", (3, 9, 8), cropping=2, data_format="channels_first"),
    row("Cropping3D", VOLUME, cropping=(1, 2, 1)),
    row("ZeroPadding1D", STEPS, padding=(2, 0)),
    row("ZeroPadding2D", IMAGE, padding=((1, 0), (2, 3))),
    row("ZeroPadding2D", IMAGE, padding=(1, 2)),
    row("ZeroPadding3D", VOLUME, padding=1),
    row("UpSampling1D", STEPS, size=3),
    row("UpSampling2D", IMAGE, size=(2, 3)),
    row("UpSampling2D", ODD, size=2, interpolation="bilinear"),
    row("UpSampling3D", VOLUME, size=(1, 2, 2)),
    row("Resizing", ODD, height=13, width=6),
    row("Resizing", ODD, height=5, width=17, interpolation="nearest"),
    # where pixels count by area, Keras' torch backend is bicubic as TensorFlow is; else it is not
    row("Resizing", ODD, height=13, width=17, interpolation="bicubic", antialias=True),
    row("Resizing", ODD, height=5, width=17, interpolation="bicubic", antialias=True),
    row("CenterCrop", IMAGE, height=5, width=6),
    *(row(kind, STEPS, STEPS, STEPS) for kind in ("Add", "Multiply", "Average", "Maximum")),
    row("Add", IMAGE, (1, 1, 4)),
    row("Minimum", IMAGE, (9, 8, 1)),
    row("Multiply", IMAGE, (4,)),
    row("Subtract", (5,), (5,)),
    row("Concatenate", STEPS, (3, 6), axis=1),
    row("Concatenate", IMAGE, IMAGE),
    row("Dot", (5, 3), (4, 5), axes=(1, 2)),
    row("Dot", (7,), (7,), axes=1, normalize=True),
    row("Dot", (5, 3), (5, 4), axes=1),
    row("Rescaling", IMAGE, scale=1 / 127.5, offset=-1.0),
    row("Normalization", IMAGE, mean=[0.1, 0.2, 0.3, 0.4], variance=[1.0, 2.0, 0.5, 1.5]),
    row("Normalization", (5,), mean=0.5, variance=4.0, axis=None),
    *(
        row(kind, (5, 6), (5, 6), **arguments)
        for kind, arguments in (
            ("Attention", {}),
            ("Attention", {"use_scale": True}),
            ("Attention", {"score_mode": "concat", "use_scale": True}),
            ("AdditiveAttention", {}),
            ("AdditiveAttention", {"use_scale": False}),
        )
    ),
    row("Attention", (5, 6), (4, 3), (4, 6)),
    Row("Attention", {}, [(5, 6), (5, 6)], options={"use_causal_mask": True}),
    Row("MultiHeadAttention", {"num_heads": 2, "key_dim": 3}, [(5, 6), (7, 6)], True),
    Row(
        "MultiHeadAttention",
        {"num_heads": 3, "key_dim": 4, "value_dim": 2, "output_shape": 5, "use_bias": False},
        [(5, 6), (7, 4), (7, 3)],
        True,
    ),
    Row(
        "MultiHeadAttention",
        {"num_heads": 2, "key_dim": 3},
        [(5, 6), (5, 6)],
        True,
        {"use_causal_mask": True, "return_attention_scores": True},
    ),
    Row(
        "GroupQueryAttention",
        {"head_dim": 3, "num_query_heads": 4, "num_key_value_heads": 2},
        [(5, 6), (7, 6)],
        True,
    ),
    *(
        row(kind, STEPS, units=5, **arguments)
        for kind in ("LSTM", "GRU", "SimpleRNN")
        for arguments in (
            {},
            {"return_sequences": True},
            {"return_sequences": True, "return_state": True, "go_backwards": True},
            {"use_bias": False, "return_state": True},
            {"activation": "relu"},
        )
    ),
    row("LSTM", STEPS, units=3, recurrent_activation="hard_sigmoid"),
    row("GRU", STEPS, units=5, reset_after=False, return_sequences=True),
    *(
        Row("Bidirectional", {"merge_mode": mode}, [STEPS], inner=(kind, {"units": 4, **arguments}))
        for kind, mode, arguments in (
            ("LSTM", "concat", {}),
            ("LSTM", "concat", {"return_sequences": True}),
            ("GRU", "sum", {"return_sequences": True}),
            ("GRU", "mul", {}),
            ("SimpleRNN", "ave", {"return_sequences": True}),
            ("LSTM", None, {"return_sequences": True, "return_state": True}),
        )
    ),
    Row("TimeDistributed", {}, [(3, 5, 4)], inner=("Dense", {"units": 2})),
    Row("TimeDistributed", {}, [(3, 9, 8, 2)], inner=("Conv2D", {"filters": 3, "kernel_size": 3})),
    row("Dropout", (5,), rate=0.5),
    row("SpatialDropout2D", IMAGE, rate=0.5),
    row("GaussianNoise", (5,), stddev=1.0),
]


def build(module: Any, row: Row, weights: list[np.ndarray] | None = None) -> Any:
    """The layer of a row, of Keras or of ours."""
    positional = []
    if row.inner:
        kind, arguments = row.inner
        positional.append(getattr(module, kind)(**arguments))
    extra = {} if weights is None else {"weights": weights}
    return getattr(module, row.layer)(*positional, **row.arguments, **extra)


def apply(layer: Any, row: Row, inputs: list[Any]) -> list[Any]:
    """The layer's results, as a flat list."""
    if row.spread:
        made = layer(*inputs, **row.options)
    else:
        made = layer(inputs if len(inputs) > 1 else inputs[0], **row.options)
    return list(made) if isinstance(made, list | tuple) else [made]


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_layer_equals_keras(row: Row) -> None:
    random = np.random.default_rng(0)
    arrays = [random.standard_normal((2, *shape)).astype(np.float32) for shape in row.shapes]
    theirs = build(keras.layers, row)
    apply(theirs, row, arrays)  # builds it
    weights = [
        random.standard_normal(w.shape).astype(np.float32) * 0.4 + 0.1 for w in theirs.weights
    ]
    if row.layer == "BatchNormalization":
        weights[-1] = np.abs(weights[-1]) + 0.1
    if row.layer != "Normalization":
        theirs.set_weights(weights)
    expected = [keras.ops.convert_to_numpy(y) for y in apply(theirs, row, arrays)]

    inputs = [layers.Input(shape) for shape in row.shapes]
    given = [] if row.layer == "Normalization" else weights
    model = layers.Model(inputs, apply(build(layers, row, given), row, inputs))
    assert [w.shape for w in model.get_weights()] == [w.shape for w in given]
    for ours, kept in zip(model.get_weights(), given, strict=True):
        np.testing.assert_array_equal(ours, kept)

    found = interpret(model, dict(zip(model.input_names, arrays, strict=True)))
    assert len(found) == len(expected)
    for value, reference in zip(model.outputs, expected, strict=True):
        result = found[value.name]
        assert result.shape == reference.shape
        assert [2 if dim == "N" else dim for dim in value.shape] == list(reference.shape)
        np.testing.assert_allclose(result, reference, rtol=row.tolerance, atol=row.tolerance)


def test_embedding_equals_keras() -> None:
    indices = np.array([[0, 3, 6], [1, 1, 5]], np.int32)
    table = np.random.default_rng(0).standard_normal((7, 4)).astype(np.float32)
    theirs = keras.layers.Embedding(7, 4)
    theirs(indices)
    theirs.set_weights([table])
    x = layers.Input((3,), dtype="int32")
    model = layers.Model(x, layers.Embedding(7, 4, weights=[table])(x))
    result = interpret(model, {"x": indices})["embedding"]
    np.testing.assert_array_equal(result, keras.ops.convert_to_numpy(theirs(indices)))


def test_masked_attention_equals_keras() -> None:
    random = np.random.default_rng(0)
    query, value = (random.standard_normal((2, n, 6)).astype(np.float32) for n in (5, 4))
    allowed = random.random((2, 5, 4)) < 0.6
    allowed[..., 0] = True
    theirs = keras.layers.MultiHeadAttention(2, 3)
    expected = theirs(query, value, attention_mask=allowed)
    q, v = layers.Input((5, 6), name="q"), layers.Input((4, 6), name="v")
    mask = layers.Input((5, 4), dtype="bool", name="mask")
    layer = layers.MultiHeadAttention(2, 3, weights=theirs.get_weights())
    model = layers.Model([q, v, mask], layer(q, v, attention_mask=mask))
    found = interpret(model, {"q": query, "v": value, "mask": allowed})
    (result,) = found.values()
    np.testing.assert_allclose(result, keras.ops.convert_to_numpy(expected), rtol=1e-5, atol=1e-5)
