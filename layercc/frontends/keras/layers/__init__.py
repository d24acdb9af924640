"""Translations of layers, a family a file; importing the package fills the registry."""

from layercc.frontends.keras.layers import (  # noqa: F401
    core,
    preprocessing,
    recurrent,
    spatial,
    vectors,
)
