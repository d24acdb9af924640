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
            # The finalizer lives as long as the constant: it must not keep these weights alive.
            weakref.finalize(array, _forget, weakref.ref(self), key).atexit = False
        return self._packed[key]


def _forget(weights: weakref.ref[Weights], key: tuple[int, str]) -> None:
    """Drops what was packed of a constant that is no more."""
    alive = weights()
    if alive is not None:
        alive._packed.pop(key, None)
