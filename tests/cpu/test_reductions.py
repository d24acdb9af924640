"""Reductions, softmax, arg-max and running totals, compiled, against float64 references."""

# mypy: ignore-errors

import numpy as np
import pytest

from ir.interpreter import interpret
from layercc.lower.reduction import stages
from tests.support import named, one_node, reference_node, run_graph, run_node

pytestmark = pytest.mark.every_isa

AXES = [None, (3,), (1,), (0, 2), (1, 3), (0, 1), (0, 1, 2, 3)]
OPS = [
    "ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2",
    "ReduceSumSquare", "ReduceLogSum", "ReduceLogSumExp",
]  # fmt: skip


def floats(shape, seed=0, dtype=np.float32):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def compare(op, arrays, attributes=None, constants=(), threads=1, rtol=2e-6, atol=1e-6):
    """Runs one node both ways; the reference on float64."""
    graph = one_node(op, arrays, attributes, constants=constants)
    given = {name: a for name, a in named(arrays).items() if name in graph.input_names}
    got = run_graph(graph, given, threads=threads)["y0"]
    wide = [
        a.astype(np.float64) if a is not None and a.dtype in (np.float32, np.float16) else a
        for a in arrays
    ]
    exact = one_node(op, wide, attributes, constants=constants)
    want = interpret(exact, {name: named(wide)[name] for name in exact.input_names})["y0"]
    assert got.shape == want.shape
    with np.errstate(over="ignore"):
        want = want.astype(got.dtype) if got.dtype.kind == "f" else want
    np.testing.assert_allclose(
        got.astype(np.float64), want.astype(np.float64), rtol=rtol, atol=atol
    )
    return got


def reduce(op, x, axes, keepdims=1, **options):
    chosen = None if axes is None else np.array(axes, np.int64)
    constants = () if axes is None else (1,)
    return compare(op, [x, chosen], {"keepdims": keepdims}, constants, **options)


@pytest.mark.parametrize("axes", AXES)
@pytest.mark.parametrize("op", OPS)
def test_axes(op, axes):
    x = np.abs(floats((3, 5, 7, 11))) if op == "ReduceLogSum" else floats((3, 5, 7, 11))
    reduce(op, x, axes, keepdims=int(op != "ReduceMax"))


@pytest.mark.parametrize("shape", [(1,), (23,), (24,), (64,), (127,), (1, 100003), (5, 1, 3)])
def test_lengths(shape):
    reduce("ReduceSum", floats(shape), (-1,))
    reduce("ReduceMax", floats(shape), (0,))


@pytest.mark.parametrize("shape", [(100003, 3), (3, 40000), (2, 70001), (300001,)])
def test_long_ones_on_any_number_of_threads(shape):
    """Blocks of long reductions are combined in one order."""
    x = floats(shape) + 1000
    for axes in ((0,), (len(shape) - 1,)):
        alone, shared = (reduce("ReduceSum", x, axes, threads=threads) for threads in (1, 2))
        np.testing.assert_array_equal(alone, shared)


@pytest.mark.parametrize("op", ["ReduceSum", "ReduceMax", "ReduceMin", "ReduceLogSumExp"])
@pytest.mark.parametrize("axes", [(0,), (1,)])
def test_not_finite(op, axes):
    x = floats((37, 41))
    x[3, 5], x[7], x[9], x[:, 11], x[12, 12] = np.nan, np.inf, -np.inf, 1e30, -np.inf
    reduce(op, x, axes)


@pytest.mark.parametrize("op", ["ReduceSum", "ReduceMax", "ReduceMean", "ReduceProd", "ReduceMin"])
def test_of_no_elements(op):
    reduce(op, np.zeros((3, 0, 4), np.float32), (1,))
    reduce(op, np.zeros((0, 3), np.float32), (1,))


@pytest.mark.parametrize("dtype", [np.int32, np.uint8, np.int64])
@pytest.mark.parametrize("op", ["ReduceSum", "ReduceMax", "ReduceMean", "ReduceL1"])
def test_integers(op, dtype):
    x = np.random.default_rng(0).integers(0, 100, (7, 130)).astype(dtype)
    np.testing.assert_array_equal(
        run_graph(one_node(op, [x, None]), {"x0": x})["y0"],
        interpret(one_node(op, [x, None]), {"x0": x})["y0"],
    )


def test_halves():
    reduce("ReduceMean", floats((3, 200), dtype=np.float16), (1,), rtol=1e-3)


@pytest.mark.parametrize("op", ["GlobalAveragePool", "GlobalMaxPool"])
@pytest.mark.parametrize("channels_last", [0, 1])
def test_global_pools(op, channels_last):
    compare(op, [floats((2, 5, 7, 13))], {"channels_last": channels_last})


def test_stages():
    assert stages((2, 3, 4), (1,)) == [(2, 3, 4)]
    assert stages((2, 3, 4), (0, 2)) == [(6, 4, 1), (1, 2, 3)]
    assert stages((2, 3, 4), (0, 1, 2)) == [(1, 24, 1)]
    assert stages((2, 1, 4), ()) == [(8, 1, 1)]


@pytest.mark.parametrize("op", ["Softmax", "LogSoftmax", "Hardmax"])
@pytest.mark.parametrize("axis", [-1, 1, 0])
def test_along_axis(op, axis):
    compare(op, [floats((3, 5, 7, 13)) * 5], {"axis": axis}, atol=2e-6)


@pytest.mark.parametrize("n", [1, 2, 63, 64, 65, 1000, 1025, 5003])
def test_softmax_lengths(n):
    x = floats((3, n)) * 10
    made = compare("Softmax", [x], atol=1e-9)
    np.testing.assert_allclose(made.sum(axis=1), 1, rtol=1e-6)


def test_softmax_of_specials():
    x = floats((6, 70))
    x[0, 3], x[1, 5], x[2, :] = np.nan, -np.inf, -np.inf
    x[3, 7], x[4, :], x[5, :] = np.inf, 3e38, -3e38
    with np.errstate(invalid="ignore"):
        for axis in (0, 1):
            compare("Softmax", [x], {"axis": axis}, atol=1e-9)


@pytest.mark.parametrize("op", ["ArgMax", "ArgMin"])
@pytest.mark.parametrize("last", [0, 1])
def test_arg_extremum(op, last):
    x = np.random.default_rng(1).integers(0, 9, (5, 301)).astype(np.float32)
    x[1, 77], x[1, 200], x[2, 0], x[3, 300] = np.nan, np.nan, np.nan, np.nan
    for array in (x, x.T.copy(), x[:, :1].copy(), x[:, :63].copy()):
        for axis in (0, 1):
            attributes = {"axis": axis, "select_last_index": last}
            np.testing.assert_array_equal(
                run_node(op, [array], attributes)[0],
                reference_node(op, [array], attributes, exact=False)[0],
            )


@pytest.mark.parametrize("attributes", [{}, {"exclusive": 1}, {"reverse": 1, "exclusive": 1}])
@pytest.mark.parametrize("axis", [1, 2])
def test_running_totals(axis, attributes):
    compare("CumSum", [floats((3, 301, 5)), np.array(axis)], attributes, constants=[1])
    compare("CumSum", [floats((3, 301, 5)), np.array(axis - 3, np.int32)], attributes)
    whole = np.random.default_rng(0).integers(-3, 4, (3, 11, 2)).astype(np.int32)
    compare("CumProd", [whole, np.array(axis)], attributes, constants=[1])
