"""Resize against its NumPy reference."""

# mypy: ignore-errors

import ml_dtypes
import numpy as np
import pytest

from ir.diagnostics import UnsupportedError
from tests.support import reference_node, run_node


def sample(*shape, dtype=np.float32):
    rng = np.random.default_rng(0)
    if np.dtype(dtype).kind in "iu":
        return rng.integers(0, 200, shape).astype(dtype)
    return rng.normal(size=shape).astype(dtype)


def scales(*values):
    return np.array(values, np.float32), None


def sizes(*values):
    return None, np.array(values, np.int64)


# shape, (scales, sizes), attributes
CASES = {
    "nearest twice": ((2, 5, 7, 19), scales(1, 1, 2, 2), {"channels_last": 1}),
    "nearest down": ((2, 3, 9, 7), sizes(2, 3, 4, 5), {"nearest_mode": "floor"}),
    "nearest batch": ((2, 3, 4), scales(2, 1, 1), {}),
    "linear": ((1, 6, 5, 33), scales(1, 1, 2.5, 0.7), {"mode": "linear", "channels_last": 1}),
    "linear plain": ((1, 3, 6, 5), scales(1, 1, 2, 2), {"mode": "linear"}),
    "linear 3d": (
        (1, 3, 4, 5, 6), sizes(1, 6, 5, 7, 3), {"mode": "linear", "channels_last": 1}
    ),
    "align corners": (
        (1, 5, 6, 4), sizes(11, 3),
        {
            "mode": "linear", "axes": [2, 3], "channels_last": 1,
            "coordinate_transformation_mode": "align_corners",
        },
    ),
    "cubic": ((1, 7, 6, 9), scales(1, 1, 1.7, 2), {"mode": "cubic", "channels_last": 1}),
    "cubic outside": ((1, 2, 7, 6), scales(1, 1, 0.6, 2), {"mode": "cubic", "exclude_outside": 1}),
    "antialias": (
        (1, 13, 17, 5), scales(1, 1, 0.3, 0.45),
        {"mode": "cubic", "antialias": 1, "channels_last": 1},
    ),
    "nothing": ((1, 3, 4), scales(1, 1, 1), {"mode": "linear"}),
    "empty batch": ((0, 4, 4, 3), scales(1, 1, 2, 2), {"mode": "linear", "channels_last": 1}),
}  # fmt: skip


def check(x, given, attributes, tolerance=1e-6, roi=None):
    inputs = [x, roi, *given]
    known = [i for i in (1, 2, 3) if inputs[i] is not None]
    (made,) = run_node("Resize", inputs, attributes, constants=known, threads=2)
    (expected,) = reference_node("Resize", inputs, attributes, constants=known, exact=False)
    assert made.dtype == expected.dtype
    np.testing.assert_allclose(
        made.astype(float), expected.astype(float), rtol=tolerance, atol=tolerance
    )


@pytest.mark.parametrize("name", CASES)
def test_resize(name):
    shape, given, attributes = CASES[name]
    check(sample(*shape), given, attributes)


def test_nearest_rounds_positions_in_float32():
    """17 / float32(1.7) is 10 in float32, as onnxruntime and PyTorch have it, else 9.9999997."""
    x = np.arange(17, dtype=np.float32).reshape(1, 1, 17)
    given = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    (made,) = run_node("Resize", [x, None, *scales(1, 1, 1.7)], given, constants=(2,))
    expected = np.floor(np.arange(28, dtype=np.float32) / np.float32(1.7))
    assert expected[17] == 10
    np.testing.assert_array_equal(made[0, 0], expected)


@pytest.mark.parametrize("mode", ["linear", "cubic"])
def test_aligned_corners_of_a_rounded_size(mode):
    """28.9 elements become 28: the last of them is the last of the input, as in PyTorch."""
    given = {"mode": mode, "coordinate_transformation_mode": "align_corners"}
    x = sample(1, 1, 17)
    (made,) = run_node("Resize", [x, None, *scales(1, 1, 1.7)], given, constants=(2,))
    (wanted,) = run_node("Resize", [x, None, *sizes(1, 1, 28)], given, constants=(3,))
    np.testing.assert_array_equal(made, wanted)
    np.testing.assert_allclose(made[0, 0, [0, -1]], x[0, 0, [0, -1]], rtol=1e-6)


@pytest.mark.parametrize("mode", ["nearest", "linear"])
def test_crop(mode):
    roi = np.float32([0, 0, 0.2, -0.3, 1, 1, 0.9, 1.2])
    attributes = {
        "mode": mode, "coordinate_transformation_mode": "tf_crop_and_resize",
        "extrapolation_value": 7.0,
    }  # fmt: skip
    check(sample(1, 2, 6, 7), sizes(1, 2, 5, 9), attributes, roi=roi)


def test_a_crop_region_that_is_not_known():
    inputs = [sample(1, 2, 6, 7), np.zeros(8, np.float32), *sizes(1, 2, 5, 9)]
    with pytest.raises(UnsupportedError, match="a constant would fit"):
        given = {"coordinate_transformation_mode": "tf_crop_and_resize"}
        run_node("Resize", inputs, given, constants=(3,))


@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [(np.float64, 1e-13), (np.float16, 2e-3), (ml_dtypes.bfloat16, 1e-2), (np.uint8, 0),
     (np.int32, 0), (np.int64, 0)],
)  # fmt: skip
@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
def test_element_types(mode, dtype, tolerance):
    attributes = {"mode": mode, "channels_last": 1}
    check(sample(1, 6, 5, 7, dtype=dtype), scales(1, 1, 1.6, 2), attributes, tolerance)


def test_integers_saturate():
    x = np.array([0, 255, 255, 0, 0, 255], np.uint8).reshape(1, 1, 6)
    check(x, scales(1, 1, 4), {"mode": "cubic"}, 0)
    x = np.array([-(2**63), 2**63 - 1, 2**63 - 1, 2**63 - 1], np.int64).reshape(1, 1, 4)
    (made,) = run_node("Resize", [x, None, *scales(1, 1, 0.5)], {"mode": "linear"}, constants=(2,))
    assert made[0, 0, 1] > 2**62


@pytest.mark.parametrize("shape", [(1, 2, 3, 4), (1, 0, 3, 4)])
@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
def test_nothing_makes_nothing_whatever_the_other_sizes(mode, shape):
    """No table is made for an axis that no element needs."""
    inputs = [sample(*shape), *sizes(1, 0, 2**40, 5)]
    inputs.insert(1, None)
    for run in (run_node, reference_node):
        (y,) = run("Resize", inputs, {"mode": mode}, constants=(3,))
        assert y.shape == (1, 0, 2**40, 5)
