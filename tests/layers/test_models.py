"""Models as graphs: names, shared weights, seeds, symbolic dims, nesting, errors."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from ir.diagnostics import InvalidModelError, ShapeError, UnsupportedError
from ir.graph import Graph
from ir.interpreter import interpret
from ir.verifier import verify
from layercc import layers as L


def run(model: Graph, *arrays: np.ndarray) -> list[np.ndarray]:
    verify(model)
    return list(interpret(model, dict(zip(model.input_names, arrays, strict=True))).values())


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(1).standard_normal(shape).astype(np.float32)


def test_sequential_is_a_graph_with_named_values() -> None:
    model = L.Sequential(
        [L.Input((28, 28, 1)), L.Conv2D(6, 5, activation="relu"), L.Flatten(), L.Dense(10)]
    )
    assert isinstance(model, Graph)
    assert [str(value) for value in model.inputs] == ["x: f32[N, 28, 28, 1]"]
    assert [str(value) for value in model.outputs] == ["dense: f32[N, 10]"]
    assert [node.name for node in model.nodes] == ["conv2d.conv", "conv2d", "flatten", "dense"]
    assert set(model.constants) == {"conv2d.kernel", "conv2d.bias", "dense.kernel", "dense.bias"}
    assert model.constants["conv2d.kernel"].shape == (6, 1, 5, 5)
    assert model.count_params() == 6 * 26 + 10 * (24 * 24 * 6 + 1)
    assert not any(node.op == "Transpose" for node in model.nodes)


def test_a_layer_called_twice_shares_its_weights() -> None:
    a, b = L.Input((4,), name="a"), L.Input((4,), name="b")
    shared = L.Dense(3, name="shared")
    model = L.Model([a, b], [shared(a), shared(b)])
    assert sorted(model.constants) == ["shared.bias", "shared.kernel"]
    x = normal(2, 4)
    first, second = run(model, x, x)
    np.testing.assert_array_equal(first, second)
    with pytest.raises(ShapeError, match=r"weight 'kernel' has shape \[4, 3\].*needs \[5, 3\]"):
        shared(L.Input((5,)))


def test_models_share_layers_and_take_intermediate_tensors() -> None:
    x = L.Input((6,))
    hidden = L.Dense(4, activation="tanh")(x)
    y = L.Dense(2)(hidden)
    whole, encoder, head = L.Model(x, y), L.Model(x, hidden), L.Model(hidden, y)
    value = normal(3, 6)
    (code,) = run(encoder, value)
    np.testing.assert_array_equal(run(head, code)[0], run(whole, value)[0])


def test_a_model_is_called_like_a_layer() -> None:
    inner = L.Sequential([L.Input((5,)), L.Dense(4, activation="relu"), L.Dense(3)])
    a, b = L.Input((5,)), L.Input((5,))
    model = L.Model([a, b], L.Subtract()([inner(a), inner(b)]))
    x = normal(2, 5)
    np.testing.assert_array_equal(run(model, x, x)[0], np.zeros((2, 3)))
    assert len(model.weights) == 4
    nested = L.Sequential([L.Input((7, 5)), L.TimeDistributed(inner), L.Flatten()])
    assert nested.outputs[0].shape[1] == 21
    steps = normal(2, 7, 5)
    expected = np.stack([run(inner, steps[:, t])[0] for t in range(7)], axis=1)
    np.testing.assert_allclose(run(nested, steps)[0].reshape(2, 7, 3), expected, atol=1e-6)


def test_initial_weights_depend_on_seed_and_names_alone() -> None:
    def build(**options: Any) -> list[np.ndarray]:
        return L.Sequential([L.Input((3,)), L.Dense(4), L.Dense(5)], **options).get_weights()

    first, again, other = build(), build(), build(seed=7)
    for one, two in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, two)
    assert not np.array_equal(first[0], other[0])
    L.set_seed(7)
    try:
        np.testing.assert_array_equal(build()[0], other[0])
    finally:
        L.set_seed(0)


@pytest.mark.parametrize(
    ("name", "deviation"),
    [
        ("glorot_uniform", (2 / (300 + 200)) ** 0.5),
        ("glorot_normal", (2 / (300 + 200)) ** 0.5),
        ("he_normal", (2 / 300) ** 0.5),
        ("lecun_uniform", (1 / 300) ** 0.5),
        ("orthogonal", (1 / 300) ** 0.5),
        ("random_normal", 0.05),
        ("truncated_normal", 0.05 * 0.8796),
    ],
)
def test_initializers_have_the_stated_deviation(name: str, deviation: float) -> None:
    model = L.Sequential([L.Input((300,)), L.Dense(200, kernel_initializer=name, use_bias=False)])
    (kernel,) = model.get_weights()
    assert abs(kernel.mean()) < 0.02 * deviation * 10
    assert kernel.std() == pytest.approx(deviation, rel=0.02)


def test_set_weights_reaches_every_graph_of_the_layer() -> None:
    x = L.Input((3,))
    layer = L.Dense(2)
    y = layer(x)
    one, two = L.Model(x, y), L.Model(x, L.ReLU()(y))
    one.set_weights([np.ones((3, 2)), np.full(2, -5.0)])
    value = np.ones((1, 3), np.float32)
    np.testing.assert_array_equal(run(one, value)[0], [[-2, -2]])
    np.testing.assert_array_equal(run(two, value)[0], [[0, 0]])
    assert one.get_weights()[0].shape == (3, 2)


def test_dims_may_be_symbolic() -> None:
    x = L.Input((None, None, 3), name="image")
    y = L.Conv2D(4, 3, strides=2, padding="same")(x)
    y = L.MaxPooling2D(2)(y)
    model = L.Model(x, y)
    assert str(model.inputs[0]) == "image: f32[N, image_1, image_2, 3]"
    assert run(model, normal(2, 15, 12, 3))[0].shape == (2, 4, 3, 4)
    named = L.Input(("T", 8))
    merged = L.TimeDistributed(L.Dense(3))(L.LSTM(5, return_sequences=True)(named))
    recurrent = L.Model(named, merged)
    assert [str(dim) for dim in recurrent.outputs[0].shape] == ["N", "T", "3"]
    assert run(recurrent, normal(2, 4, 8))[0].shape == (2, 4, 3)


def test_operators_make_layers() -> None:
    a, b = L.Input((3,)), L.Input((3,))
    model = L.Model([a, b], 1.0 - (a * 2.0 + b) / np.array([1, 2, 4], np.float32) ** 1)
    x, y = normal(2, 3), normal(2, 3) + 1
    np.testing.assert_allclose(run(model, x, y)[0], 1 - (2 * x + y) / [1, 2, 4], rtol=1e-6)


class Residual(L.Layer):
    """A user's own layer, of other layers."""

    def __init__(self, units: int, **options: Any) -> None:
        super().__init__(**options)
        self.inner = L.Dense(units, activation="relu")

    def call(self, x: L.SymbolicTensor) -> L.SymbolicTensor:
        return x + self.inner(x)


