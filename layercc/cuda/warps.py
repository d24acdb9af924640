# mypy: ignore-errors
"""What the threads of a warp and of a block do together, always in the same order.

Importing this module imports Numba; kernel files import it inside their families.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from numba import cuda

from layercc.cuda.intrinsics import first_of
from layercc.kernels.element_types import SCALAR, SIZES
from layercc.kernels.helper import jit

WARP = 32
_ALL = 0xFFFFFFFF


@functools.cache
def exchange(dtype: str) -> Callable[..., Any]:
    """A helper `exchange(value, lane_mask)`: what another lane has, whose number differs in
    these bits."""
    scalar, word = SCALAR[dtype], SCALAR["i32"]

    def whole(value: Any, lanes: Any) -> Any:
        return cuda.shfl_xor_sync(_ALL, value, lanes)

    def narrow(value: Any, lanes: Any) -> Any:
        return scalar(cuda.shfl_xor_sync(_ALL, word(value), lanes))

    return jit(whole if SIZES[dtype] >= 4 else narrow)


def over_warp(join: Callable[..., Any], dtype: str) -> Callable[..., Any]:
    """A helper `(value)`: those of a warp joined, for each of its lanes. `join` must not mind the
    order of its operands."""
    swap = exchange(dtype)

    def joined(value: Any) -> Any:
        value = join(value, swap(value, 16))
        value = join(value, swap(value, 8))
        value = join(value, swap(value, 4))
        value = join(value, swap(value, 2))
        return join(value, swap(value, 1))

    return jit(joined)


def over_block(join: Callable[..., Any], dtype: str, threads: int) -> Callable[..., Any]:
    """A helper `(value)`: those of a block of `threads` joined, for each of them."""
    scalar, warps = SCALAR[dtype], threads // WARP
    together = over_warp(join, dtype)

    def joined(value: Any) -> Any:
        totals = first_of(cuda.shared.array(warps, scalar))
        value = together(value)
        if cuda.threadIdx.x % WARP == 0:
            totals[cuda.threadIdx.x // WARP] = value
        cuda.syncthreads()
        value = totals[0]
        for warp in range(1, warps):
            value = join(value, totals[warp])
        cuda.syncthreads()
        return value

    return jit(joined)


def over_row(join: Callable[..., Any], dtype: str, threads: int, warp: bool) -> Any:
    """`over_warp` if a warp has a row, `over_block` if a block has one."""
    return over_warp(join, dtype) if warp else over_block(join, dtype, threads)
