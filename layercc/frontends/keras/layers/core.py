"""Layers of matrix products, embeddings, attention, normalisation, merges."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from ir.dtypes import DTYPE_SETS, DType
from layercc import layers as L
from layercc.frontends.keras.layers.common import activation, float_of, options, sizes
from layercc.frontends.keras.registry import Refused, translates_layer
from layercc.layers.layer import cast
from layercc.layers.masking import not_equal
from layercc.layers.tensor import SymbolicTensor


def _refuse_lora(layer: Any) -> None:
    if getattr(layer, "lora_enabled", False):
        raise Refused("LoRA is enabled; merge it into the kernel first")


@translates_layer("Dense")
def dense(t: Any, layer: Any) -> L.Layer:
    _refuse_lora(layer)
    return L.Dense(
        layer.units, activation(t, layer.activation), layer.use_bias, **options(t, layer)
    )


@translates_layer("EinsumDense")
def einsum_dense(t: Any, layer: Any) -> L.Layer:
    _refuse_lora(layer)
    return L.EinsumDense(
        layer.equation,
        layer.partial_output_shape,
        activation(t, layer.activation),
        layer.bias_axes,
        **options(t, layer),
    )


class _Embedding(L.Embedding):
    """Keras' takes indices of any type."""

    def call(self, indices: SymbolicTensor) -> SymbolicTensor:
        if indices.dtype not in DTYPE_SETS["index"]:
            indices = cast(indices, DType.i32)
        return super().call(indices)


@translates_layer("Embedding")
def embedding(t: Any, layer: Any) -> L.Layer:
    _refuse_lora(layer)
    return _Embedding(
        layer.input_dim, layer.output_dim, mask_zero=layer.mask_zero, **options(t, layer)
    )


class _ReversibleEmbedding(_Embedding):
    """An embedding that also gives logits of features, by the same table or another."""

    masking = False  # call sets the mask of embeddings

    def __init__(self, *args: Any, tied: bool, soft_cap: float | None, **options: Any) -> None:
        super().__init__(*args, **options)
        self.tied, self.soft_cap = tied, soft_cap

    def call(self, x: SymbolicTensor, reverse: bool = False) -> SymbolicTensor:
        table = self.weight("embeddings", (self.input_dim, self.output_dim))
        kernel = None
        if not self.tied:
            kernel = self.weight("reverse_embeddings", (self.output_dim, self.input_dim))
        if not reverse:
            y = super().call(x)
            if self.mask_zero:
                y.mask = not_equal(x, 0)
            return y
        if kernel is None:
            kernel = L.emit("Transpose", table, perm=(1, 0))
        logits: SymbolicTensor = L.emit("MatMul", x, kernel)
        if self.soft_cap is not None:
            logits = L.emit("Tanh", logits / self.soft_cap) * self.soft_cap
        return logits


@translates_layer("ReversibleEmbedding")
def reversible_embedding(t: Any, layer: Any) -> L.Layer | None:
    _refuse_lora(layer)
    if layer.reverse_dtype is not None:
        raise Refused("reverse_dtype")
    return _ReversibleEmbedding(
        layer.input_dim,
        layer.output_dim,
        mask_zero=layer.mask_zero,
        tied=layer.tie_weights,
        soft_cap=layer.logit_soft_cap,
        **options(t, layer),
    )


@translates_layer("Activation")
def activation_layer(t: Any, layer: Any) -> L.Layer:
    return L.Activation(activation(t, layer.activation), **options(t, layer))


@translates_layer("Identity", "Dropout", "AlphaDropout", "GaussianDropout", "GaussianNoise",
                  "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D",
                  "ActivityRegularization")  # fmt: skip
def identity(t: Any, layer: Any) -> L.Layer:
    return L.Identity(**options(t, layer, weights=False))


@translates_layer("Masking")
def masking(t: Any, layer: Any) -> L.Layer:
    return L.Masking(layer.mask_value, **options(t, layer))


@translates_layer("ReLU")
def relu(t: Any, layer: Any) -> L.Layer:
    return L.ReLU(
        layer.max_value, float(layer.negative_slope), float(layer.threshold), **options(t, layer)
    )


@translates_layer("LeakyReLU")
def leaky_relu(t: Any, layer: Any) -> L.Layer:
    return L.LeakyReLU(float(layer.negative_slope), **options(t, layer))


@translates_layer("PReLU")
def prelu(t: Any, layer: Any) -> L.Layer:
    return L.PReLU(shared_axes=layer.shared_axes, **options(t, layer))


@translates_layer("ELU")
def elu(t: Any, layer: Any) -> L.Layer:
    return L.ELU(float(layer.alpha), **options(t, layer))


