"""A third target, in fewer than 120 lines of its own, runs networks; what it lacks falls back."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

import layercc as lc
from layercc.cpu.target import CpuTarget
from layercc.session.partition import partition
from tests import numpy_target
from tests.numpy_target import NumpyTarget

RNG = np.random.default_rng(0)


def normal(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


RES_BLOCK = """
graph block(x: f32[N, 6, 7, 9]) -> (y) {
  const u: f32[8, 6, 3, 3] = @weights("u")
  const v: f32[8, 8, 3, 3] = @weights("v")
  const s: f32[8, 6, 1, 1] = @weights("s")
  const b: f32[8] = @weights("b")
  a = Conv(x, u, b) {pads = [1, 1, 1, 1], strides = [2, 2]}
  c = Relu(a)
  d = Conv(c, v) {pads = [1, 1, 1, 1]}
  e = Conv(x, s) {strides = [2, 2]}
  f = Add(d, e)
  y = Relu(f)
}
"""
ATTENTION = """
graph attention(x: f32[N, 5, 12]) -> (y) {
  const q: f32[12, 12] = @weights("q")
  const k: f32[12, 12] = @weights("k")
  const v: f32[12, 12] = @weights("v")
  const heads: i64[4] = [0, 0, 3, 4]
  const joined: i64[3] = [0, 0, 12]
  const half: f32[] = 0.5
  a = MatMul(x, q)  b = MatMul(x, k)  c = MatMul(x, v)
  d = Reshape(a, heads)  e = Reshape(b, heads)  f = Reshape(c, heads)
  g = Transpose(d) {perm = [0, 2, 1, 3]}
  h = Transpose(e) {perm = [0, 2, 3, 1]}
  i = Transpose(f) {perm = [0, 2, 1, 3]}
  j = MatMul(g, h)
  k1 = Mul(j, half)
  l = Softmax(k1)
  m = MatMul(l, i)
  n = Transpose(m) {perm = [0, 2, 1, 3]}
  o = Reshape(n, joined)
  y = Add(o, x)
}
"""


def lenet() -> lc.Graph:
    model = lc.Sequential([
        lc.Input((28, 28, 1)),
        lc.Conv2D(6, 5, padding="same", activation="relu"), lc.MaxPooling2D(2),
        lc.Conv2D(16, 5, activation="relu"), lc.AveragePooling2D(2),
        lc.Flatten(), lc.Dense(20, activation="tanh"), lc.Dense(10, activation="softmax"),
    ])  # fmt: skip
    return model.graph if hasattr(model, "graph") else model


NETWORKS = {
    "LeNet-5": (lenet, (28, 28, 1)),
    "ResNet block": (
        lambda: lc.parse_graph(
            RES_BLOCK,
            weights={
                "u": normal(8, 6, 3, 3), "v": normal(8, 8, 3, 3), "s": normal(8, 6, 1, 1),
                "b": normal(8),
            },
        ),
        (6, 7, 9),
    ),
    "attention block": (
        lambda: lc.parse_graph(ATTENTION, weights={n: normal(12, 12) for n in "qkv"}),
        (5, 12),
    ),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:.*NumPy runs:RuntimeWarning")
@pytest.mark.parametrize("name", NETWORKS)
def test_networks_run_on_it(name: str) -> None:
    build, shape = NETWORKS[name]
    model = build()
    fn = lc.compile(model, target=NumpyTarget())
    on_cpu = lc.compile(model, threads=1)
    for batch in (1, 3):
        x = normal(batch, *shape)
        np.testing.assert_allclose(fn(x), on_cpu(x), rtol=2e-5, atol=2e-6)
    again = pickle.loads(pickle.dumps(fn))
    assert again.options.target == NumpyTarget()
    np.testing.assert_array_equal(again(x), fn(x))


def test_what_it_lacks_falls_back_and_is_named() -> None:
    with pytest.warns(RuntimeWarning, match="NumPy runs what cannot be compiled: MaxPool ×1"):
        fn = lc.compile(
            lc.parse_graph(
                "graph g(x: f32[N, 2, 6, 6]) -> (y) {"
                " a = Relu(x)  b = MaxPool(a) {kernel_shape = [2, 2]}  y = Neg(b) }"
            ),
            target=NumpyTarget(),
        )
    x = normal(2, 2, 6, 6)
    windows = np.lib.stride_tricks.sliding_window_view(np.maximum(x, 0), (2, 2), axis=(2, 3))
    np.testing.assert_array_equal(fn(x), -windows.max(axis=(-1, -2)))


class WithFallback(NumpyTarget):
    """The same, which leaves to the CPU what it lacks."""

    def fallback(self) -> CpuTarget:
        return CpuTarget()

    def __str__(self) -> str:
        return "numpy"


@pytest.mark.parametrize("pooled", [False, True])
def test_what_it_lacks_runs_on_another_target(pooled: bool) -> None:
    graph = lc.parse_graph(
        "graph g(x: f32[N, 2, 6, 6]) -> (y, n) {"
        " a = Relu(x)  b = MaxPool(a) {kernel_shape = [2, 2]}  c = AveragePool(b)"
        " {kernel_shape = [3, 3]}  d = Neg(c)  e = MaxPool(d) {kernel_shape = [2, 2]}"
        f" y = Exp(e) {'n = NonZero(y)' if pooled else 'n = Neg(a)'} }}"
    )
    with pytest.warns(RuntimeWarning, match="target cpu runs what numpy cannot: .*Pool") as caught:
        fn = lc.compile(graph, target=WithFallback())
        for batch in (3, 1):
            x = normal(batch, 2, 6, 6)
            y, n = fn(x)
            wanted = lc.interpret(graph, {"x": x})
            np.testing.assert_allclose(y, wanted["y"], rtol=1e-6)
            np.testing.assert_array_equal(n, wanted["n"])
    assert pooled or len(caught) == 1  # once, not for each shape


def test_sections_on_two_targets_are_as_large_as_can_be() -> None:
    graph = lc.parse_graph(
        "graph g(x: f32[N, 2, 6, 6]) -> (y, z) {"
        " a = Relu(x)  b = MaxPool(a) {kernel_shape = [2, 2]}  c = MaxPool(b)"
        " {kernel_shape = [2, 2]}  d = Neg(c)  y = Exp(d)  z = MaxPool(x) {kernel_shape = [2, 2]} }"
    )
    order = partition(graph, (), {"b", "c", "z"})
    assert [[node.name for node in section.nodes] for section in order] == [
        ["a"], ["b", "c", "z"], ["d", "y"],
    ]  # fmt: skip
    assert [section.elsewhere for section in order] == [False, True, False]


def test_it_is_small() -> None:
    path = Path(numpy_target.__file__)
    lines = path.read_text(encoding="utf-8").splitlines()
    assert sum(bool(line.strip()) for line in lines) < 120
