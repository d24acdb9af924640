"""Every layer of `keras.layers`, as a model of its own, through `from_keras`."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import layercc as lc
from tests.frontends.keras.comparing import check, interpreted, keras, random, randomize
from tests.layers.test_keras import ROWS, Row, apply, build

K, ops = keras.layers, keras.ops
pytestmark = [
    pytest.mark.keras,
    pytest.mark.filterwarnings("ignore:Layer .* was passed an input with a mask"),
]

IMAGE, STEPS, VOLUME = (9, 8, 3), (5, 4), (3, 5, 6, 2)


@pytest.mark.parametrize("row", [row for row in ROWS if row.layer != "Activation"], ids=str)
def test_layer_of_the_builder(row: Row) -> None:
    inputs = [keras.Input(shape) for shape in row.shapes]
    outputs = apply(build(K, row), row, inputs)
    model = keras.Model(inputs, outputs)
    randomize(model)
    arrays = [random(2, *shape, seed=i) for i, shape in enumerate(row.shapes)]
    check(model, arrays, compiled=False)


ACTIVATIONS = sorted(
    name
    for name, function in vars(keras.activations).items()
    if callable(function) and name not in ("get", "serialize", "deserialize", "threshold")
)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation(name: str) -> None:
    x = keras.Input((3, 6))
    model = keras.Model(x, K.Activation(getattr(keras.activations, name))(x))
    if name == "sparsemax":  # on PyTorch, Keras' own do not sum up to 1
        graph, given = lc.from_keras(model), random(2, 3, 6)
        found = interpreted(graph)(given)
        np.testing.assert_allclose(found.sum(-1), 1, rtol=1e-5)
        shift = (given - found).max(-1, keepdims=True, where=found > 0, initial=-np.inf)
        np.testing.assert_allclose(found, np.maximum(given - shift, 0), atol=1e-6)
        return
    check(model, random(2, 3, 6), compiled=False)


def of_masked(layer: Any, x: Any) -> Any:
    return layer(K.Embedding(4, 6, mask_zero=True)(x))


@keras.saving.register_keras_serializable("tests")
class Cell(K.Layer):
    """A recurrent cell of a user's own."""

    def __init__(self, units: int, **options: Any) -> None:
        super().__init__(**options)
        self.units = self.state_size = units
        self.mix = K.Dense(units)

    def build(self, shape: Any) -> None:
        self.mix.build((shape[0], shape[-1] + self.units))

    def call(self, x: Any, states: Any) -> Any:
        h = ops.tanh(self.mix(ops.concatenate([x, states[0]], axis=-1)))
        return h, [h]


def reversed_embedding(**arguments: Any) -> Callable[[Any], Any]:
    def network(x: Any) -> Any:
        embedding = K.ReversibleEmbedding(4, 3, **arguments)
        return embedding(K.Dense(3)(embedding(x)), reverse=True)

    return network


def stacked_cells() -> Any:
    return K.StackedRNNCells([K.LSTMCell(3), K.GRUCell(2)])


def boundaries() -> Any:
    return K.Discretization(bin_boundaries=[-0.5, 0.0, 1.0])