@translates_layer("Softmax")
def softmax(t: Any, layer: Any) -> L.Layer:
    return L.Softmax(sizes(layer.axis), **options(t, layer))


@translates_layer("BatchNormalization")
def batch_normalization(t: Any, layer: Any) -> L.Layer:
    if getattr(layer, "renorm", False):
        raise Refused("renorm")
    return L.BatchNormalization(
        axis=int(layer.axis),
        epsilon=layer.epsilon,
        center=layer.center,
        scale=layer.scale,
        **options(t, layer),
    )


@translates_layer("LayerNormalization")
def layer_normalization(t: Any, layer: Any) -> L.Layer | None:
    if getattr(layer, "rms_scaling", False):
        return None
    return L.LayerNormalization(
        sizes(layer.axis), layer.epsilon, layer.center, layer.scale, **options(t, layer)
    )


@translates_layer("GroupNormalization")
def group_normalization(t: Any, layer: Any) -> L.Layer:
    return L.GroupNormalization(
        layer.groups, layer.axis, layer.epsilon, layer.center, layer.scale, **options(t, layer)
    )


@translates_layer("RMSNormalization")
def rms_normalization(t: Any, layer: Any) -> L.Layer:
    return L.RMSNormalization(sizes(layer.axis), layer.epsilon, **options(t, layer))


@translates_layer("UnitNormalization")
def unit_normalization(t: Any, layer: Any) -> L.Layer:
    return L.UnitNormalization(sizes(layer.axis), **options(t, layer))


@translates_layer("Add", "Average", "Maximum", "Minimum", "Multiply", "Subtract")
def merge(t: Any, layer: Any) -> L.Layer:
    known = next(cls.__name__ for cls in type(layer).__mro__ if hasattr(L, cls.__name__))
    made: L.Layer = getattr(L, known)(**options(t, layer))
    return made


@translates_layer("Concatenate")
def concatenate(t: Any, layer: Any) -> L.Layer:
    return L.Concatenate(layer.axis, **options(t, layer))


@translates_layer("Dot")
def dot(t: Any, layer: Any) -> L.Layer:
    return L.Dot(sizes(layer.axes), layer.normalize, **options(t, layer))


@translates_layer("Attention")
def attention(t: Any, layer: Any) -> L.Layer:
    return L.Attention(layer.use_scale, layer.score_mode, **options(t, layer))


@translates_layer("AdditiveAttention")
def additive_attention(t: Any, layer: Any) -> L.Layer:
    return L.AdditiveAttention(layer.use_scale, **options(t, layer))


@translates_layer("MultiHeadAttention")
def multi_head_attention(t: Any, layer: Any) -> L.Layer:
    width = layer._output_shape
    return L.MultiHeadAttention(
        layer.num_heads,
        layer.key_dim,
        layer.value_dim,
        layer.dropout,
        layer.use_bias,
        None if width is None else sizes(width),
        attention_axes=sizes(layer._attention_axes),
        sliding_window=layer._sliding_window,
        use_gate=layer._use_gate,
        **options(t, layer),
    )


@translates_layer("GroupQueryAttention", "GroupedQueryAttention")
def group_query_attention(t: Any, layer: Any) -> L.Layer:
    return L.GroupQueryAttention(
        layer.head_dim,
        layer.num_query_heads,
        layer.num_key_value_heads,
        layer.dropout,
        layer.use_bias,
        sliding_window=layer.sliding_window,
        use_gate=layer.use_gate,
        **options(t, layer),
    )


@translates_layer("Rescaling")
def rescaling(t: Any, layer: Any) -> L.Layer:
    return _Rescaling(layer.scale, layer.offset, **options(t, layer))


class _Rescaling(L.Rescaling):
    """Keras' casts what it is given, integers too."""

    def call(self, x: SymbolicTensor) -> SymbolicTensor:
        return super().call(cast(x, self.given_dtype or DType.f32))


class _Normalization(L.Normalization):
    def call(self, x: SymbolicTensor) -> SymbolicTensor:
        return super().call(cast(x, self.given_dtype or DType.f32))


@translates_layer("Normalization")
def normalization(t: Any, layer: Any) -> L.Layer:
    mean, variance = (
        np.squeeze(keras.ops.convert_to_numpy(x)) for x in (layer.mean, layer.variance)
    )
    axis = None if layer.axis is None or layer.axis == () else sizes(layer.axis)
    common = options(t, layer, weights=False) | {"dtype": float_of(layer)}
    return _Normalization(axis, mean, variance, layer.invert, **common)
