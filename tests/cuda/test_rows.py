"""Reductions, softmax, normalizations, pools and gathers on the stand-in device."""

from __future__ import annotations

import numpy as np
import pytest

import layercc as lc
from tests.cuda.running import check_node, distance, on_device

pytestmark = pytest.mark.usefixtures("stand_in")
RNG = np.random.default_rng(0)


def some(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize(
    ("shape", "axes"),
    [((3, 70), (1,)), ((9, 1), (1,)), ((2, 2000), (1,)), ((2, 67, 33), (1,)), ((5, 3), (0, 1)),
     ((0, 3), (1,)), ((3, 0), (1,)), ((2, 1 << 15), (1,))],
)  # fmt: skip
def test_sums(shape, axes):
    check_node("ReduceSum", [some(*shape), np.array(axes)], constants=[1], error=1e-6)


@pytest.mark.parametrize("op", ["ReduceMax", "ReduceMean", "ReduceL2", "ReduceProd"])
def test_other_reductions(op):
    x = some(3, 70)
    check_node(op, [x, np.array([1])], constants=[1], error=1e-6)
    if op == "ReduceMax":
        x[1, 5], x[2, 6] = np.nan, np.inf
        check_node(op, [x, np.array([1])], constants=[1])


@pytest.mark.parametrize("dtype", ["u1", "i4", "i8", "f2"])
def test_reductions_of_other_types(dtype):
    op = "ReduceMin" if dtype == "u1" else "ReduceSum"
    x = RNG.integers(0, 100, (5, 37)).astype(dtype)
    check_node(op, [x, np.array([1])], constants=[1])


@pytest.mark.parametrize(
    ("shape", "axis"), [((5, 70), 1), ((1, 1), 1), ((2, 1500), 1), ((2, 9, 33), 1), ((3, 4, 5), 0)]
)
def test_softmax(shape, axis):
    x = some(*shape) * 10
    x[0, 0] = -np.inf
    if shape != (1, 1):
        check_node("Softmax", [x], {"axis": axis}, error=3e-7)
    x[0, 0] = 3
    check_node("LogSoftmax", [x], {"axis": axis}, error=3e-7)


def test_softmax_of_nan_and_infinity():
    x = some(3, 40)
    x[0, 3], x[1, 4], x[2] = np.nan, np.inf, -np.inf
    assert np.isnan(on_device(lc.parse_graph(
        "graph g(x: f32[3,40]) -> (y) {\n y = Softmax(x)\n}"), {"x": x})["y"]).all()  # fmt: skip


@pytest.mark.parametrize("n", [1, 70, 1500])
def test_layer_normalization(n):
    x = some(5, n) + 100
    check_node("LayerNormalization", [x, some(n), some(n)], {"axis": 1}, outputs=3, error=2e-6)


def test_rms_normalization():
    check_node("RMSNormalization", [some(5, 70), some(70)], {"axis": -1}, error=1e-6)


@pytest.mark.parametrize(
    ("op", "attributes"),
    [
        ("MaxPool", {"kernel_shape": (3, 2), "strides": (2, 1), "pads": (1, 0, 1, 1)}),
        ("AveragePool", {"kernel_shape": (3, 3), "pads": (1, 1, 1, 1)}),
        ("AveragePool", {"kernel_shape": (3, 2), "pads": (1, 0, 1, 1), "count_include_pad": 1,
                         "ceil_mode": 1, "strides": (2, 2)}),
        ("LpPool", {"kernel_shape": (2, 2), "p": 2}),
        ("LpPool", {"kernel_shape": (2, 2), "p": 3}),
        ("MaxPool", {"kernel_shape": (2, 2), "dilations": (2, 3)}),
        ("GlobalAveragePool", {}),
    ],
)  # fmt: skip
def test_pools(op, attributes):
    x = some(2, 5, 9, 8)
    check_node(op, [x], attributes, error=1e-6)
    if op == "MaxPool":
        x[0, 0, 4, 4] = np.nan
        check_node(op, [x], attributes)


def test_pools_of_one_and_three_dims():
    check_node("MaxPool", [some(1, 3, 17)], {"kernel_shape": (3,)})
    check_node("AveragePool", [some(1, 3, 5, 6, 4)], {"kernel_shape": (2, 2, 2)}, error=1e-6)


@pytest.mark.parametrize(("shape", "axis"), [((5, 70), 1), ((3, 1), 1), ((2, 9, 33), 1)])
@pytest.mark.parametrize("op", ["ArgMax", "ArgMin"])
def test_searches(shape, axis, op):
    x = RNG.integers(0, 9, shape).astype(np.float32)  # with ties
    check_node(op, [x], {"axis": axis})
    check_node(op, [x], {"axis": axis, "select_last_index": 1, "keepdims": 0})
    if shape[1] > 5:
        x[0, 3], x[0, 5] = np.nan, np.nan
        check_node(op, [x], {"axis": axis})


@pytest.mark.parametrize(
    ("x", "w", "attributes"),
    [
        ((2, 5, 4, 3), (5, 6, 3, 3), {"strides": (2, 2), "pads": (1, 1, 1, 1)}),
        ((1, 4, 5, 5), (4, 3, 3, 2), {"group": 2, "strides": (2, 3), "dilations": (2, 1)}),
        ((1, 3, 7), (3, 2, 4), {}),
        ((1, 4, 4, 4), (4, 9, 2, 2), {"strides": (2, 2)}),  # windows that do not overlap
    ],
)
def test_transposed_convolutions(x, w, attributes):
    bias = some(w[1] * attributes.get("group", 1))
    check_node(
        "ConvTranspose", [some(*x), some(*w), bias], attributes, constants=[1, 2], error=1e-6
    )


def test_gather_at_known_places():
    indices = np.array([[3, -1], [0, 2]])
    check_node("Gather", [some(5, 4, 3), indices], {"axis": 1}, constants=[1])


def test_gather_checks_what_only_a_run_knows():
    graph = lc.parse_graph("graph g(x: f32[5,3], i: i64[N]) -> (y) {\n y = Gather(x, i)\n}")
    model = lc.compile(graph, target="cuda")
    x, good = some(5, 3), np.array([4, -5, 0])
    np.testing.assert_array_equal(model(x, good), x[good])
    with pytest.raises(lc.InputError, match=r"holds 1099511627776 at \[1\]; -5..4"):
        model(x, np.array([0, 1 << 40, 5]))
    with pytest.raises(lc.InputError, match=r"holds -6 at \[2\]; -5..4"):
        model(x, np.array([0, 1, -6]))
    np.testing.assert_array_equal(model(x, good), x[good])  # and forgets


def test_a_row_gives_the_same_alone_and_in_a_batch():
    graph = lc.parse_graph("graph g(x: f32[N,1500]) -> (y) {\n y = Softmax(x)\n}")
    x = some(9, 1500)
    whole = on_device(graph, {"x": x})["y"]
    np.testing.assert_array_equal(on_device(graph, {"x": x[4:5]})["y"], whole[4:5])
    assert distance(whole.sum(axis=1), np.ones(9)) < 1e-6
