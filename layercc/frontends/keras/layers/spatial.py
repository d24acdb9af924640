"""Convolutions and pools."""

from __future__ import annotations

from typing import Any

from layercc import layers as L
from layercc.frontends.keras.layers.common import activation, options, sizes
from layercc.frontends.keras.registry import Refused, translates_layer

_RANKS = (1, 2, 3)


def _named(layer: Any) -> Any:
    """The builder's class of the same name as a layer's, or as one that it derives from."""
    return next(getattr(L, cls.__name__) for cls in type(layer).__mro__ if hasattr(L, cls.__name__))


def _window(t: Any, layer: Any) -> dict[str, Any]:
    if getattr(layer, "lora_enabled", False):
        raise Refused("LoRA is enabled; merge it into the kernel first")
    return {
        "kernel_size": sizes(layer.kernel_size),
        "strides": sizes(layer.strides),
        "padding": layer.padding,
        "data_format": layer.data_format,
        "dilation_rate": sizes(layer.dilation_rate),
        "activation": activation(t, layer.activation),
        "use_bias": layer.use_bias,
        **options(t, layer),
    }


@translates_layer(*(f"Conv{rank}D" for rank in _RANKS))
def convolution(t: Any, layer: Any) -> L.Layer:
    made: L.Layer = _named(layer)(layer.filters, groups=layer.groups, **_window(t, layer))
    return made


@translates_layer(*(f"Conv{rank}DTranspose" for rank in _RANKS))
def transposed(t: Any, layer: Any) -> L.Layer:
    made: L.Layer = _named(layer)(
        layer.filters, output_padding=sizes(layer.output_padding), **_window(t, layer)
    )
    return made


@translates_layer("DepthwiseConv1D", "DepthwiseConv2D")
def depthwise(t: Any, layer: Any) -> L.Layer:
    made: L.Layer = _named(layer)(depth_multiplier=layer.depth_multiplier, **_window(t, layer))
    return made


@translates_layer("SeparableConv1D", "SeparableConv2D")
def separable(t: Any, layer: Any) -> L.Layer:
    made: L.Layer = _named(layer)(
        layer.filters, depth_multiplier=layer.depth_multiplier, **_window(t, layer)
    )
    return made


@translates_layer(*(f"{kind}Pooling{rank}D" for kind in ("Max", "Average") for rank in _RANKS))
def pool(t: Any, layer: Any) -> L.Layer:
    made: L.Layer = _named(layer)(
        sizes(layer.pool_size),
        sizes(layer.strides),
        layer.padding,
        layer.data_format,
        **options(t, layer),
    )
    return made


@translates_layer(
    *(f"Global{kind}Pooling{rank}D" for kind in ("Max", "Average") for rank in _RANKS)
)
def global_pool(t: Any, layer: Any) -> L.Layer:
    made: L.Layer = _named(layer)(layer.data_format, layer.keepdims, **options(t, layer))
    return made


@translates_layer(
    *(f"Adaptive{kind}Pooling{rank}D" for kind in ("Max", "Average") for rank in _RANKS)
)
def adaptive_pool(t: Any, layer: Any) -> L.Layer:
    made: L.Layer = _named(layer)(sizes(layer.output_size), layer.data_format, **options(t, layer))
    return made
