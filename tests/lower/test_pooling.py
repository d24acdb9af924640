"""Pools over windows against their NumPy references."""

# mypy: ignore-errors

import ml_dtypes
import numpy as np
import pytest

from tests.support import reference_node, run_node

# input shape (channels last), attributes
WINDOWS = {
    "2x2": ((2, 6, 8, 64), {"kernel_shape": [2, 2], "strides": [2, 2]}),
    "3x3": ((1, 11, 13, 37), {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}),
    "3x3 uneven": ((2, 7, 5, 3), {"kernel_shape": [3, 3], "pads": [0, 1, 2, 0]}),
    "ceil": ((1, 8, 9, 5), {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1}),
    "ceil padded": (
        (1, 7, 7, 16),
        {"kernel_shape": [2, 3], "strides": [2, 2], "pads": [1, 1, 0, 1], "ceil_mode": 1},
    ),
    "dilated": ((1, 9, 10, 17), {"kernel_shape": [3, 2], "dilations": [2, 3]}),
    "5x5 same": ((1, 6, 7, 300), {"kernel_shape": [5, 5], "auto_pad": "SAME_LOWER"}),
    "one pixel": ((1, 1, 1, 8), {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}),
    "one dim": ((2, 19, 11), {"kernel_shape": [4], "strides": [3], "pads": [1, 2]}),
    "three dims": (
        (1, 5, 6, 7, 9),
        {"kernel_shape": [2, 3, 2], "strides": [1, 2, 2], "pads": [1, 1, 0, 0, 1, 1]},
    ),
    "empty batch": ((0, 4, 4, 3), {"kernel_shape": [2, 2]}),
}
OPS = {
    "MaxPool": {},
    "AveragePool": {},
    "AveragePool with pads": {"count_include_pad": 1},
    "LpPool": {},
    "LpPool p=1": {"p": 1},
    "LpPool p=3": {"p": 3},
}


def sample(shape, dtype=np.float32):
    rng = np.random.default_rng(0)
    if np.dtype(dtype).kind in "iu":
        low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
        return rng.integers(low, high, shape, dtype, endpoint=True)
    return rng.normal(size=shape).astype(dtype)


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("op", OPS)
def test_pool(op, window):
    shape, attributes = WINDOWS[window]
    x = sample(shape)
    given = {"channels_last": 1, **attributes, **OPS[op]}
    (made,) = run_node(op.split()[0], [x], given, threads=2)
    (expected,) = reference_node(op.split()[0], [x], given)
    np.testing.assert_allclose(made, expected, rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize("p", [1, 2, 3])
@pytest.mark.parametrize("last", [0, 1])
def test_global_lp_pool(p, last):
    x, given = sample((2, 7, 9, 11)), {"p": p, "channels_last": last}
    (made,) = run_node("GlobalLpPool", [x], given)
    np.testing.assert_allclose(made, reference_node("GlobalLpPool", [x], given)[0], rtol=2e-6)


@pytest.mark.parametrize("op", ["MaxPool", "AveragePool"])
def test_channels_first(op):
    x, given = sample((2, 7, 9, 11)), {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
    (made,) = run_node(op, [x], given)
    np.testing.assert_allclose(made, reference_node(op, [x], given)[0], rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize("order", [0, 1])
@pytest.mark.parametrize("window", WINDOWS)
def test_max_pool_with_indices(window, order):
    shape, attributes = WINDOWS[window]
    x = np.round(sample(shape) * 2)  # many are equal
    given = {"channels_last": 1, "storage_order": order, **attributes}
    made = run_node("MaxPool", [x], given, outputs=2)
    for got, expected in zip(made, reference_node("MaxPool", [x], given, outputs=2), strict=True):
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("dtype", [np.float64, np.float16, ml_dtypes.bfloat16, np.int8, np.uint8])
def test_element_types(dtype):
    x = sample((1, 7, 6, 19), dtype)
    given = {"channels_last": 1, "kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}
    (made,) = run_node("MaxPool", [x], given)
    np.testing.assert_array_equal(made, reference_node("MaxPool", [x], given, exact=False)[0])
    if np.dtype(dtype).kind not in "iu":
        (made,) = run_node("AveragePool", [x], given)
        (expected,) = reference_node("AveragePool", [x], given, exact=False)
        np.testing.assert_array_equal(made.astype(float), expected.astype(float))


@pytest.mark.parametrize("op", ["MaxPool", "AveragePool"])
def test_what_is_not_finite(op):
    x = sample((1, 8, 8, 20))
    x[0, 3, 3, 1], x[0, 5, 2, 2], x[0, 0, 0, 3] = np.nan, np.inf, -np.inf
    x[0, :, :, 7] = -np.inf
    x[0, :, :, 8] = np.nan
    given = {"channels_last": 1, "kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}
    (made,) = run_node(op, [x], given)
    np.testing.assert_allclose(made, reference_node(op, [x], given)[0], rtol=1e-5)


@pytest.mark.parametrize("asked", [None, (1, 3, 9, 11)])
def test_max_unpool(asked):
    x = sample((1, 3, 8, 10))
    given = {"kernel_shape": [2, 2], "strides": [2, 2]}
    pooled = run_node("MaxPool", [x], given, outputs=2)
    inputs = [*pooled, None if asked is None else np.array(asked)]
    known = () if asked is None else (2,)
    (made,) = run_node("MaxUnpool", inputs, given, constants=known)
    (expected,) = reference_node("MaxUnpool", inputs, given, constants=known)
    np.testing.assert_array_equal(made, expected)
    assert np.count_nonzero(made) == pooled[0].size
