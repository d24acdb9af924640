"""What type checkers make of `lc.op`; mypy reads this file."""

from __future__ import annotations

from typing import assert_type

import numpy as np

import layercc as lc
from layercc.own.definition import OwnOp


@lc.op
def plain(x: float, slope: float = 0.1) -> float:
    return x * slope


@lc.op(domain="tests.typed", shape=lambda x, step: (x[0] - step,), parallel=())
def stepped(x: np.ndarray, out: np.ndarray, step: int = 1) -> None:
    for i in range(out.shape[0]):
        out[i] = x[i + step]


@lc.op(domain="tests.typed", composite=True)
def doubled(x: lc.SymbolicTensor) -> lc.SymbolicTensor:
    return x + x


def test_decorated_functions_are_ops() -> None:
    assert_type(plain, OwnOp)
    assert_type(stepped, OwnOp)
    assert_type(doubled, OwnOp)
    assert plain.name == "own.plain" and stepped.name == "tests.typed.stepped"
    np.testing.assert_array_equal(plain(np.ones(2), slope=3.0), [3.0, 3.0])
    np.testing.assert_array_equal(stepped(np.arange(4.0)), [1.0, 2.0, 3.0])
    np.testing.assert_array_equal(doubled(np.arange(3.0)), [0.0, 2.0, 4.0])
