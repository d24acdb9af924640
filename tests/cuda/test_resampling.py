"""Resize, GridSample, LRN, and max pools with their way back, on the stand-in device."""

from __future__ import annotations

import numpy as np
import pytest

import layercc as lc
from tests.cuda.running import on_device
from tests.lower.test_resizing import CASES
from tests.lower.test_sampling import sample
from tests.support import named, one_node, reference_node

pytestmark = pytest.mark.usefixtures("stand_in")
RNG = np.random.default_rng(0)


def some(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def check(op, inputs, attributes, constants=(), outputs=1, tolerance=1e-6):
    """Against the reference in the model's own types; nothing may fall back."""
    graph = one_node(op, inputs, attributes, outputs, constants)
    found = on_device(graph, {v.name: named(inputs)[v.name] for v in graph.inputs})
    wanted = reference_node(op, inputs, attributes, outputs, constants=constants, exact=False)
    for got, expected in zip(found.values(), wanted, strict=True):
        assert got.dtype == expected.dtype and got.shape == expected.shape
        got, expected = (a.astype(float) for a in (got, expected))
        np.testing.assert_allclose(got, expected, rtol=tolerance, atol=tolerance)


def resize(x, given, attributes, tolerance=1e-6, roi=None):
    inputs = [x, roi, *given]
    known = [i for i in (1, 2, 3) if inputs[i] is not None]
    check("Resize", inputs, attributes, known, tolerance=tolerance)


@pytest.mark.parametrize("name", CASES)
def test_resize(name):
    shape, given, attributes = CASES[name]
    resize(some(*shape), given, attributes)


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [("f8", 1e-12), ("f2", 2e-3), ("u1", 1e-9), ("i8", 1e-9)]
)
def test_resize_of_other_types(dtype, tolerance):
    x = (RNG.random((1, 5, 6, 3)) * 250).astype(dtype)
    given = (np.array([1, 1, 1.6, 0.8], "f4"), None)
    resize(x, given, {"mode": "cubic"}, tolerance)


def test_resize_beyond_the_image():
    """Integers saturate; what lies outside of a crop is as asked."""
    x = np.array([[[0, 255, 0, 255, 255]]], np.uint8)
    resize(x, (np.array([1, 1, 3], "f4"), None), {"mode": "cubic"})
    attributes = {
        "mode": "linear", "coordinate_transformation_mode": "tf_crop_and_resize",
        "extrapolation_value": 7.0,
    }  # fmt: skip
    roi = np.array([0, 0, -0.3, 1, 1, 1.4], np.float32)
    resize(some(1, 1, 5), (None, np.array([1, 1, 9])), attributes, roi=roi)


@pytest.mark.parametrize(
    ("mode", "padding", "corners"),
    [("nearest", "zeros", 0), ("linear", "border", 1), ("cubic", "reflection", 0),
     ("linear", "reflection", 1), ("cubic", "zeros", 1)],
)  # fmt: skip
def test_grid_sample(mode, padding, corners):
    given = {"mode": mode, "padding_mode": padding, "align_corners": corners}
    x, grid = sample((2, 3, 5, 7), (6, 4))
    grid[0, 0, 0] = [40.7, -9.3]  # reflected many times
    check("GridSample", [x, grid], given)


@pytest.mark.parametrize(
    ("shape", "points"),
    [((1, 2, 9), (5,)), ((2, 11, 4, 5, 6), (2, 3, 4)), ((1, 2, 1, 1), (3, 3)),
     ((0, 2, 3, 3), (2, 2))],
)  # fmt: skip
def test_grid_sample_of_shapes(shape, points):
    check("GridSample", sample(shape, points), {})


def test_grid_sample_of_nan_and_of_halves():
    x, grid = sample((1, 2, 5, 7), (4, 3))
    x[0, 0, 2, 3], grid[0, 0, 0, 0], grid[0, 1, 1] = np.nan, np.nan, np.inf
    check("GridSample", [x, grid], {"padding_mode": "border"})
    check("GridSample", sample((1, 2, 5, 7), (4, 3), np.float16), {}, tolerance=4e-3)


@pytest.mark.parametrize("last", [0, 1])
@pytest.mark.parametrize("beta", [0.75, 0.6])
def test_local_response(beta, last):
    attributes = {"size": 4, "alpha": 0.3, "beta": beta, "bias": 1.5}
    shape = (2, 5, 6, 7) if last else (2, 7, 5, 6)
    check("LRN", [some(*shape)], {**attributes, "channels_last": last}, tolerance=2e-6)


@pytest.mark.parametrize(
    ("shape", "attributes"),
    [((2, 5, 9, 8), {"kernel_shape": (3, 2), "strides": (2, 1), "pads": (1, 0, 1, 1)}),
     ((1, 3, 17), {"kernel_shape": (3,), "dilations": (2,), "storage_order": 1}),
     ((1, 3, 4, 5, 6), {"kernel_shape": (2, 2, 2), "storage_order": 1})],
)  # fmt: skip
def test_pool_with_indices(shape, attributes):
    x = np.round(some(*shape) * 2)  # many are equal
    x.reshape(-1)[[5, 6]] = np.nan
    check("MaxPool", [x], attributes, outputs=2)


@pytest.mark.parametrize("asked", [None, (1, 3, 9, 11)])
def test_unpool(asked):
    x, given = some(1, 3, 8, 10), {"kernel_shape": [2, 2], "strides": [2, 2]}
    pooled = reference_node("MaxPool", [x], given, outputs=2, exact=False)
    known = () if asked is None else (2,)
    check("MaxUnpool", [*pooled, None if asked is None else np.array(asked)], given, known)


def test_of_several_for_a_place_the_last_one_stays():
    given = {"kernel_shape": [2], "strides": [2]}
    indices = RNG.integers(0, 9, (1, 1, 300))
    check("MaxUnpool", [some(1, 1, 300), indices], given)


def test_unpool_checks():
    graph = lc.parse_graph(
        "graph g(x: f32[1,1,3], i: i64[1,1,3]) -> (y) {\n"
        " y = MaxUnpool(x, i) {kernel_shape=[2], strides=[2]}\n}"
    )
    model = lc.compile(graph, target="cuda")
    with pytest.raises(lc.InputError, match=r"holds -1 at \[0, 0, 1\]; 0..5"):
        model(some(1, 1, 3), np.array([[[3, -1, 6]]]))
