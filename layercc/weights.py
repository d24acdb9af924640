"""Weights in the forms that kernels want, shared by all plans of a model."""

from __future__ import annotations

import weakref
from collections.abc import Callable

import numpy as np


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