def test_layers_of_layers_keep_their_weights_apart() -> None:
    model = L.Sequential([L.Input((4,)), Residual(4), Residual(4)])
    assert sorted(model.constants) == [
        "residual.dense.bias",
        "residual.dense.kernel",
        "residual_1.dense.bias",
        "residual_1.dense.kernel",
    ]
    x = normal(2, 4)
    k0, b0, k1, b1 = model.get_weights()
    expected = x + np.maximum(x @ k0 + b0, 0)
    expected = expected + np.maximum(expected @ k1 + b1, 0)
    np.testing.assert_allclose(run(model, x)[0], expected, rtol=1e-5)


def test_lambda_and_callable_activation() -> None:
    model = L.Sequential(
        [
            L.Input((3,)),
            L.Lambda(lambda x: L.emit("Exp", x) - 1.0),
            L.Activation(lambda x: x * x),
        ]
    )
    x = normal(2, 3)
    np.testing.assert_allclose(run(model, x)[0], np.expm1(x) ** 2, rtol=1e-4, atol=1e-5)


def test_a_model_is_pickled_as_its_graph() -> None:
    model = L.Sequential([L.Input((3,)), L.Dense(2)])
    copy = pickle.loads(pickle.dumps(model))
    x = normal(2, 3)
    np.testing.assert_array_equal(run(copy, x)[0], run(model, x)[0])


def test_other_float_types() -> None:
    model = L.Sequential([L.Input((3,), dtype="float64"), L.Dense(2), L.LayerNormalization()])
    assert {array.dtype for array in model.constants.values()} == {np.dtype(np.float64)}
    mixed = L.Sequential([L.Input((3,)), L.Dense(2, dtype="float16")])
    assert run(mixed, normal(2, 3))[0].dtype == np.float16


