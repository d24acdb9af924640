"""The benchmark: peers run the same model on the same arrays; differences and ratios are right."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

import ir
import layercc as lc
from layercc.tools.arrays import difference, make_inputs
from layercc.tools.benchmark import PEERS, benchmark, installed_peers


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


X, INDICES, UNUSED = (
    np.random.default_rng(0).standard_normal((5, 4)).astype(np.float32),
    np.arange(5),
    np.zeros(3, np.float32),
)


def installed(peer: str) -> None:
    pytest.importorskip(PEERS[peer].package)
    if peer == "inductor" and not any(map(shutil.which, ("g++", "clang++"))):
        pytest.skip("no C++ compiler")


@pytest.mark.parametrize("streams", [1, 2])
@pytest.mark.parametrize(
    "peer", [pytest.param(p, marks=[pytest.mark.slow] * (p == "inductor")) for p in PEERS]
)
def test_a_peer_agrees(peer: str, streams: int) -> None:
    installed(peer)
    fn = Reference(MODEL)
    result = benchmark(fn, X, INDICES, UNUSED, against=[peer], seconds=0.01, streams=streams)
    assert result.points[0].failures == {}
    own, other = result.timings
    assert (own.runtime, other.runtime) == ("layercc", peer)
    assert other.difference < 1e-6
    assert other.version
    assert own.ratio.value == 1
    assert other.ratio.value > 0
    assert own.minimum <= own.median.value <= own.curve[-1]
    assert own.median.low <= own.median.value <= own.median.high
    assert peer in str(result)
    assert result.streams == streams
    assert json.loads(json.dumps(result.to_dict()))["points"][0]["inputs"]["x"] == "float32[5, 4]"


def test_batches() -> None:
    """Samples are taken in turn; each size has a point of its own."""
    fn = Reference(MODEL)
    seen = []
    fn.run = lambda inputs: seen.append(inputs) or ir.interpret(fn.graph, inputs)  # type: ignore
    result = benchmark(fn, X, INDICES, UNUSED, seconds=0.001, batch=[1, 8], probe=False)
    assert [(point.batch, point.inputs["x"]) for point in result.points] == [
        (1, "float32[1, 4]"),
        (8, "float32[8, 4]"),
    ]
    assert seen[0]["i"].tolist() == [0]
    assert seen[-1]["i"].tolist() == [0, 1, 2, 3, 4, 0, 1, 2]
    assert seen[-1]["unused"].shape == (3,)


def test_other_runtimes_may_be_functions() -> None:
    fn = Reference(MODEL)
    wanted = fn.run({"x": X, "i": INDICES, "unused": UNUSED})
    off = {"same": lambda: tuple(wanted.values()), "wrong": lambda: [wanted["y"] * 2, wanted["z"]]}

    def fails() -> None:
        raise OSError("gone")

    result = benchmark(fn, X, INDICES, UNUSED, against={**off, "fails": fails}, seconds=0.01)
    same, wrong = result.timings[1:]
    assert (same.difference, wrong.difference) == (0, 0.5)
    assert result.points[0].failures == {"fails": "OSError: gone"}


def test_settings_of_the_process_are_put_back() -> None:
    installed("torch")
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        benchmark(Reference(MODEL), X, INDICES, UNUSED, against=["torch"], seconds=0.01)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_what_a_runtime_cannot_run_is_told() -> None:
    installed("torch")
    fn = Reference("graph g(x: f32[2, 4]) -> (y) { y = Hardmax(x) }")
    result = benchmark(fn, np.zeros((2, 4), np.float32), against=["torch"], seconds=0.01)
    assert [timing.runtime for timing in result.timings] == ["layercc"]
    why = "UnsupportedError: no PyTorch form of Hardmax is known here"
    assert result.points[0].failures == {"torch": why}
    assert f"torch cannot run it: {why}" in str(result)


@pytest.mark.slow
def test_processes() -> None:
    """A fresh process reads the model that others get, too."""
    fn = lc.compile(ir.parse_graph(MODEL), threads=1)
    result = benchmark(fn, X, INDICES, UNUSED, seconds=0.01, processes=True, probe=False)
    found = result.timings[0].processes
    assert found is not None and found["peak_memory"] > found["memory_before_load"] > 1e6
    assert found["cold"] > 0 and found["warm"] > 0
    assert "peak memory" in str(result)


def test_faults() -> None:
    fn = Reference(MODEL)
    with pytest.raises(ValueError, match="unknown runtime 'abacus'; there are onnxruntime"):
        benchmark(fn, against=["abacus"])
    with pytest.raises(ValueError, match="streams must be at least 1, not 0"):
        benchmark(fn, X, INDICES, UNUSED, streams=0)
    with pytest.raises(ValueError, match="batch must be at least 1, not 0"):
        benchmark(fn, X, INDICES, UNUSED, batch=[1, 0])
    with pytest.raises(ir.InputError, match="the inputs are x, i, unused"):
        benchmark(fn, np.zeros((1, 4), np.float32))
    with pytest.raises(ir.InputError, match="the inputs are x, i, unused"):
        benchmark(fn, *[np.zeros(1)] * 4)
    assert set(installed_peers()) <= set(PEERS)


def test_the_digest_is_of_the_model_with_its_weights() -> None:
    texts = [MODEL, MODEL, MODEL.replace("random(0)", "random(1)"), MODEL.replace("Relu", "Abs")]
    first, same, *others = [
        benchmark(Reference(text), X, INDICES, UNUSED, seconds=0.001, probe=False).digest
        for text in texts
    ]
    assert first == same and len({first, *others}) == 3


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
