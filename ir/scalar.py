"""Scalar functions behind the pointwise ops.

Each is written once, for one element, with the primitives below. On NumPy arrays they are the
reference; the CPU and GPU back ends compile the same functions, giving each primitive (`exp`,
`where`, ...) their own implementation. So: no Python `if` on values, no NumPy beyond the primitives,
attributes as keyword arguments.
"""

from __future__ import annotations

from typing import Any

import numpy as np

# Primitives: NumPy functions here, native code in the back ends (looked up by these names).
exp, expm1, log, log1p, sqrt = np.exp, np.expm1, np.log, np.log1p, np.sqrt
tanh, absolute, floor, ceil, rint = np.tanh, np.absolute, np.floor, np.ceil, np.rint
where, isnan = np.where, np.isnan


def relu(x: Any) -> Any:
    """max(x, 0); NaN stays NaN."""
    return where(x < 0, x * 0, x)


def leaky_relu(x: Any, alpha: float = 0.01) -> Any:
    return where(x < 0, x * alpha, x)


def add(a: Any, b: Any) -> Any:
    return a + b