def test_an_input_may_be_an_output() -> None:
    x = L.Input((3,))
    y = L.Dense(2)(x)
    model = L.Model(x, [x, y, y])
    assert len(set(model.output_names)) == 3
    value = normal(2, 3)
    first, second, third = run(model, value)
    np.testing.assert_array_equal(first, value)
    np.testing.assert_array_equal(second, third)


def test_layer_normalization_over_a_middle_axis() -> None:
    model = L.Sequential([L.Input((9, 8, 4)), L.LayerNormalization(axis=1, center=False)])
    x = normal(2, 9, 8, 4)
    expected = (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-3)
    np.testing.assert_allclose(run(model, x)[0], expected, rtol=1e-4, atol=1e-5)


def test_same_average_pooling_does_not_count_padding() -> None:
    model = L.Sequential([L.Input((4, 1)), L.AveragePooling1D(3, 2, "same")])
    x = np.array([1, 2, 3, 4], np.float32).reshape(1, 4, 1)
    np.testing.assert_allclose(run(model, x)[0].ravel(), [2.0, 3.5])


def test_local_response_normalization() -> None:
    model = L.Sequential([L.Input((2, 6)), L.LocalResponseNormalization(3, 0.3, 0.75, 2.0)])
    x = normal(1, 2, 6)
    padded = np.pad(x * x, ((0, 0), (0, 0), (1, 1)))
    total = padded[..., :-2] + padded[..., 1:-1] + padded[..., 2:]
    np.testing.assert_allclose(run(model, x)[0], x / (2 + 0.1 * total) ** 0.75, rtol=1e-5)


def conv_of_dense() -> Any:
    return L.Sequential([L.Input((28, 28)), L.Conv2D(6, 5, name="first")])


def add_of_two() -> Any:
    return L.Add(name="sum")([L.Input((3, 4)), L.Input((5, 4))])


ERRORS: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (conv_of_dense, ShapeError, r"Conv2D 'first'.*f32\[N, 28, 28\]; 4 dims would fit"),
    (add_of_two, ShapeError, r"Add 'sum'.*f32\[N, 3, 4\].*f32\[N, 5, 4\]"),
    (lambda: L.Dense(4)(L.Input((None,))), ShapeError, "dims must be known integers"),
    (lambda: L.Conv2D(4, 3, groups=3), ValueError, "4 filters in 3 groups"),
    (lambda: L.Conv2D(4, (3, 3, 3)), ValueError, "kernel_size"),
    (lambda: L.Conv2D(4, 3, padding="full"), ValueError, "valid or same would fit"),
    (lambda: L.Reshape((5, -1))(L.Input((12,))), ShapeError, "12 elements a sample"),
    (lambda: L.Conv2D(4, 9)(L.Input((5, 5, 1))), ShapeError, "Conv2D"),
    (lambda: L.Sequential([L.Dense(3)]), InvalidModelError, "input shape is not known"),
    (lambda: L.Dense(3, activation="nope")(L.Input((3,))), ValueError, "no activation 'nope'"),
    (lambda: L.Dense(3, unknown=1), TypeError, "no argument 'unknown'"),
    (lambda: L.LSTM(3, stateful=True), UnsupportedError, "stateful"),
    (lambda: L.Dense(3)(np.zeros((1, 2))), TypeError, "compile it"),
    (
        lambda: L.Dense(3, weights=[np.zeros((2, 4))])(L.Input((2,))),
        ShapeError,
        r"shape \[2, 3\], an array of shape \[2, 4\]",
    ),
    (
        lambda: L.Dense(3, weights=[np.zeros((2, 3)), np.zeros(3), 1])(L.Input((2,))),
        ShapeError,
        "1 more weights",
    ),
    (lambda: L.Embedding(5, 2)(L.Input((3,))), ShapeError, "i32 or i64 indices would fit"),
    (
        lambda: L.Model(L.Input((2,)), L.Dense(2)(L.Input((2,), name="other"))),
        InvalidModelError,
        "depends on Input 'other'",
    ),
]


@pytest.mark.parametrize(("make", "kind", "message"), ERRORS)
def test_errors_say_what_would_fit(
    make: Callable[[], Any], kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message):
        make()


def test_an_error_names_the_users_line() -> None:
    with pytest.raises(ShapeError, match=r"from .*test_models.py:\d+"):
        conv_of_dense()


def test_training_arguments_are_accepted() -> None:
    L.Dense(2, kernel_regularizer="l2", trainable=False)(L.Input((3,)), training=False)
