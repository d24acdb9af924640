"""The benchmark: peers run the same model on the same arrays; differences and ratios are right."""

from __future__ import annotations

import json

import numpy as np
import pytest

import ir
from layercc.tools.arrays import make_inputs
from layercc.tools.benchmark import PEERS, benchmark, difference, installed_peers


class Reference:
    """A compiled model's face with the reference interpreter behind it."""

    threads = 1

    def __init__(self, text: str) -> None:
        self.graph = ir.parse_graph(text)

    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return ir.interpret(self.graph, inputs)


MODEL = """
graph g(x: f32[N, 4], i: i64[N], unused: f32[3]) -> (y, z) {
  const w: f32[4, 3] = random(0)
  a = MatMul(x, w)
  y = Relu(a)
  z = Add(i, i)
}"""


@pytest.mark.parametrize("peer", PEERS)
def test_a_peer_agrees(peer: str) -> None:
    pytest.importorskip(peer)
    fn = Reference(MODEL)
    x = np.random.default_rng(0).standard_normal((5, 4)).astype(np.float32)
    i = np.arange(5)
    result = benchmark(fn, x, i, np.zeros(3, np.float32), against=[peer], seconds=0.01)
    own, other = result.timings
    assert (own.runtime, other.runtime) == ("layercc", peer)
    assert other.difference < 1e-6
    assert own.ratio == 1
    assert other.ratio > 0
    assert own.best <= own.median <= own.p90
    assert peer in str(result)
    assert json.loads(json.dumps(result.to_dict()))["inputs"]["x"] == [5, 4]


def test_faults() -> None:
    fn = Reference(MODEL)
    with pytest.raises(ValueError, match="unknown runtime 'abacus'; there are onnxruntime"):
        benchmark(fn, against=["abacus"])
    with pytest.raises(ir.InputError, match="the inputs are x, i, unused"):
        benchmark(fn, np.zeros((1, 4), np.float32))
    with pytest.raises(ir.InputError, match="the inputs are x, i, unused"):
        benchmark(fn, *[np.zeros(1)] * 4)
    assert set(installed_peers()) <= set(PEERS)


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ([1.0, 2.0], [1.0, 2.5], 0.2),
        ([np.nan, 1.0], [np.nan, 1.0], 0.0),
        ([np.nan, 1.0], [1.0, 1.0], np.inf),
        ([np.inf, 1.0], [-np.inf, 1.0], np.inf),
        ([1.0], [1.0, 1.0], np.inf),
        ([], [], 0.0),
        ([0.5], [0.0], 0.5),
    ],
)
def test_difference(a: list[float], b: list[float], expected: float) -> None:
    assert difference(np.array(a), np.array(b)) == pytest.approx(expected)


def test_random_inputs_take_symbols_from_what_is_given() -> None:
    graph = ir.parse_graph("graph g(x: f32[N, K], m: bool[2*N], i: i32[K]) -> () {}")
    made = make_inputs(graph, shapes={"x": (3, 5)}, seed=1)
    assert {name: array.shape for name, array in made.items()} == {
        "x": (3, 5),
        "m": (6,),
        "i": (5,),
    }
    assert made["m"].dtype == np.bool_ and made["i"].dtype == np.int32
    assert set(np.unique(made["i"])) <= {0, 1}
    assert make_inputs(graph)["x"].shape == (1, 1)
    with pytest.raises(ir.InputError, match=r"declared bool\[2\*N\]"):
        make_inputs(graph, {"m": np.zeros(5, np.bool_)})
    with pytest.raises(ir.InputError, match="too large"):
        make_inputs(graph, shapes={"x": (1 << 20, 1 << 20)})
