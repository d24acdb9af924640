"""DynamicQuantizeLSTM: the compiled layer against the reference, and both beside onnxruntime.

onnxruntime adds pairs of products u8 · s8 in 16 bits where the processor has AVX2 but no VNNI, and
saturates them: there its results are not the specification's for weights of more than 7 bits.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import layercc as lc
from ir import scalar
from ir.checking import check
from ir.diagnostics import UnsupportedError
from layercc.frontends.onnx import to_onnx
from tests.models.comparing import run_onnxruntime
from tests.support import named, one_node, reference_node, run_graph

OP = "com.microsoft.DynamicQuantizeLSTM"


def arrays(
    time: int, batch: int, features: int, hidden: int, *,
    directions: int = 1, dtype: Any = np.int8, each: bool = False, given: str = "", bits: int = 8,
) -> list[np.ndarray | None]:  # fmt: skip
    """Inputs; `each`: a scale for each column; `given` names optional ones: B(ias), h, c,
    P(eepholes); `bits`: those of the weights that are used."""
    rng = np.random.default_rng(hidden)
    columns = 4 * hidden
    middle = 0 if dtype is np.int8 else 128
    low, high = middle - 2 ** (bits - 1), middle + 2 ** (bits - 1)

    def normal(name: str, *shape: int) -> np.ndarray | None:
        return rng.standard_normal(shape, np.float32) if name in given else None

    def weight(depth: int) -> np.ndarray:
        shape = (directions, depth, columns)
        return np.asarray(rng.integers(low, high, shape)).astype(dtype)

    def scale_and_zero() -> tuple[np.ndarray, np.ndarray]:
        shape = (directions, columns) if each else (directions,)
        zero = 0 if dtype is np.int8 else 131
        return rng.uniform(1e-3, 5e-3, shape).astype(np.float32), np.full(shape, zero, dtype)

    state = (directions, batch, hidden)
    return [
        rng.standard_normal((time, batch, features), np.float32),
        weight(features),
        weight(hidden),
        normal("B", directions, 2 * columns),
        None,
        normal("h", *state),
        normal("c", *state),
        normal("P", directions, 3 * hidden),
        *scale_and_zero(),
        *scale_and_zero(),
    ]


CASES = [
    # (time, batch, features, hidden), what the inputs are, attributes
    ((5, 3, 7, 11), {}, {}),
    ((1, 1, 1, 1), {"given": "Bhc"}, {}),
    ((6, 2, 5, 19), {"given": "BhcP", "directions": 2}, {"direction": "bidirectional"}),
    ((4, 3, 13, 33), {"given": "B", "each": True}, {"direction": "reverse", "clip": 0.7}),
    ((4, 1, 6, 17), {"given": "B", "dtype": np.uint8},
     {"activations": ["Sigmoid", "Tanh", "Relu"]}),
    ((3, 2, 6, 17), {"each": True, "dtype": np.uint8}, {"input_forget": 1}),
    ((4, 2, 5, 9), {"given": "BP", "directions": 2}, {
        "direction": "bidirectional",
        "activations": ["Sigmoid", "Tanh", "Tanh", "HardSigmoid", "Softsign", "Elu"]}),
]  # fmt: skip


#: W, R, and their scales and zero points.
WEIGHTS = (1, 2, 8, 9, 10, 11)


def close(found: Any, wanted: Any, atol: float = 2e-6) -> None:
    for have, want in zip(found, wanted, strict=True):
        np.testing.assert_allclose(have, want, rtol=2e-5, atol=atol)


@pytest.mark.parametrize("sizes, kinds, attributes", CASES, ids=str)
def test_all_weights(sizes: tuple, kinds: dict, attributes: dict) -> None:
    """Weights over the whole range of their type, in sums that are exact."""
    inputs = arrays(*sizes, **kinds)
    attributes = {"hidden_size": sizes[-1], **attributes}
    graph = one_node(OP, inputs, attributes, 3, WEIGHTS)
    made = run_graph(graph, named(inputs), passes=True).values()
    close(made, reference_node(OP, inputs, attributes, 3, exact=False))


def test_extreme_products() -> None:
    """255 · -128, twice and more: what saturates in 16 bits."""
    inputs = arrays(3, 2, 40, 24, each=True)
    for index in (1, 2):
        weight = inputs[index]
        assert weight is not None
        inputs[index] = np.where(weight < 0, -128, 127).astype(np.int8)
    graph = one_node(OP, inputs, {}, 3, WEIGHTS)
    made = run_graph(graph, named(inputs), passes=True).values()
    close(made, reference_node(OP, inputs, {}, 3, exact=False))


@pytest.mark.parametrize("sizes, kinds, attributes", CASES, ids=str)
def test_beside_onnxruntime(sizes: tuple, kinds: dict, attributes: dict) -> None:
    """Weights of 7 bits: 2 · 255 · 64 fits in 16 bits."""
    inputs = arrays(*sizes, **kinds, bits=7)
    attributes = {"hidden_size": sizes[-1], **attributes}
    graph = one_node(OP, inputs, attributes, 3, WEIGHTS)
    made = run_graph(graph, named(inputs), passes=True).values()
    # on one thread: onnxruntime quantises the states of each thread's samples on their own
    given = {name: named(inputs)[name] for name in graph.input_names}
    wanted = run_onnxruntime(to_onnx(graph), given)
    close(made, wanted.values())
    close(reference_node(OP, inputs, attributes, 3, exact=False), wanted.values())


def test_many_steps() -> None:
    """A state between two levels, which units in the last place may move to either, leaves
    what follows about a level of 2 / 255 away: errors do not grow with time."""
    inputs = arrays(60, 2, 24, 96, given="B", bits=7)
    attributes = {"hidden_size": 96}
    graph = one_node(OP, inputs, attributes, 3, WEIGHTS)
    made = list(run_graph(graph, named(inputs), passes=True).values())
    given = {name: named(inputs)[name] for name in graph.input_names}
    close(made, reference_node(OP, inputs, attributes, 3, exact=False), atol=4 / 255)
    close(made, run_onnxruntime(to_onnx(graph), given).values(), atol=4 / 255)


def test_sequence_of_zeros() -> None:
    """No range to quantise: the scale is 1."""
    inputs = arrays(3, 2, 4, 5)
    inputs[0] = np.zeros((3, 2, 4), np.float32)
    graph = one_node(OP, inputs, constants=WEIGHTS)
    for got in run_graph(graph, named(inputs), passes=True).values():
        np.testing.assert_array_equal(got, 0)


@pytest.mark.parametrize("sizes", [(0, 2, 3, 4), (3, 0, 3, 4)], ids=["no step", "no sample"])
def test_empty(sizes: tuple[int, ...]) -> None:
    inputs = arrays(*sizes, given="Bhc")
    made = run_graph(one_node(OP, inputs, {}, 3, WEIGHTS), named(inputs)).values()
    reference = reference_node(OP, inputs, {}, 3, exact=False)
    for got, wanted in zip(made, reference, strict=True):
        assert got.shape == wanted.shape
        np.testing.assert_array_equal(got, wanted)


def test_nan_reaches_its_direction() -> None:
    """Its samples are quantised together."""
    inputs = arrays(4, 3, 5, 17, given="Bh")
    assert inputs[5] is not None
    inputs[5][0, 1, 0] = np.nan
    (y,) = run_graph(one_node(OP, inputs, {}, 1, WEIGHTS), named(inputs)).values()
    assert np.isnan(y).all()


@pytest.mark.parametrize(
    "approximation, exact, most",
    [
        (scalar.rational_sigmoid, lambda x: 1 / (1 + np.exp(-x)), 1.8e-7),
        (scalar.rational_tanh, np.tanh, 2.8e-7),
    ],
)
def test_approximations(approximation: Any, exact: Any, most: float) -> None:
    x = np.concatenate([np.linspace(-30, 30, 20001), [-np.inf, np.inf, np.nan]])
    np.testing.assert_allclose(approximation(x.astype(np.float32)), exact(x), rtol=0, atol=most)


def test_computed_weights() -> None:
    """No kernel packs them: they are refused, by name, and left to the reference."""
    inputs = arrays(5, 3, 7, 11)
    graph = one_node(OP, inputs, {}, 1, (1, 8, 9, 10, 11))
    with pytest.raises(UnsupportedError, match="'x2' is computed"):
        run_graph(graph, named(inputs))
    given = {name: named(inputs)[name] for name in graph.input_names}
    with pytest.warns(RuntimeWarning, match="DynamicQuantizeLSTM"):
        (got,) = lc.compile(graph).run(given).values()
    np.testing.assert_array_equal(got, reference_node(OP, inputs, {}, 1, exact=False)[0])


@pytest.mark.parametrize(
    "index, shape, wanted",
    [
        (1, (1, 44, 7), r"W is i8\[1, 44, 7\], but \[1, 7, 44\]"),
        (2, (2, 11, 44), r"\[1, 11, 44\]"),
        (8, (2,), r"W_scale is f32\[2\], but \[1\]"),
    ],
)
def test_shapes_that_do_not_fit(index: int, shape: tuple[int, ...], wanted: str) -> None:
    inputs = arrays(5, 3, 7, 11)
    graph = one_node(OP, inputs, {"hidden_size": 11})
    given = {name: array.shape for name, array in named(inputs).items()}
    report = check(graph, {**given, f"x{index}": shape})
    assert not report.ok
    with pytest.raises(Exception, match=wanted):
        report.raise_for_errors()