#: Layer → networks that hold it, each with the shapes or arrays of its inputs.
CASES: dict[str, list[tuple[Callable[..., Any], Any]]] = {
    "Activation": [(lambda x: K.Activation(lambda y: ops.tanh(y) * 2)(x), STEPS)],
    "CategoryEncoding": [
        (lambda x: K.CategoryEncoding(5, "multi_hot")(x), np.array([[0, 2], [4, 4]])),
        (lambda x: K.CategoryEncoding(5, "one_hot")(x), np.array([[0], [4]])),
        (lambda x: K.CategoryEncoding(5, "count")(x), np.array([[0, 2], [4, 4]])),
    ],
    "ConvLSTM1D": [(lambda x: K.ConvLSTM1D(2, 3, padding="same")(x), (3, 6, 2))],
    "ConvLSTM2D": [
        (lambda x: K.ConvLSTM2D(2, 3, return_sequences=True)(x), (3, 5, 6, 2)),
        (lambda x: K.ConvLSTM2D(2, 3, return_state=True, go_backwards=True)(x), (3, 5, 6, 2)),
    ],
    "ConvLSTM3D": [(lambda x: K.ConvLSTM3D(2, 2, strides=2)(x), (2, 4, 5, 4, 2))],
    "Discretization": [
        (lambda x: boundaries()(x), (3, 2)),
        (lambda x: K.Discretization(bin_boundaries=[0.0], output_mode="one_hot")(x), (1,)),
    ],
    "Embedding": [
        (lambda x: K.Embedding(4, 3)(x), np.array([[0, 3, 1]])),
        (lambda x: K.Embedding(4, 3)(x), np.array([[0.0, 3.0, 1.9]], np.float32)),
    ],
    "GRUCell": [(lambda x: K.RNN(K.GRUCell(3), return_sequences=True)(x), STEPS)],
    "LSTMCell": [(lambda x: K.RNN(K.LSTMCell(3), return_state=True)(x), STEPS)],
    "SimpleRNNCell": [(lambda x: K.RNN(K.SimpleRNNCell(3), go_backwards=True)(x), STEPS)],
    "StackedRNNCells": [
        (lambda x, flags=flags: K.RNN(stacked_cells(), **flags)(x), STEPS)
        for flags in (
            {},
            {"return_sequences": True},
            {"return_sequences": True, "go_backwards": True},
        )
    ],
    "RNN": [
        (lambda x: K.RNN(Cell(3), return_sequences=True)(x), STEPS),
        (lambda x: of_masked(K.RNN(Cell(3), return_sequences=True), x), np.array([[1, 0, 2, 0]])),
    ],
    "Lambda": [(lambda x: K.Lambda(lambda y: ops.mean(y, axis=1) - y[:, 0])(x), STEPS)],
    "Masking": [(lambda x: K.Masking(1.0)(x), np.ones((2, 3, 2), np.float32))],
    "MelSpectrogram": [
        (lambda x: K.MelSpectrogram(fft_length=16, sequence_stride=8, num_mel_bins=5)(x), (64,)),
        (
            lambda x: K.MelSpectrogram(
                fft_length=16, sequence_stride=8, sequence_length=12, power_to_db=False
            )(x),
            (64,),
        ),
    ],
    "MultiHeadAttention": [
        (lambda x: K.MultiHeadAttention(2, 3, attention_axes=(1, 2))(x, x), (3, 4, 5)),
        (lambda x: K.MultiHeadAttention(2, 3, output_shape=(2, 3))(x, x), STEPS),
        (lambda x: K.MultiHeadAttention(2, 3, use_gate=True)(x, x), STEPS),
        (lambda x: K.MultiHeadAttention(2, 3, sliding_window=2)(x, x), STEPS),
    ],
    "Pipeline": [(lambda x: K.Pipeline([K.Rescaling(2.0), K.CenterCrop(4, 4)])(x), IMAGE)],
    "ReversibleEmbedding": [
        (reversed_embedding(tie_weights=True), np.array([[0, 3, 1]])),
        (reversed_embedding(tie_weights=False, logit_soft_cap=0.5), np.array([[0, 3, 1]])),
    ],
    "SpatialDropout1D": [(lambda x: K.SpatialDropout1D(0.5)(x), STEPS)],
    "SpatialDropout3D": [(lambda x: K.SpatialDropout3D(0.5)(x), VOLUME)],
    "SpectralNormalization": [(lambda x: K.SpectralNormalization(K.Dense(3))(x), STEPS)],
    "STFTSpectrogram": [
        (lambda x: K.STFTSpectrogram("real", 8, 4)(x), (32, 1)),
        (lambda x: K.STFTSpectrogram("log", 8, 4, padding="same", expand_dims=True)(x), (32, 1)),
    ],
    "Resizing": [(lambda x: K.Resizing(4, 5)(x), random(2, 9, 8, 3, dtype="uint8"))],
    "Rescaling": [(lambda x: K.Rescaling(0.5, 1.0)(x), random(2, 9, 8, 3, dtype="uint8"))],
    "TimeDistributed": [
        (
            lambda x: K.TimeDistributed(
                keras.Sequential([keras.Input((4,)), K.Dense(3), K.ReLU()])
            )(x),
            STEPS,
        ),
    ],
    "Bidirectional": [
        (lambda x: K.Bidirectional(K.RNN(Cell(3), return_sequences=True))(x), STEPS),
        (
            lambda x: of_masked(K.Bidirectional(K.LSTM(3, return_sequences=True)), x),
            np.array([[1, 0, 2, 0]]),
        ),
    ],
    **{
        name: [(lambda x, name=name, kw=kw: getattr(K, name)(**kw)(x), IMAGE)]
        for name, kw in {
            "ActivityRegularization": {},
            "AlphaDropout": {"rate": 0.5},
            "GaussianDropout": {"rate": 0.5},
            "Identity": {},
            "Solarization": {},
            "RandomBrightness": {"factor": 0.2},
            "RandomColorDegeneration": {"factor": 0.2},
            "RandomColorJitter": {},
            "RandomContrast": {"factor": 0.2},
            "RandomCrop": {"height": 4, "width": 4},
            "RandomElasticTransform": {},
            "RandomErasing": {},
            "RandomFlip": {},
            "RandomGaussianBlur": {},
            "RandomGrayscale": {},
            "RandomHue": {"factor": 0.2},
            "RandomInvert": {},
            "RandomPerspective": {},
            "RandomPosterization": {"factor": 4},
            "RandomRotation": {"factor": 0.2},
            "RandomSaturation": {"factor": 0.2},
            "RandomSharpness": {"factor": 0.2},
            "RandomShear": {},
            "RandomTranslation": {"height_factor": 0.2, "width_factor": 0.2},
            "RandomZoom": {"height_factor": 0.2},
            "AugMix": {},
            "AutoContrast": {},
            "CutMix": {},
            "MixUp": {},
            "RandAugment": {},
        }.items()
    },
}


