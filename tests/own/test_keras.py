"""Layer classes of Keras that an op stands for."""

# mypy: ignore-errors

from __future__ import annotations

import numpy as np
import pytest

import layercc as lc

keras = pytest.importorskip("keras", reason="Keras is not installed")
pytestmark = pytest.mark.keras


class Snake(keras.layers.Layer):
    def __init__(self, scale=1.0, **options):
        super().__init__(**options)
        self.scale = scale

    def build(self, shape):
        self.alpha = self.add_weight(shape=(shape[-1],), initializer="ones", name="alpha")

    def call(self, x):
        return self.scale * (x + keras.ops.sin(self.alpha * x) ** 2 / self.alpha)


class Difference(keras.layers.Layer):
    """What no front end could trace."""

    def call(self, x, y):
        return keras.ops.convert_to_tensor(np.asarray(x) - np.asarray(y))

    def compute_output_spec(self, x, y):
        return keras.KerasTensor(x.shape, x.dtype)


class Gated(keras.layers.Layer):
    def build(self, shape):
        self.gate = self.add_weight(shape=(shape[-1], 3), name="gate")
        self.up = self.add_weight(shape=(shape[-1], 3), name="up")

    def call(self, x):
        return keras.ops.silu(x @ self.gate) * (x @ self.up)


@lc.op(domain="tests.keras", keras=Snake)
def snake(x, alpha, scale: float = 1.0):
    return scale * (x + np.sin(alpha * x) ** 2 / alpha)


@lc.op(domain="tests.keras", shape="x", keras=Difference)
def difference(x, y, out):
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            out[i, j] = x[i, j] - y[i, j]


@lc.op(domain="tests.keras", composite=True, keras=Gated)
def gated(x, gate, up):
    return lc.activations.silu(x @ gate) * (x @ up)


def test_layers_become_nodes():
    x = keras.Input((5,), name="x")
    shared = Snake(scale=2.0, name="first")
    y = keras.layers.Dense(5, name="lift")(x)
    z = Gated(name="gated")(Difference(name="difference")(shared(y), shared(x)))
    model = keras.Model(x, z)
    graph = lc.from_keras(model)
    ops = {node.name: node.op for node in graph.nodes if node.op.startswith("tests.keras")}
    assert set(ops.values()) == {f"tests.keras.{op}" for op in ("snake", "difference", "gated")}
    assert {"first", "difference", "gated"} <= set(ops)
    snakes = [node for node in graph.nodes if node.op == "tests.keras.snake"]
    assert len(snakes) == 2 and snakes[0].inputs[1] == snakes[1].inputs[1]
    assert all(node.attributes == {"scale": 2.0} for node in snakes)
    fn = lc.compile(graph, threads=1)
    kernel, bias = model.get_layer("lift").get_weights()
    weights = model.get_layer("gated").get_weights()
    for rows in (3, 1):
        given = np.random.default_rng(0).normal(size=(rows, 5)).astype(np.float32)
        inner = snake(given @ kernel + bias, np.ones(5, np.float32), scale=2.0)
        inner = inner - snake(given, np.ones(5, np.float32), scale=2.0)
        np.testing.assert_allclose(fn(given), gated(inner, *weights), rtol=1e-4, atol=1e-5)


def test_layers_that_have_no_op_are_listed_with_how_to_add_one():
    class Opaque(keras.layers.Layer):
        def call(self, x):
            return keras.ops.convert_to_tensor(np.asarray(x))

        def compute_output_spec(self, x):
            return keras.KerasTensor(x.shape, x.dtype)

    x = keras.Input((5,))
    with pytest.raises(lc.UnsupportedError, match=r"(?s)Opaque.*'mine'.*@lc.op\(keras=...\)"):
        lc.from_keras(keras.Model(x, Opaque(name="mine")(x)))
