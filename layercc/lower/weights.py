"""Weights in the forms that kernels want, shared by all plans of a model."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ir.graph import Graph


class Weights:
    """Packed forms of a graph's constants, each made once.

    When the only reader of a constant has taken its packed form, the original is let go, so that
    a model is not held in memory twice.
    """

    def __init__(self, graph: Graph) -> None:
        self._originals = graph.constants
        self._packed: dict[tuple[str, str], np.ndarray] = {}

    def packed(
        self, name: str, recipe: str, pack: Callable[[np.ndarray], np.ndarray]
    ) -> np.ndarray:
        """The constant `name` in the form `recipe`, which `pack` makes from the original."""
        key = (name, recipe)
        if key not in self._packed:
            self._packed[key] = pack(self._originals[name])
        return self._packed[key]
