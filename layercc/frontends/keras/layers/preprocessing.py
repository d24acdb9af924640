"""Preprocessing layers."""

from __future__ import annotations

from typing import Any

import numpy as np

from ir.dtypes import DTYPE_SETS, DType
from layercc import layers as L
from layercc.frontends.keras.layers.common import float_of, options
from layercc.frontends.keras.recording import computing_in_ops
from layercc.frontends.keras.registry import translates_layer
from layercc.layers.layer import cast
from layercc.layers.tensor import SymbolicTensor, emit


@translates_layer("CategoryEncoding")
def category_encoding(t: Any, layer: Any) -> L.Layer:
    return _Encoding(t, layer, **options(t, layer))


class _Encoding(L.Layer):
    """Traced where Keras computes; around it, tensors of TensorFlow are converted."""

    def __init__(self, t: Any, layer: Any, **options: Any) -> None:
        super().__init__(**options)
        self.t, self.layer = t, layer

    def call(self, x: SymbolicTensor, count_weights: SymbolicTensor | None = None) -> Any:
        with computing_in_ops(self.layer):
            return self.t.function(self.layer._encode, x, count_weights)


@translates_layer("Resizing")
def resizing(t: Any, layer: Any) -> L.Layer:
    return _Resizing(
        layer.height,
        layer.width,
        layer.interpolation,
        layer.crop_to_aspect_ratio,
        layer.pad_to_aspect_ratio,
        antialias=layer.antialias,
        data_format=layer.data_format,
        **options(t, layer),
    )


class _Casting:
    """Casts what it is given to the layer's type, integers too."""

    def call(self, x: SymbolicTensor) -> SymbolicTensor:
        dtype = self.given_dtype  # type: ignore[attr-defined]
        made: SymbolicTensor = super().call(x if dtype is None else cast(x, dtype))  # type: ignore[misc]
        return made


class _Resizing(L.Resizing):
    """Keras' rounds integers to integers."""

    def call(self, x: SymbolicTensor) -> SymbolicTensor:
        if x.dtype in DTYPE_SETS["float"]:
            return super().call(x)
        y = super().call(cast(x, self.given_dtype or DType.f32))
        limits = np.iinfo(x.dtype.value)
        return cast(emit("Clip", emit("Round", y), float(limits.min), float(limits.max)), x.dtype)


class _CenterCrop(_Casting, L.CenterCrop):
    pass


@translates_layer("CenterCrop")
def center_crop(t: Any, layer: Any) -> L.Layer:
    return _CenterCrop(layer.height, layer.width, layer.data_format, **options(t, layer))


@translates_layer(
    "RandomBrightness", "RandomColorDegeneration", "RandomColorJitter", "RandomContrast",
    "RandomCrop", "Solarization",
    "RandomElasticTransform", "RandomErasing", "RandomFlip", "RandomGaussianBlur",
    "RandomGrayscale", "RandomHue", "RandomInvert", "RandomPerspective", "RandomPosterization",
    "RandomRotation", "RandomSaturation", "RandomSharpness", "RandomShear", "RandomTranslation",
    "RandomZoom", "AugMix", "CutMix", "MixUp", "RandAugment",
)  # fmt: skip
def random(t: Any, layer: Any) -> L.Layer:
    return _RandomInTraining(**options(t, layer, weights=False) | {"dtype": float_of(layer)})


class _RandomInTraining(_Casting, L.Identity):
    """Identity (in training: images changed at random)."""
