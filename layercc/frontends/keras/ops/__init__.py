"""Translations of `keras.ops`, a family a file; importing the package fills the registry."""

from layercc.frontends.keras.ops import (  # noqa: F401
    activations,
    contractions,
    elementwise,
    indexing,
    reductions,
    shapes,
    signal,
    windows,
)
