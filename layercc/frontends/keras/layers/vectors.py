"""Layers that move elements."""

from __future__ import annotations

from typing import Any

from layercc import layers as L
from layercc.frontends.keras.layers.common import options, sizes
from layercc.frontends.keras.registry import translates_layer


@translates_layer("Flatten")
def flatten(t: Any, layer: Any) -> L.Layer:
    return L.Flatten(layer.data_format, **options(t, layer))


@translates_layer("Reshape")
def reshape(t: Any, layer: Any) -> L.Layer:
    return L.Reshape(sizes(layer.target_shape), **options(t, layer))


@translates_layer("Permute")
def permute(t: Any, layer: Any) -> L.Layer:
    return L.Permute(sizes(layer.dims), **options(t, layer))


@translates_layer("RepeatVector")
def repeat_vector(t: Any, layer: Any) -> L.Layer:
    return L.RepeatVector(layer.n, **options(t, layer))


@translates_layer("Cropping1D", "Cropping2D", "Cropping3D")
def cropping(t: Any, layer: Any) -> L.Layer:
    cls = getattr(L, f"Cropping{_rank(layer)}D")
    made: L.Layer = cls(sizes(layer.cropping), _format(layer), **options(t, layer))
    return made


@translates_layer("ZeroPadding1D", "ZeroPadding2D", "ZeroPadding3D")
def zero_padding(t: Any, layer: Any) -> L.Layer:
    cls = getattr(L, f"ZeroPadding{_rank(layer)}D")
    made: L.Layer = cls(sizes(layer.padding), _format(layer), **options(t, layer))
    return made


@translates_layer("UpSampling1D")
def up_sampling_1d(t: Any, layer: Any) -> L.Layer:
    return L.UpSampling1D(layer.size, **options(t, layer))


@translates_layer("UpSampling2D")
def up_sampling_2d(t: Any, layer: Any) -> L.Layer:
    return L.UpSampling2D(
        sizes(layer.size), layer.data_format, layer.interpolation, **options(t, layer)
    )


@translates_layer("UpSampling3D")
def up_sampling_3d(t: Any, layer: Any) -> L.Layer:
    return L.UpSampling3D(sizes(layer.size), layer.data_format, **options(t, layer))


def _rank(layer: Any) -> int:
    return next(int(cls.__name__[-2]) for cls in type(layer).__mro__ if cls.__name__[-2:] in _RANKS)


def _format(layer: Any) -> Any:
    return getattr(layer, "data_format", None)


_RANKS = ("1D", "2D", "3D")
