"""Reductions along a row with independent accumulators, so that they vectorise in a fixed order.

Importing this module imports Numba; the helpers it makes are called from kernels only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from layercc.cpu.math_intrinsics import select
from layercc.cpu.target import jit

#: Accumulators of a row.
LANES = 64


@jit
def add(a: Any, b: Any) -> Any:
    """a + b, for floats."""
    return a + b


@jit
def largest(a: Any, b: Any) -> Any:
    """The larger, or NaN if either is NaN."""
    return select((b > a) | (b != b), b, a)


def folder(join: Callable[..., Any]) -> Callable[..., Any]:
    """A helper that combines `LANES` accumulators pairwise by `join`, and gives the result."""

    def fold(lanes: Any) -> Any:
        for i in range(32):
            lanes[i] = join(lanes[i], lanes[i + 32])
        for i in range(16):
            lanes[i] = join(lanes[i], lanes[i + 16])
        for i in range(8):
            lanes[i] = join(lanes[i], lanes[i + 8])
        for i in range(4):
            lanes[i] = join(lanes[i], lanes[i + 4])
        return join(join(lanes[0], lanes[2]), join(lanes[1], lanes[3]))

    return jit(fold)
