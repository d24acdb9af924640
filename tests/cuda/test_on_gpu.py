"""What only a card can show; and, on the stand-in device, that these tests are sound."""

from __future__ import annotations

import shutil
import subprocess
import sys

import numpy as np
import pytest

import layercc as lc
from ir.registry import find_op
from tests.cuda import node_suite, small_models, table

X = np.linspace(-3, 3, 1000, dtype=np.float32).reshape(10, 100)
NORMED = "graph g(x: f32[N,100]) -> (y) {\n a = Softmax(x)\n y = Gelu(a)\n}"


@pytest.fixture
def card() -> str:
    """The target of the card; skips where there is none."""
    if hindrance := lc.CudaTarget("cuda").hindrance():
        pytest.skip(f"no CUDA device: {hindrance}")
    return "cuda"


@pytest.fixture
def torch_card(card):
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("this PyTorch sees no CUDA device")
    return torch


def departures(every: bool) -> dict[str, object]:
    """The entries of the table of kernels that are wrong, and how."""
    found: dict[str, object] = {}
    for entry in table.cases(every=every):
        try:
            wrong: object = table.departures(entry, table.run(entry))
        except Exception as error:  # whatever one met, the others are worth knowing
            wrong = f"{type(error).__name__}: {str(error)[:200]}"
        if wrong:
            found[entry.name] = wrong
    return found


@pytest.mark.gpu
def test_the_table_of_kernels(card):
    assert not departures(every=True)


@pytest.mark.gpu
def test_the_node_tests_of_onnx(card):
    wrong = node_suite.failures()
    assert len(wrong) <= 0.05 * node_suite.tried(), wrong


@pytest.mark.gpu
@pytest.mark.parametrize("name", small_models.MODELS)
def test_models(card, name):
    assert small_models.check(name)


@pytest.mark.gpu
@pytest.mark.slow
@pytest.mark.parametrize("tool", ["memcheck", "racecheck", "synccheck", "initcheck"])
def test_the_sanitizer_finds_nothing(card, tool):
    program = shutil.which("compute-sanitizer")
    if program is None:
        pytest.skip("compute-sanitizer is not installed; it is part of the CUDA toolkit")
    command = [program, "--tool", tool, "--error-exitcode", "9", sys.executable, "-m"]
    done = subprocess.run(
        [*command, "tests.cuda.small_models"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]


@pytest.mark.gpu
def test_tensors_go_in_and_out_without_a_copy(torch_card):
    torch = torch_card
    fn = lc.compile(lc.parse_graph(NORMED), target="cuda")
    wanted = torch.from_numpy(fn(X)).cuda()
    x = torch.from_numpy(X).cuda()
    y = torch.from_dlpack(fn.run({"x": x}, device=True)["y"])
    assert y.device == x.device and torch.equal(y, wanted)
    z = torch.as_tensor(fn.run({"x": x}, device=True)["y"], device="cuda")  # the other protocol
    assert torch.equal(z, wanted)
    with pytest.raises(lc.InputError, match=r"x\.contiguous\(\)"):
        fn(x.T.contiguous().T)
    assert np.array_equal(fn(x[3:]), fn(X[3:])) and np.array_equal(fn(x[3:]), fn(X)[3:])


@pytest.mark.gpu
def test_the_callers_stream_is_respected(torch_card):
    """Work that takes long on a stream of the caller's, then the model, then more on another."""
    torch = torch_card
    fn = lc.compile(lc.parse_graph(NORMED), target="cuda")
    fn(X)
    one, two = torch.cuda.Stream(), torch.cuda.Stream()
    wanted = fn(np.zeros_like(X))
    for _ in range(20):
        with torch.cuda.stream(one):
            x = torch.from_numpy(X).cuda(non_blocking=True)
            torch.cuda._sleep(10_000_000)
            x.zero_()
            made = fn.run({"x": x}, device=True, stream=one)["y"]
        with torch.cuda.stream(two):
            y = torch.from_dlpack(made) + 0
        two.synchronize()
        assert np.array_equal(y.cpu().numpy(), wanted)


@pytest.mark.gpu
def test_other_contexts_are_left_alone(torch_card):
    torch = torch_card
    fn = lc.compile(lc.parse_graph(NORMED), target="cuda")
    before = torch.cuda.current_device()
    fn(X)
    assert torch.cuda.current_device() == before
    if torch.cuda.device_count() > 1:
        with torch.cuda.device(1):
            fn(X)
            assert torch.cuda.current_device() == 1


# The same functions on the stand-in device


def test_models_are_checked(stand_in, monkeypatch):
    tiny = lc.Sequential([lc.Input((5,)), lc.Dense(3, activation="relu")])
    monkeypatch.setattr(small_models, "MODELS", {"tiny": (lambda: tiny, X[:, :5].copy())})
    said: list[str] = []
    assert small_models.check("tiny", report=said.append) and "the same again" in said[0]
    assert small_models.main([]) == 0
    monkeypatch.setattr(small_models, "MOST", -1.0)
    assert small_models.main(["tiny"]) == 1


def test_node_tests_are_checked(stand_in, monkeypatch):
    names = [("node", f"test_{name}") for name in ("relu", "softmax_axis_1", "nonzero_example")]
    assert not node_suite.failures(names) and node_suite.tried(names) == 3
    assert stand_in.launched
    monkeypatch.setattr(node_suite, "read_data", lambda case: [([], [])])
    assert [*node_suite.failures(names)] == [f"node-{name}" for _, name in names]


def test_the_table_is_checked(stand_in, monkeypatch):
    monkeypatch.setattr(table, "ops", lambda: [find_op("Softmax"), find_op("Transpose")])
    assert not departures(every=False)
    monkeypatch.setattr(table, "run", lambda entry: entry.inputs)
    assert {*departures(every=False)} == {"Softmax", "Transpose"}
