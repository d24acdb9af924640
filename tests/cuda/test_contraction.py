"""Convolutions and matrix products on the stand-in device, against sums in float64."""

from __future__ import annotations

import numpy as np
import pytest

import layercc as lc
from tests.cuda.running import check_node, on_device

pytestmark = pytest.mark.usefixtures("stand_in")
RNG = np.random.default_rng(0)
ERROR = 1e-6


def some(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ((70, 37), (37, 67)),  # odd sizes, several blocks
        ((9, 8), (8, 8)),
        ((1, 300), (300, 70)),  # few rows
        ((70, 300), (300, 3)),  # few columns
        ((2, 3, 17, 5), (3, 5, 11)),  # batches, broadcast
        ((5,), (5, 3)),
        ((4, 0), (0, 9)),
        ((0, 4), (4, 9)),
    ],
)
@pytest.mark.parametrize("constant", [False, True])
def test_matmul(a, b, constant):
    check_node("MatMul", [some(*a), some(*b)], constants=[1] if constant else [], error=ERROR)


CONVOLUTIONS = [
    # x, w, attributes
    ((2, 3, 9, 11), (10, 3, 3, 3), {"pads": (1, 1, 1, 1)}),
    ((1, 17, 7, 7), (9, 17, 1, 1), {"strides": (2, 2)}),
    ((1, 4, 12, 13), (18, 4, 3, 2), {"strides": (2, 3), "pads": (0, 2, 1, 1), "dilations": (2, 1)}),
    ((1, 6, 8, 8), (18, 2, 3, 3), {"group": 3}),
    ((2, 9, 8, 7), (9, 1, 3, 3), {"group": 9, "pads": (1, 1, 1, 1)}),  # depthwise
    ((1, 4, 8, 8), (8, 1, 3, 3), {"group": 4}),  # two filters a channel
    ((2, 5, 40), (8, 5, 3), {}),  # one dim
    ((1, 3, 5, 6, 7), (9, 3, 2, 3, 3), {"pads": (1, 0, 1, 0, 1, 1)}),  # three
    ((0, 3, 9, 11), (10, 3, 3, 3), {}),
]


@pytest.mark.parametrize(("x", "w", "attributes"), CONVOLUTIONS)
def test_convolution(x, w, attributes):
    check_node("Conv", [some(*x), some(*w), some(w[0])], attributes, constants=[1, 2], error=ERROR)


def test_convolution_by_weights_that_are_computed():
    check_node("Conv", [some(1, 3, 6, 6), some(9, 3, 3, 3)], {}, error=ERROR)


@pytest.mark.parametrize("dtype", ["f8", "i4", "u8"])
def test_types(dtype):
    a, b = (RNG.integers(-(2**31), 2**31, shape).astype(dtype) for shape in ((19, 21), (21, 10)))
    check_node("MatMul", [a, b], error=1e-15 if dtype == "f8" else 0)


def test_products_of_transposed_matrices():
    graph = lc.parse_graph(
        "graph g(q: f32[2,9,40], k: f32[2,70,40]) -> (y) {\n"
        " t = Transpose(k) {perm=[0, 2, 1]}\n y = MatMul(q, t)\n}"
    )
    q, k = some(2, 9, 40), some(2, 70, 40)
    exact = q.astype("f8") @ k.astype("f8").transpose(0, 2, 1)
    assert np.linalg.norm(on_device(graph, {"q": q, "k": k})["y"] - exact) < 1e-6 * np.linalg.norm(
        exact
    )


def test_epilogue():
    """Bias, residual and activation behind a sum."""
    graph = lc.parse_graph(
        "graph g(x: f32[1,5,6,6], w: f32[9,5,3,3], b: f32[9], r: f32[1,9,4,4]) -> (y) {\n"
        " c = Conv(x, w, b)\n s = Add(c, r)\n y = Relu(s)\n}"
    )
    inputs = {"x": some(1, 5, 6, 6), "w": some(9, 5, 3, 3), "b": some(9), "r": some(1, 9, 4, 4)}
    graph.constants = {name: inputs[name] for name in "wb"}
    graph.inputs = [value for value in graph.inputs if value.name in "xr"]
    given = {name: inputs[name] for name in "xr"}
    found, expected = on_device(graph, given)["y"], lc.compile(graph).run(given)["y"]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_a_sample_gives_the_same_alone_and_in_a_batch():
    """Few rows and many are computed by different kernels, in the same order."""
    graph = lc.parse_graph("graph g(x: f32[N,600], w: f32[600,40]) -> (y) {\n y = MatMul(x, w)\n}")
    x, w = some(70, 600), some(600, 40)
    w[5, 5], x[3, 3] = np.inf, np.nan
    whole = on_device(graph, {"x": x, "w": w})["y"]
    for first, count in ((0, 1), (3, 1), (64, 6), (10, 20)):
        part = on_device(graph, {"x": x[first : first + count], "w": w})["y"]
        np.testing.assert_array_equal(part, whole[first : first + count])