@pytest.mark.parametrize(
    ("name", "case"), [(n, i) for n, cases in CASES.items() for i in range(len(cases))]
)
def test_other_layer(name: str, case: int) -> None:
    network, given = CASES[name][case]
    array = given if isinstance(given, np.ndarray) else random(2, *given)
    x = keras.Input(array.shape[1:], dtype=array.dtype.name)
    model = keras.Model(x, network(x))
    randomize(model)
    check(model, array, compiled=False)


#: Layers called on their own: Keras makes no functional models of them.
ALONE: dict[str, list[tuple[Callable[[], Any], tuple[np.ndarray, ...]]]] = {
    "Equalization": [(lambda: K.Equalization(value_range=(0, 255)), (random(2, 9, 8, 3) * 50,))],
}


@pytest.mark.parametrize("name", ALONE)
def test_layer_alone(name: str) -> None:
    for make, arrays in ALONE[name]:
        layer = make()
        check(layer, arrays, example=arrays, compiled=False)


#: What `keras.layers` holds besides layers with a call of their own.
NOT_LAYERS = {
    "Input": "a function", "InputLayer": "an input", "InputSpec": "a description",
    "Layer": "the base of layers", "Wrapper": "the base of wrappers",
}  # fmt: skip


def test_every_layer_of_keras_is_compared_or_has_a_reason() -> None:
    from layercc.frontends.keras.registry import REFUSED_LAYERS

    compared = {row.layer for row in ROWS} | {row.inner[0] for row in ROWS if row.inner}
    compared |= {name for name, cases in (CASES | ALONE).items() if cases}
    every = {name: cls for name, cls in vars(K).items() if inspect.isclass(cls)}
    classes = {cls.__name__: name for name, cls in every.items()}
    wanted = {name for name in every if every[name].__name__ == name or name not in classes}
    names = {every[name].__name__ for name in every} - set(NOT_LAYERS)
    known = {every[name].__name__ for name in compared if name in every}
    assert names - known - set(REFUSED_LAYERS) == set(), wanted
    assert not known & set(REFUSED_LAYERS)
