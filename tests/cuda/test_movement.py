"""Copies, transposes and fills on the stand-in device."""

from __future__ import annotations

import numpy as np
import pytest

from tests.cuda.running import check_node

pytestmark = pytest.mark.usefixtures("stand_in")
RNG = np.random.default_rng(0)


def some(*shape: int, dtype: str = "f4") -> np.ndarray:
    return RNG.integers(-100, 100, shape).astype(dtype)


@pytest.mark.parametrize(
    ("shape", "perm"),
    [
        ((33, 70), (1, 0)),
        ((1, 64), (1, 0)),
        ((3, 5, 7), (2, 0, 1)),
        ((2, 3, 4, 37), (0, 3, 1, 2)),
        ((2, 37, 3, 4), (0, 2, 3, 1)),
        ((2, 3, 4, 8), (0, 2, 1, 3)),  # rows stay whole
        ((0, 3), (1, 0)),
    ],
)
def test_transpose(shape, perm):
    check_node("Transpose", [some(*shape)], {"perm": perm})


@pytest.mark.parametrize("dtype", ["u1", "f2", "i8"])
def test_transpose_of_other_sizes(dtype):
    check_node("Transpose", [some(33, 70, dtype=dtype)], {"perm": (1, 0)})
    check_node("Transpose", [some(2, 3, 4, 8, dtype=dtype)], {"perm": (0, 2, 1, 3)})


def test_joined_and_cut():
    check_node("Concat", [some(3, 5), some(3, 1), some(3, 4)], {"axis": 1})
    check_node("Concat", [some(3, 5), some(1, 5)], {"axis": 0})
    starts, ends, axes, steps = (np.array(v) for v in ([4, 1], [0, 99], [0, 1], [-2, 3]))
    check_node("Slice", [some(6, 11), starts, ends, axes, steps], constants=(1, 2, 3, 4))
    check_node("Pad", [some(3, 4), np.array([1, 0, 2, 3])], constants=(1,))
    check_node("Expand", [some(3, 1), np.array([2, 3, 5])], constants=(1,))
    check_node("Tile", [some(3, 2), np.array([2, 3])], constants=(1,))
