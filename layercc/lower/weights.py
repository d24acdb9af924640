"""Weights in the forms that kernels want, shared by all plans of a model."""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable

import numpy as np

from layercc.program import ALIGNMENT


class Weights:
    """Packed forms of constants, each made once and kept as long as the constant itself."""

    def __init__(self) -> None:
        self._packed: dict[tuple[int, str], np.ndarray] = {}  # by id of the constant, and recipe

    def packed(
        self, array: np.ndarray, recipe: str, pack: Callable[[np.ndarray], np.ndarray]
    ) -> np.ndarray:
        """The constant `array` in the form `recipe`, which `pack` makes of it."""
        key = (id(array), recipe)
        if key not in self._packed:
            made = pack(array)
            if np.may_share_memory(made, array):
                return made  # costs nothing to make again; kept, it would keep the constant alive
            self._packed[key] = made
            weakref.finalize(array, self._packed.pop, key, None).atexit = False
        return self._packed[key]


def aligned(array: np.ndarray) -> np.ndarray:
    """The array, or a copy of it, dense and aligned as kernels want it."""
    if array.ctypes.data % ALIGNMENT == 0 and array.flags.c_contiguous:
        return array
    result = aligned_zeros(array.shape, array.dtype)
    result[...] = array
    return result


def aligned_zeros(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Zeros at an aligned address, to be packed into: `aligned` need not copy them."""
    nbytes = math.prod(shape) * dtype.itemsize
    memory = np.zeros(nbytes + ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT
    return memory[start : start + nbytes].view(dtype).reshape(shape)
