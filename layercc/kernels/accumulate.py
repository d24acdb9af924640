"""Steps of a reduction that LLVM may reorder, so that it keeps several accumulators in registers.

`total = add(total, x[k])` in a loop becomes vector code: sums and products of floats may be
reassociated, at compile time (the one exception from keeping the order of floating-point
operations). The order is then fixed in the code and depends on the number of elements alone, as
long as the loop stores to nothing that LLVM would have to check for overlaps: mark such pointers
`noalias`. Minimum and maximum are associative as they are.

Importing this module imports Numba; its functions are called from kernels only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from layercc.kernels.helper import jit
from layercc.kernels.math import FLOATS, SCALAR
from layercc.kernels.math_intrinsics import maximum, minimum, select

_REORDER = {"contract", "reassoc"}


@jit(fastmath=_REORDER)
def add(total: Any, x: Any) -> Any:
    """total + x, for floats of one type."""
    return total + x


@jit(fastmath=_REORDER)
def multiply(total: Any, x: Any) -> Any:
    """total * x, for floats of one type."""
    return total * x


largest, smallest = maximum, minimum  # of floats; NaN if either is NaN


def step(combine: str, dtype: str) -> tuple[Callable[..., Any], Any]:
    """For "sum", "prod", "max" or "min" on a compute type: the step, and the total of nothing."""
    if dtype in FLOATS:
        name = {"sum": add, "prod": multiply, "max": largest, "min": smallest}[combine]
        start = {"sum": 0.0, "prod": 1.0, "max": -np.inf, "min": np.inf}[combine]
        return name, SCALAR[dtype](start)
    scalar = SCALAR[dtype]

    def add_integers(a: Any, b: Any) -> Any:
        return scalar(a + b)

    def multiply_integers(a: Any, b: Any) -> Any:
        return scalar(a * b)

    def larger(a: Any, b: Any) -> Any:
        return select(b > a, b, a)

    def smaller(a: Any, b: Any) -> Any:
        return select(b < a, b, a)

    limits = np.iinfo(scalar)
    functions: dict[str, tuple[Callable[..., Any], int]] = {
        "sum": (add_integers, 0),
        "prod": (multiply_integers, 1),
        "max": (larger, int(limits.min)),
        "min": (smaller, int(limits.max)),
    }
    function, first = functions[combine]
    return jit(function), scalar(first)
