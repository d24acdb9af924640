"""GridSample and AffineGrid against their NumPy references."""

# mypy: ignore-errors

import numpy as np
import pytest

from tests.support import reference_node, run_node


def sample(shape, points, dtype=np.float32):
    rng = np.random.default_rng(0)
    rank = len(shape) - 2
    grid = rng.uniform(-1.6, 1.6, (shape[0], *points, rank)).astype(np.float32)
    grid.reshape(-1)[:4] = [-1, 1, 0, 3][: min(4, grid.size)]
    return [(rng.normal(size=shape) * 9).astype(dtype), grid]


@pytest.mark.parametrize("corners", [0, 1])
@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
def test_grid_sample(mode, padding, corners):
    inputs = sample((2, 3, 5, 7), (6, 4))
    given = {"mode": mode, "padding_mode": padding, "align_corners": corners}
    (made,) = run_node("GridSample", inputs, given, threads=2)
    (expected,) = reference_node("GridSample", inputs, given, exact=False)
    np.testing.assert_allclose(made, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("shape", "points"),
    [
        ((1, 2, 9), (5,)), ((2, 3, 4, 5, 6), (2, 3, 4)), ((1, 2, 1, 1), (3, 3)),
        ((0, 2, 3, 3), (2, 2)),
    ],
)  # fmt: skip
def test_shapes(shape, points):
    inputs = sample(shape, points)
    (made,) = run_node("GridSample", inputs)
    (expected,) = reference_node("GridSample", inputs, exact=False)
    np.testing.assert_allclose(made, expected, rtol=1e-6, atol=1e-6)


def test_what_is_not_finite():
    x, grid = sample((1, 2, 4, 4), (2, 2))
    x[0, 0, 1, 1], grid[0, 0, 0, 0], grid[0, 1, 1, 1] = np.inf, np.nan, np.inf
    (made,) = run_node("GridSample", [x, grid])
    (expected,) = reference_node("GridSample", [x, grid], exact=False)
    np.testing.assert_allclose(made, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("corners", [0, 1])
@pytest.mark.parametrize("size", [(2, 3, 5, 7), (3, 1, 1, 40), (2, 3, 4, 1, 6), (0, 2, 3, 3)])
def test_affine_grid(size, corners):
    rank = len(size) - 2
    theta = np.random.default_rng(0).normal(size=(size[0], rank, rank + 1)).astype(np.float32)
    inputs, given = [theta, np.array(size)], {"align_corners": corners}
    (made,) = run_node("AffineGrid", inputs, given, constants=(1,), threads=2)
    (expected,) = reference_node("AffineGrid", inputs, given, constants=(1,))
    np.testing.assert_allclose(made, expected, rtol=1e-5, atol=1e-6)
