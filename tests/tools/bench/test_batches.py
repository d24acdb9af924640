"""Which dim is the batch, files with a fixed one, and inputs of other sizes."""

from __future__ import annotations

import numpy as np
import pytest

import ir
import layercc as lc
from layercc.tools.bench.batches import at_batch, batch_axes, batch_symbol, samples, with_batch


def graph(inputs: str, body: str = "", outputs: str = "") -> ir.Graph:
    return ir.parse_graph(f"graph g({inputs}) -> ({outputs}) {{\n{body}\n}}")


@pytest.mark.parametrize(
    ("inputs", "axes"),
    [
        ("x: f32[N, 3]", {"x": 0}),
        ("x: f32[T, batch, 3], m: bool[batch]", {"x": 1, "m": 0}),  # by its name
        ("x: f32[S, 3], y: f32[4, 3], k: i64[S]", {"x": 0, "k": 0}),  # the leading symbol
        ("x: f32[T, 3], y: f32[B, T]", {"y": 0}),
    ],
)
def test_the_batch_dim(inputs: str, axes: dict[str, int]) -> None:
    assert batch_axes(graph(inputs)) == axes


def test_no_batch_dim() -> None:
    with pytest.raises(lc.InputError, match=r"no input of 'g' has a symbolic batch dim \(x: f32"):
        batch_axes(graph("x: f32[1, 3]"))
    with pytest.raises(lc.InputError, match=r"input m: f32\[2\*N\]: one dim that is N would fit"):
        batch_axes(graph("x: f32[N, 3], m: f32[2*N]"))
    with pytest.raises(lc.InputError, match=r"input m: f32\[N, N\]: one dim"):
        batch_axes(graph("x: f32[N, 3], m: f32[N, N]"))


FIXED = """
  const w: f32[4, 3, 2, 2] = random(0)
  const s: i64[2] = [-1, 36]
  a = Conv(x, w)
  b = Reshape(a, s)
  y = Relu(b)"""


def test_a_fixed_batch_becomes_a_symbol() -> None:
    fixed = graph("x: f32[2, 3, 4, 4]", FIXED, "y")
    opened = with_batch(fixed)
    assert batch_symbol(opened) == "N"
    assert opened.types["y"].shape == ("N", 36)
    assert with_batch(opened) is opened
    x = np.random.default_rng(0).standard_normal((5, 3, 4, 4)).astype(np.float32)
    made = lc.interpret(opened, {"x": x})["y"]
    for start in (0, 2):
        part = lc.interpret(fixed, {"x": x[start : start + 2]})["y"]
        assert np.allclose(made[start : start + 2], part)


@pytest.mark.parametrize(
    ("inputs", "body", "said"),
    [
        # the number of samples is written into the model
        ("x: f32[1, 4]", "const s: i64[1] = [4]\ny = Reshape(x, s)", "Reshape 'y' of 'g' hangs on"),
        ("x: f32[1, 4]", "const s: i64[2] = [1, -1]\ny = Reshape(x, s)", r"N samples it gives f32"),
        ("x: f32[2, 4]", "const k: f32[2, 4] = random(0)\ny = Add(x, k)", "Add 'y' of 'g' hangs"),
        # over all samples
        ("x: f32[2, 4]", "y = ReduceMean(x)", "ReduceMean 'y' of 'g' hangs on a batch of 2"),
        ("x: f32[2, 4], z: f32[3, 4]", "y = Neg(x)", "one leading dim, the batch, in all"),
        ("x: f32[]", "y = Neg(x)", "one leading dim, the batch, in all"),
    ],
)
def test_a_batch_that_cannot_change(inputs: str, body: str, said: str) -> None:
    with pytest.raises(lc.InputError, match=said):
        with_batch(graph(inputs, body, "y"))


def test_how_many_samples_there_are() -> None:
    arrays = {"m": np.zeros(7), "x": np.zeros((2, 7, 3))}
    assert samples(graph("x: f32[T, batch, 3], m: f32[batch]"), arrays) == 7
    assert samples(graph("x: f32[2, 7, 3], m: f32[7]"), arrays) is None


def test_samples_are_taken_in_turn() -> None:
    x, table = np.arange(6.0).reshape(3, 2), np.ones(4)
    made = at_batch({"x": x, "table": table}, {"x": 0}, 5)
    assert made["x"][:, 0].tolist() == [0, 2, 4, 0, 2]
    assert made["table"] is table
    assert at_batch({"x": x}, {"x": 1}, 1)["x"].tolist() == [[0], [2], [4]]
    with pytest.raises(lc.InputError, match="input 'x' has no samples; 5 are asked for"):
        at_batch({"x": x[:0]}, {"x": 0}, 5)
