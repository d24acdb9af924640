"""Elementary functions on float64: the C library's, and what is made from them.

Accurate rather than fast: loops over them are not vectorised. Importing this module imports
Numba; its functions are called from kernels only.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from layercc.kernels.helper import jit
from layercc.kernels.math_intrinsics import absolute, c_function, select

exp, expm1, log, log1p, tanh, erf, sin, cos, tan = (
    c_function(name)
    for name in ("exp", "expm1", "log", "log1p", "tanh", "erf", "sin", "cos", "tan")
)
asin, acos, atan, sinh, cosh, asinh, acosh, atanh = (
    c_function(name) for name in ("asin", "acos", "atan", "sinh", "cosh", "asinh", "acosh", "atanh")
)
power = c_function("pow", 2)
exp_nonpositive = exp


@jit
def sigmoid(x: Any) -> Any:
    """1 / (1 + exp(-x)), from exp(-|x|) so that nothing overflows."""
    small = exp(-absolute(x))
    return select(x < np.float64(0), small, np.float64(1)) / (np.float64(1) + small)
