"""Normalisations, in evaluation mode."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ml_dtypes
import numpy as np

from ir.dims import Dim
from layercc.frontends.torch.ops.reductions import var_mean
from layercc.frontends.torch.registry import Refused, translates
from layercc.frontends.torch.reshaping import reshaped
from layercc.frontends.torch.translator import Tensor, Translator


def _filled(
    t: Translator, given: Tensor | None, value: float, shape: Sequence[Dim], x: Tensor
) -> Tensor:
    """A scale or a shift; where a layer has none, ones or zeros."""
    if given is not None:
        return t.cast(given, x.dtype)
    if not all(isinstance(dim, int) for dim in shape):
        raise Refused("channels of a dynamic number, without a scale of their own")
    return t.constant(np.full(shape, value, x.dtype.value))  # type: ignore[arg-type]


@translates("batch_norm", "cudnn_batch_norm")
def batch_norm(
    t: Translator,
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    training: bool,
    momentum: float,
    eps: float,
    *_: Any,
) -> Tensor:
    channels = [x.shape[1]]
    scale, shift = _filled(t, weight, 1, channels, x), _filled(t, bias, 0, channels, x)
    if running_mean is not None and running_var is not None and not training:
        return t.emit("BatchNormalization", x, scale, shift, running_mean, running_var, epsilon=eps)
    if running_mean is not None:
        raise Refused("in training mode; module.eval() would fit")
    axes = [axis for axis in range(x.rank) if axis != 1]
    variance, mean = var_mean(t, x, axes, correction=0)
    return t.emit("BatchNormalization", x, scale, shift, mean, variance, epsilon=eps)


@translates("_native_batch_norm_legit_no_training")
def batch_norm_core(
    t: Translator,
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    running_mean: Tensor,
    running_var: Tensor,
    momentum: float,
    eps: float,
) -> tuple[Any, ...]:
    y = batch_norm(t, x, weight, bias, running_mean, running_var, False, momentum, eps)
    return y, None, None


@translates("instance_norm")
def instance_norm(
    t: Translator,
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    use_input_stats: bool,
    momentum: float,
    eps: float,
    *_: Any,
) -> Tensor:
    if not use_input_stats:
        return batch_norm(t, x, weight, bias, running_mean, running_var, False, momentum, eps)
    channels = [x.shape[1]]
    scale, shift = _filled(t, weight, 1, channels, x), _filled(t, bias, 0, channels, x)
    return t.emit("InstanceNormalization", x, scale, shift, epsilon=eps)


@translates("layer_norm")
def layer_norm(
    t: Translator,
    x: Tensor,
    normalized_shape: Sequence[Dim],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    *_: Any,
) -> Tensor:
    scale = _filled(t, weight, 1, normalized_shape, x)
    shift = None if bias is None else t.cast(bias, x.dtype)
    return t.emit("LayerNormalization", x, scale, shift, axis=-len(normalized_shape), epsilon=eps)


@translates("rms_norm")
def rms_norm(
    t: Translator,
    x: Tensor,
    normalized_shape: Sequence[Dim],
    weight: Tensor | None = None,
    eps: float | None = None,
) -> Tensor:
    if eps is None:
        eps = float(ml_dtypes.finfo(x.dtype.value).eps)
    scale = _filled(t, weight, 1, normalized_shape, x)
    return t.emit("RMSNormalization", x, scale, axis=-len(normalized_shape), epsilon=eps)


@translates("group_norm")
def group_norm(
    t: Translator,
    x: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    *_: Any,
) -> Tensor:
    channels = [x.shape[1]]
    scale, shift = _filled(t, weight, 1, channels, x), _filled(t, bias, 0, channels, x)
    if x.rank == 2:  # no spatial dims: groups of channels alone
        wide = reshaped(t, x, (*x.shape, 1))
        y = t.emit(
            "GroupNormalization", wide, scale, shift, num_groups=int(num_groups), epsilon=eps
        )
        return reshaped(t, y, x.shape)
    return t.emit("GroupNormalization", x, scale, shift, num_groups=int(num_groups), epsilon=eps)
