"""Reads and writes at places that only a run knows, on the stand-in device."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

import layercc as lc
from tests.cuda.running import check_node
from tests.support import one_node

pytestmark = pytest.mark.usefixtures("stand_in")
RNG = np.random.default_rng(0)


def some(*shape: int, dtype: str = "f4") -> np.ndarray:
    return RNG.integers(-9, 9, shape).astype(dtype)


def places(size: int, *shape: int) -> np.ndarray:
    """Indices of a dim, negative ones too."""
    return RNG.integers(-size, size, shape)


def refused(op: str, inputs: list, attributes: dict, match: str, good: list) -> None:
    """A value out of range is told, and the next call is right."""
    graph = one_node(op, inputs, attributes)
    model = lc.compile(graph, target="cuda")
    with pytest.raises(lc.InputError, match=match):
        model(*inputs)
    model(*good)


@pytest.mark.parametrize(
    ("x", "indices", "axis"),
    [((5, 7), (5, 3), 1), ((5, 7), (2, 7), 0), ((3, 4, 5), (2, 4, 3), 1), ((3, 4, 5), (2, 3, 1), 2),
     ((7,), (13,), 0), ((3, 4), (0, 4), 0)],
)  # fmt: skip
def test_gather_elements(x, indices, axis):
    check_node("GatherElements", [some(*x), places(x[axis], *indices)], {"axis": axis})


@pytest.mark.parametrize(
    ("x", "indices", "batch"),
    [((5, 7), (3, 2), 0), ((5, 7, 3), (2, 3, 1), 0), ((2, 5, 7, 3), (2, 4, 2), 1),
     ((3, 4), (3, 1), 1), ((5, 6), (0, 1), 0)],
)  # fmt: skip
def test_gather_nd(x, indices, batch):
    least = min(x[batch : batch + indices[-1]])
    check_node("GatherND", [some(*x), places(least, *indices)], {"batch_dims": batch})


def test_slices_are_moved_in_wide_elements():
    """As wide as their size and places allow."""
    for inner in (1, 2, 3, 4, 8):
        x = some(5, inner, dtype="i1")
        check_node("GatherND", [x, places(5, 7, 1)])
        check_node("Gather", [x, places(5, 7)])


def test_indices_of_gathers_are_checked():
    x = some(5, 7)
    good = [x, np.array([[4, -7, 0]] * 5)]
    bad = [x, np.array([[0, 1, 2]] * 4 + [[6, 7, -9]])]
    message = r"holds 7 at \[4, 1\]; -7..6"
    refused("GatherElements", bad, {"axis": 1}, message, good)
    good, bad = [x, np.array([[4, -7], [0, 0]])], [x, np.array([[4, 6], [-5, -8]])]
    refused("GatherND", bad, {}, r"holds -8 at \[1, 1\]; -7..6", good)
    bad = [x, np.array([[4, 6], [5, -8]])]
    refused("GatherND", bad, {}, r"holds 5 at \[1, 0\]; -5..4", good)


def test_indices_are_checked_where_nothing_is_read():
    nothing = np.zeros((5, 0), np.float32)
    refused("Gather", [nothing, np.array([0, 5])], {}, r"holds 5 at \[1\]",
            [nothing, np.array([0, 4])])  # fmt: skip
    refused("GatherND", [nothing, np.array([[0], [-6]])], {}, r"holds -6 at \[1, 0\]",
            [nothing, np.array([[0], [-5]])])  # fmt: skip
    updates = np.zeros((2, 0), np.float32)
    refused("ScatterND", [nothing, np.array([[0], [-6]]), updates], {}, r"holds -6 at \[1, 0\]",
            [nothing, np.array([[0], [-5]]), updates])  # fmt: skip
    graph = one_node("Gather", [np.zeros((0, 3), np.float32), np.array([0, 1])])
    with pytest.raises(lc.InputError, match=r"holds 0 at \[0\]"):
        lc.compile(graph, target="cuda")(np.zeros((0, 3), np.float32), np.array([0, 1]))


REDUCTIONS = ["none", "add", "mul", "max", "min"]


@pytest.mark.parametrize(
    ("y", "indices", "axis", "reductions"),
    [((5, 7), (5, 9), 1, REDUCTIONS), ((5, 70), (9, 70), 0, ["none", "add"]),
     ((3, 4, 5), (2, 7, 3), 1, ["add"]), ((7,), (50,), 0, ["none", "add"])],
)  # fmt: skip
def test_scatter_elements(y, indices, axis, reductions):
    """With several updates of an element, applied in order: sums of floats tell."""
    x, updates = RNG.standard_normal(y), RNG.standard_normal(indices)
    given = [x.astype("f4"), places(y[axis], *indices), updates.astype("f4")]
    for reduction in reductions:
        check_node("ScatterElements", given, {"axis": axis, "reduction": reduction})


@pytest.mark.parametrize(
    ("y", "indices", "reductions"),
    [((5, 7), (9, 2), REDUCTIONS), ((5, 7), (9, 1), ["none", "add"]),
     ((5, 70), (4, 3, 1), ["none", "add"]), ((4,), (0, 1), ["none", "add"])],
)  # fmt: skip
def test_scatter_nd(y, indices, reductions):
    shape = (*indices[:-1], *y[indices[-1] :])
    x, updates = RNG.standard_normal(y), RNG.standard_normal(shape)
    given = [x.astype("f4"), places(4, *indices), updates.astype("f4")]
    for reduction in reductions:
        check_node("ScatterND", given, {"reduction": reduction})


@pytest.mark.parametrize("dtype", ["f2", "bf16", "i1", "u8"])
def test_scatters_of_other_types(dtype):
    kind = ml_dtypes.bfloat16 if dtype == "bf16" else dtype
    x, updates = (RNG.integers(0, 9, shape).astype(kind) for shape in ((5, 6), (9, 6)))
    given = [x, places(5, 9, 1), updates]
    for reduction in ("add", "max") if dtype in ("f2", "u8") else ("add",):
        check_node("ScatterND", given, {"reduction": reduction})
    check_node("ScatterND", given)


def test_scatters_of_bits_and_nan():
    x, updates = some(6) > 0, some(9) > 0
    check_node("ScatterElements", [x, places(6, 9), updates])
    floats = some(9)
    floats[[2, 5]] = np.nan, np.inf
    for reduction in ("max", "min"):
        check_node("ScatterElements", [some(3), places(3, 9), floats], {"reduction": reduction})


def test_many_updates():
    """More than a tile, and owners in several blocks: still in order."""
    x, updates = RNG.standard_normal(3000), RNG.standard_normal(2100)
    at = RNG.integers(0, 2, 2100) * RNG.integers(0, 3000, 2100)  # half of them at one place
    given = [x.astype("f4"), at, updates.astype("f4")]
    check_node("ScatterND", [given[0], at[:, None], given[2]], {"reduction": "add"})


def test_indices_of_scatters_are_checked():
    x, updates = some(5, 7), some(2, 7)
    good = [x, np.array([[4] * 7, [-5] * 7]), updates]
    bad = [x, np.array([[4] * 7, [0, 1, 5, 0, -9, 0, 0]]), updates]
    refused("ScatterElements", bad, {"axis": 0}, r"holds 5 at \[1, 2\]; -5..4", good)
    good = [x, np.array([[4], [-5]]), updates]
    refused(
        "ScatterND", [x, np.array([[4], [-6]]), updates], {}, r"holds -6 at \[1, 0\]; -5..4", good
    )


@pytest.mark.parametrize(
    ("cache", "update", "axis", "mode"),
    [((2, 3, 7, 4), (2, 3, 2, 4), -2, "linear"), ((2, 3, 7, 4), (2, 3, 5, 4), -2, "circular"),
     ((2, 5, 3), (2, 9, 3), 1, "circular"), ((2, 3, 7, 4), (2, 3, 0, 4), -2, "linear")],
)  # fmt: skip
def test_rows_are_written_into_a_sequence(cache, update, axis, mode):
    starts = np.array([0, 4])
    check_node("TensorScatter", [some(*cache), some(*update), starts], {"axis": axis, "mode": mode})


def test_starts_are_checked():
    x, update = some(2, 3, 7, 4), some(2, 3, 2, 4)
    good = [x, update, np.array([5, 0])]
    refused("TensorScatter", [x, update, np.array([0, 6])], {}, r"holds 6 at \[1\]; 0..5", good)


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("dtype", ["i8", "f4", "u1", "i4"])
def test_one_hot(axis, dtype):
    indices = np.array([[0, 2, 6], [5, 1, 100]]).astype(dtype)
    if dtype != "u1":
        indices[1, :2] = -7, -8
    values = np.array([3, 5], np.float16)
    check_node("OneHot", [indices, np.array(7), values], {"axis": axis}, constants=[1])


def test_one_hot_of_numbers_that_are_no_places():
    indices = np.array([np.nan, np.inf, -np.inf, 2.7, -0.5, -2.5, 3.0, 1e30], np.float32)
    graph = one_node("OneHot", [indices, np.array(3), np.arange(2)], constants=[1])
    made = lc.compile(graph, target="cuda")(indices, np.arange(2))
    want = np.zeros((8, 3), int)
    want[3, 2] = want[4, 0] = want[5, 1] = 1
    np.testing.assert_array_equal(made, want)


@pytest.mark.parametrize(("time", "batch"), [(0, 1), (1, 0)])
@pytest.mark.parametrize("shape", [(4, 4, 3), (4, 4), (4, 4, 2, 4)])
def test_reversed_sequences(shape, time, batch):
    lengths = np.array([1, 4, 3, 2])
    check_node("ReverseSequence", [some(*shape), lengths], {"time_axis": time, "batch_axis": batch})


@pytest.mark.parametrize("shape", [(5, 7), (2, 7, 5), (1, 1), (0, 3)])
@pytest.mark.parametrize("upper", [0, 1])
def test_triangles(shape, upper):
    for k in (0, -2, 3, 99, -(1 << 62)):
        check_node("Trilu", [some(*shape), np.array(k)], {"upper": upper})
    check_node("Trilu", [some(*shape, dtype="u1")], {"upper": upper})
