"""Recurrent layers on the stand-in device, against their references in float64."""

from __future__ import annotations

import numpy as np
import pytest

from ir.graph import Node
from layercc.cuda.emit import recurrence as emission
from layercc.cuda.kernels import recurrent as kernels
from tests.cuda.running import check_node, on_device
from tests.lower.test_recurrent import GATES, arrays, inputs_of
from tests.onnx import test_dynamic_lstm as quantised
from tests.support import graph_of, named, one_node, reference_node

pytestmark = pytest.mark.usefixtures("stand_in")
#: As the CPU's, but fewer, for each has a kernel of its own.
SOME = [
    ("RNN", (4, 2, 5, 9), "Bh", {"direction": "bidirectional", "activations": ["Relu", "Tanh"]}),
    ("LSTM", (7, 2, 13, 67), "BnhcP",
     {"direction": "bidirectional", "input_forget": 1, "clip": 0.4}),
    ("GRU", (6, 2, 5, 19), "Bnh", {"direction": "bidirectional"}),
    ("GRU", (3, 5, 2, 33), "Bh", {"layout": 1, "linear_before_reset": 1, "direction": "reverse"}),
]  # fmt: skip


def check(op, sizes, given, attributes, error=1e-6, constants=(1, 2), dtype=np.float32):
    inputs = [
        x if x is None or x.dtype.kind != "f" else x.astype(dtype)
        for x in inputs_of(op, sizes, given, attributes)
    ]
    count = 3 if op == "LSTM" else 2
    check_node(op, inputs, attributes, outputs=count, constants=constants, error=error)


@pytest.fixture
def steps(monkeypatch):
    """No layer is small enough for one launch."""
    for op in GATES:
        monkeypatch.setitem(kernels.MOST_HIDDEN, op, 0)


@pytest.mark.parametrize("case", SOME, ids=str)
@pytest.mark.sampled(2)
def test_whole_layers(case, stand_in):
    check(*case)
    assert len([name for name in stand_in.launched if "recurrent_layer" in name]) >= 1


@pytest.mark.parametrize("case", SOME, ids=str)
def test_step_by_step(case, steps, stand_in):
    check(*case)
    assert not [name for name in stand_in.launched if "recurrent_layer" in name]


def test_types():
    """f64's weights are too many bytes for registers; f16 is computed in f32."""
    check("LSTM", (3, 2, 5, 67), "Bh", {}, 1e-14, dtype="f8")
    check("LSTM", (3, 2, 5, 37), "Bn", {}, 1e-3, dtype="f2")


def test_sizes(steps):
    """Nothing to do, and one of everything; weights that only a run knows."""
    for sizes in ((0, 2, 3, 4), (3, 0, 3, 4), (1, 1, 1, 1)):
        check("LSTM", sizes, "Bh", {}, constants=())


def test_weights_that_are_computed():
    check("LSTM", (3, 2, 5, 37), "Bn", {}, constants=())


def test_only_the_last_state():
    """Y is absent: nothing is kept of the steps between."""
    inputs = arrays("LSTM", 6, 2, 5, 9, given="B")
    node = Node("LSTM", tuple(f"x{i}" for i in range(4)), ("", "", "c"), {})
    (c,) = on_device(graph_of([node], named(inputs), ["c"]), named(inputs)).values()
    np.testing.assert_allclose(c, reference_node("LSTM", inputs, {}, 3)[2], rtol=2e-5, atol=2e-6)


def test_a_sample_gives_the_same_alone_and_in_a_batch(monkeypatch):
    """Where a block has several samples, too; and NaN stays in its own."""
    inputs = arrays("LSTM", 4, 7, 5, 37, given="Bn")
    inputs[0][1, 4] = np.nan
    inputs[4][4] = 3

    def run(first: int, end: int) -> np.ndarray:
        part = [*inputs]
        part[0], part[4] = inputs[0][:, first:end], inputs[4][first:end]
        graph = one_node("LSTM", part, {}, 1, (1, 2, 3))
        given = {v.name: named(part)[v.name] for v in graph.inputs}
        (y,) = on_device(graph, given).values()
        return y

    whole = run(0, 7)
    np.testing.assert_array_equal(run(4, 5), whole[:, :, 4:5])
    assert np.isnan(whole[1:3, :, 4]).all() and not np.isnan(np.delete(whole, 4, 2)).any()
    monkeypatch.setattr(emission, "_MANY_SAMPLES", 0)
    np.testing.assert_array_equal(run(0, 7), whole)


@pytest.mark.parametrize("number", [2, 5])
def test_quantised(number):
    """With peepholes in two directions; unsigned weights with a scale for each column."""
    sizes, kinds, attributes = quantised.CASES[number]
    inputs = quantised.arrays(*sizes, **kinds)
    inputs[4] = np.arange(sizes[1], dtype=np.int32) + sizes[0] - sizes[1] + 1
    attributes = {"hidden_size": sizes[-1], **attributes}
    graph = one_node(quantised.OP, inputs, attributes, 3, quantised.WEIGHTS)
    found = on_device(graph, {v.name: named(inputs)[v.name] for v in graph.inputs})
    wanted = reference_node(quantised.OP, inputs, attributes, 3, exact=False)
    quantised.close(found.values(), wanted)


def test_quantised_with_nothing_to_do():
    for sizes in ((0, 2, 3, 4), (3, 0, 3, 4)):
        inputs = quantised.arrays(*sizes, given="hc")
        graph = one_node(quantised.OP, inputs, {"hidden_size": 4}, 3, quantised.WEIGHTS)
        found = on_device(graph, {v.name: named(inputs)[v.name] for v in graph.inputs})
        wanted = reference_node(quantised.OP, inputs, {"hidden_size": 4}, 3, exact=False)
        quantised.close(found.values(), wanted)
