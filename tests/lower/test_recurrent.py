"""RNN, LSTM and GRU against their references, in all variants and odd sizes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from layercc.cpu.programs import program_of
from layercc.lower import lower
from layercc.weights import Weights
from tests.support import chosen_isa, named, one_node, reference_node, run_node

GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}


def arrays(
    op: str, time: int, batch: int, features: int, hidden: int, *,
    directions: int = 1, layout: int = 0, given: str = "", dtype: Any = np.float32,
) -> list[np.ndarray | None]:  # fmt: skip
    """Inputs of a layer; `given` names optional ones: B(ias), n (lengths), h, c, P(eepholes)."""
    rng = np.random.default_rng(time * 1000 + hidden)
    rows = GATES[op] * hidden

    def normal(*shape: int) -> np.ndarray:
        return (rng.standard_normal(shape) * 0.5).astype(dtype)

    state = (batch, directions, hidden) if layout else (directions, batch, hidden)
    made: list[np.ndarray | None] = [
        normal(batch, time, features) if layout else normal(time, batch, features),
        normal(directions, rows, features),
        normal(directions, rows, hidden),
        normal(directions, 2 * rows) if "B" in given else None,
        rng.integers(0, time + 1, batch).astype(np.int32) if "n" in given else None,
        normal(*state) if "h" in given else None,
    ]
    if op == "LSTM":
        made.append(normal(*state) if "c" in given else None)
        made.append(normal(directions, 3 * hidden) if "P" in given else None)
    return made


CASES = [
    # op, (time, batch, features, hidden), optional inputs, attributes
    ("RNN", (5, 3, 7, 11), "", {}),
    ("RNN", (4, 2, 5, 9), "Bh", {"activations": ["Relu"], "direction": "reverse"}),
    ("RNN", (3, 3, 4, 5), "B", {"activations": ["Affine"], "activation_alpha": [0.5],
                                "activation_beta": [0.25]}),
    ("RNN", (3, 3, 4, 5), "B", {"activations": ["ThresholdedRelu"], "activation_alpha": [0.3]}),
    ("LSTM", (5, 3, 7, 11), "", {}),
    ("LSTM", (1, 1, 1, 1), "Bhc", {}),
    ("LSTM", (7, 2, 13, 67), "BnhcP", {"direction": "bidirectional"}),
    ("LSTM", (5, 4, 3, 17), "Bnhc", {"layout": 1, "direction": "bidirectional"}),
    ("LSTM", (4, 2, 3, 16), "BP", {"input_forget": 1, "clip": 0.4}),
    ("LSTM", (5, 3, 2, 8), "Bhc", {"clip": 0.1}),  # cells beyond what gates are clipped to
    ("LSTM", (4, 2, 3, 16), "B", {
        "activations": ["HardSigmoid", "ScaledTanh", "LeakyRelu"],
        "activation_alpha": [0.3, 1.5, 0.1], "activation_beta": [0.4, 0.7]}),
    ("LSTM", (4, 2, 3, 16), "B", {
        "direction": "bidirectional",
        "activations": ["Sigmoid", "Tanh", "Tanh", "HardSigmoid", "Softsign", "Elu"]}),
    ("GRU", (5, 3, 7, 11), "", {}),
    ("GRU", (6, 2, 5, 19), "Bnh", {"direction": "bidirectional"}),
    ("GRU", (6, 2, 5, 19), "Bnh", {"direction": "reverse", "linear_before_reset": 1}),
    ("GRU", (3, 5, 2, 33), "Bh", {"layout": 1, "clip": 0.5, "linear_before_reset": 1}),
    ("GRU", (3, 2, 2, 8), "B", {"activations": ["Softplus", "Relu"]}),
]  # fmt: skip


def inputs_of(op: str, sizes: tuple[int, ...], given: str, attributes: dict) -> list:
    directions = 2 if attributes.get("direction") == "bidirectional" else 1
    return arrays(
        op, *sizes, given=given, directions=directions, layout=attributes.get("layout", 0)
    )


@pytest.mark.parametrize("op, sizes, given, attributes", CASES)
@pytest.mark.parametrize("fixed", [True, False], ids=["constant", "variable"])
def test_against_reference(
    op: str, sizes: tuple[int, ...], given: str, attributes: dict, fixed: bool
) -> None:
    inputs = inputs_of(op, sizes, given, attributes)
    count = 3 if op == "LSTM" else 2
    made = run_node(op, inputs, attributes, count, constants=(1, 2) if fixed else ())
    for got, wanted in zip(made, reference_node(op, inputs, attributes, count), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("op", GATES)
@pytest.mark.parametrize(
    "dtype, tolerance", [(np.float64, 1e-12), (np.float16, 3e-3)], ids=["f64", "f16"]
)
def test_other_types(op: str, dtype: Any, tolerance: float) -> None:
    inputs = arrays(op, 3, 2, 5, 7, given="Bh", dtype=dtype)
    made = run_node(op, inputs, {}, 2)
    for got, wanted in zip(made, reference_node(op, inputs, {}, 2), strict=True):
        assert got.dtype == dtype
        np.testing.assert_allclose(got, wanted, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("op", GATES)
@pytest.mark.parametrize("sizes", [(0, 2, 3, 4), (3, 0, 3, 4)], ids=["no step", "no sample"])
def test_empty(op: str, sizes: tuple[int, ...]) -> None:
    inputs = arrays(op, *sizes, given="Bh")
    made = run_node(op, inputs, {}, 2)
    for got, wanted in zip(made, reference_node(op, inputs, {}, 2), strict=True):
        assert got.shape == wanted.shape
        np.testing.assert_allclose(got, wanted)


@pytest.mark.parametrize("op", GATES)
def test_nan_stays_in_its_sample(op: str) -> None:
    inputs = arrays(op, 4, 3, 5, 17, given="B")
    assert inputs[0] is not None
    inputs[0][2, 1, 0] = np.nan
    (y,) = run_node(op, inputs, {}, 1)
    assert np.isnan(y[2:, 0, 1]).all()
    assert np.isfinite(y[:, 0, [0, 2]]).all()
    assert np.isfinite(y[:2]).all()


@pytest.mark.parametrize("op", GATES)
@pytest.mark.parametrize("batch", [1, 2, 37])
def test_threads_agree(op: str, batch: int) -> None:
    inputs = arrays(op, 3, batch, 65, 130, given="Bn", directions=2)
    attributes = {"direction": "bidirectional"}
    one, *others = (
        run_node(op, inputs, attributes, 2, constants=(1, 2), threads=t) for t in (1, 2, 3)
    )
    for other in others:
        for a, b in zip(one, other, strict=True):
            np.testing.assert_array_equal(a, b)


def test_only_the_last_state() -> None:
    """Y is absent: nothing is kept of the steps between."""
    from ir.graph import Node
    from tests.support import graph_of, named, run_graph

    inputs = arrays("LSTM", 6, 2, 5, 9, given="B")
    node = Node("LSTM", tuple(f"x{i}" for i in range(4)), ("", "", "c"), {})
    (c,) = run_graph(graph_of([node], named(inputs), ["c"]), named(inputs)).values()
    np.testing.assert_allclose(c, reference_node("LSTM", inputs, {}, 3)[2], rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("op", GATES)
def test_computed_weights_are_packed_once(op: str) -> None:
    """Not at every step."""

    def packings(time: int) -> int:
        inputs = named(arrays(op, time, 2, 5, 7))
        graph = one_node(op, list(inputs.values()), {}, 2)
        shapes = {name: array.shape for name, array in inputs.items()}
        calls = program_of(lower(graph, shapes), Weights(), chosen_isa()).calls
        return sum(call.key.family == "pack_panels" for call in calls)

    assert packings(1) == packings(9) > 0
