"""Small whole models on the stand-in device, against the reference in float64."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.networks.classic import lenet5
from benchmarks.networks.residual import convolve, normalize
from benchmarks.reference import reference_outputs
from layercc.compiler import as_graph
from layercc.layers import (
    GRU,
    LSTM,
    Add,
    Bidirectional,
    Dense,
    Embedding,
    GlobalAveragePooling2D,
    Input,
    LayerNormalization,
    MaxPooling2D,
    Model,
    MultiHeadAttention,
    ReLU,
)
from tests.cuda.running import distance, on_device

pytestmark = pytest.mark.usefixtures("stand_in")
RNG = np.random.default_rng(0)


def resnet_block() -> Model:
    """A stem, a block that halves the image, and what is behind the last block."""
    x = Input((16, 16, 3))
    stem = MaxPooling2D(3, 2, padding="same")(ReLU()(normalize(convolve(x, 8, 3))))
    y = ReLU()(normalize(convolve(stem, 12, 3, 2)))
    y = normalize(convolve(y, 12, 3), 0.3)
    y = ReLU()(Add()([y, normalize(convolve(stem, 12, 1, 2))]))
    return Model(x, Dense(10, activation="softmax")(GlobalAveragePooling2D()(y)), name="block")


def attention_block() -> Model:
    """Tokens through one layer of a transformer."""
    ids = Input((9,), dtype="int64", name="ids")
    x = LayerNormalization()(Embedding(50, 16)(ids))
    attended = MultiHeadAttention(2, 8)(x, x)
    x = LayerNormalization()(Add()([x, attended]))
    y = Dense(16)(Dense(40, activation="gelu")(x))
    return Model(ids, LayerNormalization()(Add()([x, y])), name="attention")


def lstm_steps() -> Model:
    """Some steps of an LSTM in both directions, and a GRU behind them."""
    x = Input((4, 7))
    y = Bidirectional(LSTM(9, return_sequences=True))(x)
    return Model(x, Dense(3)(GRU(8)(y)), name="recurrent")


MODELS = {
    "lenet5": (lenet5, RNG.standard_normal((2, 28, 28, 1)).astype(np.float32)),
    "resnet": (resnet_block, RNG.standard_normal((2, 16, 16, 3)).astype(np.float32)),
    "attention": (attention_block, RNG.integers(0, 50, (2, 9))),
    "recurrent": (lstm_steps, RNG.standard_normal((3, 4, 7)).astype(np.float32)),
}


@pytest.mark.parametrize("name", MODELS)
def test_model(name, stand_in):
    build, x = MODELS[name]
    graph = as_graph(build())
    (given,) = graph.input_names
    (found,) = on_device(graph, {given: x}).values()
    (exact,) = reference_outputs(graph, {given: x})
    assert distance(found, exact) <= 1e-6
    assert stand_in.calls.count("cuGraphLaunch") == 1
