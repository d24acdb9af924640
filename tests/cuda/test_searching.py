"""The best elements in order, and running totals, on the stand-in device."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

import layercc as lc
from ir.interpreter import interpret
from tests.cuda.running import check_node, on_device
from tests.support import named, one_node, run_node

pytestmark = pytest.mark.usefixtures("stand_in")
RNG = np.random.default_rng(0)


def top_k(x: np.ndarray, k: int, **attributes: int) -> None:
    check_node("TopK", [x, np.array([k])], attributes, outputs=2, constants=[1])


@pytest.mark.parametrize("largest", [0, 1])
@pytest.mark.parametrize(
    ("shape", "k", "axis"),
    [((5, 70), 9, 1), ((5, 70), 70, 1), ((3, 1), 1, 1), ((2, 9, 33), 4, 1), ((17, 3), 2, 0),
     ((0, 5), 3, 1), ((5, 5), 0, 1)],
)  # fmt: skip
def test_top_k(shape, k, axis, largest):
    x = RNG.integers(0, 9, shape).astype(np.float32)  # with ties
    top_k(x, k, axis=axis, largest=largest)


@pytest.mark.parametrize(
    ("shape", "k", "axis", "largest"),
    [((2, 4097), 3, 1, 1), ((5000, 2), 2100, 0, 0), ((1, 4100), 4100, 1, 1)],
)
def test_top_k_of_long_rows(shape, k, axis, largest):
    """Several tiles, of which one is without a partner; more are asked for than a tile has."""
    top_k(RNG.integers(0, 99, shape).astype(np.float32), k, axis=axis, largest=largest)


@pytest.mark.parametrize("largest", [0, 1])
def test_top_k_of_nan_and_infinity(largest):
    x = RNG.standard_normal((3, 40)).astype(np.float32)
    x[0, [3, 7]], x[1, [0, 5, 39]], x[2] = np.nan, (np.inf, -np.inf, np.inf), -np.inf
    x[2, 5] = np.nan
    for k in (2, 40):
        top_k(x, k, largest=largest)


@pytest.mark.parametrize(
    ("dtype", "largest"), [("f2", 1), ("bf16", 0), ("bf16", 1), ("f8", 0), ("i1", 1), ("u8", 0)]
)
def test_top_k_of_other_types(dtype, largest):
    info = np.iinfo(dtype) if dtype in ("i1", "u8") else None
    x = RNG.integers(-50, 50, (3, 37)).astype(ml_dtypes.bfloat16 if dtype == "bf16" else dtype)
    x[0, 5] = info.min if info else -np.inf  # as what fills up a tile
    x[0, 6] = info.max if info else np.nan
    top_k(x, 37, largest=largest)


FORMS = [{}, {"exclusive": 1}, {"reverse": 1}, {"exclusive": 1, "reverse": 1}]


@pytest.mark.parametrize("op", ["CumSum", "CumProd"])
@pytest.mark.parametrize("form", FORMS)
def test_running_totals(op, form):
    for shape, axis in [((3, 7), 1), ((2, 150, 3), 1), ((1, 5000), 1), ((65, 2), 0), ((0, 3), 1)]:
        x = RNG.standard_normal(shape) if op == "CumSum" else RNG.uniform(0.9, 1.1, shape)
        x = x.astype(np.float32)
        if shape == (3, 7) and op == "CumSum":
            x[0, 2], x[1, 3] = np.nan, np.inf
        check_node(op, [x, np.array(axis)], form, constants=[1], error=2e-7)


def test_running_totals_of_short_rows_are_those_of_the_cpu():
    x, axis = RNG.standard_normal((3, 64)).astype(np.float32), np.array(1)
    found = on_device(one_node("CumSum", [x, axis], constants=[1]), {"x0": x})["y0"]
    np.testing.assert_array_equal(found, run_node("CumSum", [x, axis], constants=[1])[0])


@pytest.mark.parametrize("dtype", ["u1", "i8", "f2"])
def test_running_totals_of_other_types(dtype):
    x = RNG.integers(0, 5, (3, 150)).astype(dtype)
    check_node("CumSum", [x, np.array(1)], constants=[1], error=1e-3 if dtype == "f2" else 0)
    if dtype == "u1":
        check_node("CumProd", [x, np.array(1)], constants=[1])  # wrapping around


def test_running_totals_along_an_axis_that_only_a_run_knows():
    x = RNG.integers(0, 9, (5, 70, 3)).astype(np.int32)
    graph = one_node("CumSum", [x, np.array(0)])
    model = lc.compile(graph, target="cuda")
    for axis in (0, 1, 2, -1, -3):
        given = named([x, np.array(axis)])
        np.testing.assert_array_equal(model.run(given)["y0"], interpret(graph, given)["y0"])
    with pytest.raises(lc.InputError, match=r"holds 3"):
        model(x, np.array(3))


def test_running_totals_of_a_row_are_the_same_alone_and_in_a_batch():
    x = RNG.standard_normal((5, 300)).astype(np.float32)
    whole = on_device(one_node("CumSum", [x, np.array(1)], constants=[1]), {"x0": x})["y0"]
    for part in (x[2:3], np.ascontiguousarray(x[2:3].T)):
        axis = np.array(int(part.shape[1] == 300))
        graph = one_node("CumSum", [part, axis], constants=[1])
        found = on_device(graph, {"x0": part})["y0"]
        np.testing.assert_array_equal(found.reshape(-1), whole[2])
