"""Layers that a compiled model cannot have, and why."""

from __future__ import annotations

from layercc.frontends.keras.registry import REFUSED_LAYERS

_STRINGS = "it takes strings, which compiled models do not"
_OTHERS = "it calls a model of another framework"

REFUSED_LAYERS.update(
    {
        "ContrastLimitedAdaptiveHistogramEqualization": "it gathers histograms of tiles",
        "FlaxLayer": _OTHERS,
        "HashedCrossing": "it hashes strings",
        "Hashing": "it hashes strings",
        "IntegerLookup": "Keras leaves it to TensorFlow's hash tables",
        "JaxLayer": _OTHERS,
        "MaxNumBoundingBoxes": "it prepares boxes for training",
        "StringLookup": _STRINGS,
        "TFSMLayer": _OTHERS,
        "TextVectorization": _STRINGS,
        "TorchModuleWrapper": f"{_OTHERS}: lc.from_torch takes it",
    }
)
