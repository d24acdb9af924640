"""Integer and quantised products and convolutions, exact but for ties of the scaled values."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ir.diagnostics import UnsupportedError
from tests.support import reference_node, run_node

pytestmark = pytest.mark.every_isa

RNG = np.random.default_rng(7)


def whole(dtype: Any, *shape: int) -> np.ndarray:
    """Random values over the whole range of an 8-bit type."""
    limits = np.iinfo(dtype)
    return np.asarray(RNG.integers(limits.min, limits.max + 1, shape)).astype(dtype)


def exact(op: str, inputs: list, attributes: dict | None = None) -> None:
    for constants in ((), range(1, 4)):
        known = [i for i in constants if i < len(inputs) and inputs[i] is not None]
        (got,) = run_node(op, inputs, attributes, constants=known)
        (wanted,) = reference_node(op, inputs, attributes)
        assert got.dtype == wanted.dtype
        np.testing.assert_array_equal(got, wanted)


TYPES = [(np.uint8, np.int8), (np.uint8, np.uint8), (np.int8, np.int8), (np.int8, np.uint8)]


@pytest.mark.parametrize("left, right", TYPES)
@pytest.mark.parametrize(
    "a, b",
    [
        ((1, 1), (1, 1)),
        ((7, 13), (13, 67)),
        ((3, 5), (5, 300)),
        ((2, 3, 4, 5), (5, 6)),
        ((2, 3, 4, 5), (2, 3, 5, 6)),
        ((2, 1, 4, 5), (3, 5, 6)),
        ((5,), (5, 3)),
        ((3, 5), (5,)),
        ((0, 5), (5, 3)),
        ((3, 0), (0, 3)),
    ],
    ids=str,
)
@pytest.mark.sampled(2)
def test_matmul_integer(left: Any, right: Any, a: tuple, b: tuple) -> None:
    exact("MatMulInteger", [whole(left, *a), whole(right, *b)])
    exact("MatMulInteger", [whole(left, *a), whole(right, *b), whole(left), whole(right, 1)])


def test_zero_points_a_row_and_a_column() -> None:
    zeros = [whole(np.uint8, 7), whole(np.int8, 19)]
    exact("MatMulInteger", [whole(np.uint8, 7, 13), whole(np.int8, 13, 19), *zeros])


def test_sums_of_extremes() -> None:
    a, b = np.zeros((1, 1000), np.uint8), np.full((1000, 3), 255, np.uint8)
    exact("MatMulInteger", [a, b, np.array(255, np.uint8), np.array([0], np.uint8)])


CONVOLUTIONS: list[tuple[tuple[int, ...], tuple[int, ...], dict]] = [
    ((1, 1, 1, 1), (1, 1, 1, 1), {}),
    ((2, 3, 7, 9), (5, 3, 3, 2), {"pads": [1, 0, 1, 2], "strides": [2, 1]}),
    ((1, 6, 8, 5), (4, 3, 3, 3), {"group": 2, "dilations": [2, 1], "pads": [2, 1, 2, 1]}),
    ((1, 5, 6, 6), (5, 1, 3, 3), {"group": 5, "auto_pad": "SAME_UPPER"}),
    ((2, 3, 11), (7, 3, 4), {"strides": [3]}),
    ((1, 2, 4, 5, 6), (3, 2, 2, 2, 3), {"pads": [1, 1, 1, 0, 0, 0]}),
    ((0, 3, 7, 9), (5, 3, 3, 2), {}),
]


@pytest.mark.parametrize("x, w, attributes", CONVOLUTIONS, ids=str)
@pytest.mark.parametrize("left, right", TYPES[:2])
def test_conv_integer(x: tuple, w: tuple, attributes: dict, left: Any, right: Any) -> None:
    exact("ConvInteger", [whole(left, *x), whole(right, *w)], attributes)
    zeros = [whole(left), whole(right, w[0])]
    exact("ConvInteger", [whole(left, *x), whole(right, *w), *zeros], attributes)


def test_channels_last() -> None:
    exact(
        "ConvInteger",
        [whole(np.uint8, 2, 5, 6, 3), whole(np.int8, 4, 3, 3, 3), whole(np.uint8)],
        {"channels_last": 1, "pads": [1, 1, 1, 1]},
    )


def centre(dtype: Any) -> np.ndarray:
    """The zero point of weights that are multiplied as bytes."""
    return np.array(0 if dtype is np.int8 else 128, dtype)


@pytest.mark.parametrize("left, right", TYPES)
def test_matmul_of_bytes(left: Any, right: Any) -> None:
    for rows, depth, columns in ((1, 1, 1), (7, 13, 67), (3, 300, 70)):
        a, b = whole(left, rows, depth), whole(right, depth, columns)
        exact("MatMulInteger", [a, b, whole(left), centre(right)])
    extremes = np.full((1, 1000), np.iinfo(left).max, left), np.full((1000, 3), 0, right)
    exact("MatMulInteger", [*extremes, whole(left), centre(right)])


@pytest.mark.parametrize("x, w, attributes", CONVOLUTIONS, ids=str)
@pytest.mark.parametrize("left, right", TYPES[:2])
def test_conv_of_bytes(x: tuple, w: tuple, attributes: dict, left: Any, right: Any) -> None:
    zeros = [whole(left), centre(right)]
    exact("ConvInteger", [whole(left, *x), whole(right, *w), *zeros], attributes)


def close(op: str, inputs: list, attributes: dict | None = None) -> None:
    """Equal, but for few elements one level apart: those whose scaled value is a tie."""
    (got,) = run_node(op, inputs, attributes)
    (wanted,) = reference_node(op, inputs, attributes, exact=False)
    assert got.dtype == wanted.dtype
    apart = np.abs(got.astype(int) - wanted.astype(int))
    assert apart.max(initial=0) <= 1
    assert np.count_nonzero(apart) <= 0.01 * apart.size


def scale(*shape: int) -> np.ndarray:
    return np.asarray(RNG.uniform(0.01, 0.05, shape), np.float32)


@pytest.mark.parametrize("left, right", TYPES)
@pytest.mark.parametrize("result", [np.uint8, np.int8])
def test_qlinear_matmul(left: Any, right: Any, result: Any) -> None:
    y_scale, y_zero = np.array([1.7], np.float32), whole(result)
    close("QLinearMatMul", [
        whole(left, 2, 7, 13), scale(), whole(left), whole(right, 13, 31), scale(), whole(right),
        y_scale, y_zero,
    ])  # fmt: skip
    close("QLinearMatMul", [
        whole(left, 7, 13), scale(7), whole(left, 7), whole(right, 13, 31), scale(31),
        whole(right, 31), y_scale, y_zero,
    ])  # fmt: skip


@pytest.mark.parametrize("x, w, attributes", CONVOLUTIONS, ids=str)
def test_qlinear_conv(x: tuple, w: tuple, attributes: dict) -> None:
    for each in ((), (w[0],)):
        bias = RNG.integers(-10000, 10000, w[0]).astype(np.int32)
        close("QLinearConv", [
            whole(np.uint8, *x), scale(), whole(np.uint8), whole(np.int8, *w), scale(*each),
            whole(np.int8, *each), np.array(1.3, np.float32), whole(np.uint8), bias,
        ], attributes)  # fmt: skip


def test_small_floats_are_refused() -> None:
    import ml_dtypes

    x = np.ones((2, 2), ml_dtypes.float8_e4m3fn)
    one, zero = np.array(1, np.float32), x[0, :1]
    with pytest.raises(UnsupportedError, match="f8e4m3fn"):
        run_node("QLinearMatMul", [x, one, zero, x, one, zero, one, zero])


def test_threads_agree() -> None:
    inputs = [whole(np.uint8, 130, 257), whole(np.int8, 257, 300), whole(np.uint8)]
    one, two, three = (run_node("MatMulInteger", inputs, threads=t)[0] for t in (1, 2, 3))
    np.testing.assert_array_equal(one, two)
    np.testing.assert_array_equal(one, three)
