"""Activation functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from layercc.frontends.keras.registry import OPS, enter, translates_op
from layercc.layers import activations, emit
from layercc.layers.tensor import ints

#: `keras.ops.nn` class → the builder's function, without settings.
_PLAIN = {
    "Relu": "relu", "Relu6": "relu6", "Sigmoid": "sigmoid", "SparseSigmoid": "sparse_sigmoid",
    "Softplus": "softplus", "Softsign": "softsign", "SparsePlus": "sparse_plus", "Silu": "silu",
    "LogSigmoid": "log_sigmoid", "HardSigmoid": "hard_sigmoid", "HardSilu": "hard_silu",
    "Selu": "selu", "TanhShrink": "tanh_shrink", "HardTanh": "hard_tanh",
}  # fmt: skip
#: Class → the builder's function and the setting that it takes.
_WITH_SETTING: dict[str, tuple[Callable[..., Any], str]] = {
    "LeakyRelu": (activations.leaky_relu, "negative_slope"),
    "Elu": (activations.elu, "alpha"),
    "Celu": (activations.celu, "alpha"),
    "Gelu": (activations.gelu, "approximate"),
    "Glu": (activations.glu, "axis"),
    "SoftShrink": (activations.soft_shrink, "threshold"),
    "HardShrink": (activations.hard_shrink, "threshold"),
    "Squareplus": (activations.squareplus, "b"),
}


def _plain(name: str) -> Callable[..., Any]:
    return lambda c, x: activations.ACTIVATIONS[name](c.tensor(x, c.dtype))


def _with_setting(function: Callable[..., Any], setting: str) -> Callable[..., Any]:
    return lambda c, x: function(c.tensor(x, c.dtype), getattr(c.op, setting))


for _name, _known in _PLAIN.items():
    enter(OPS, f"nn.{_name}", _plain(_known))
for _name, (_function, _setting) in _WITH_SETTING.items():
    enter(OPS, f"nn.{_name}", _with_setting(_function, _setting))


@translates_op("nn.Threshold")
def threshold(c: Any, x: Any) -> Any:
    return activations.threshold(c.tensor(x, c.dtype), c.op.threshold, c.op.default_value)


@translates_op("nn.Softmax", "nn.LogSoftmax")
def softmax(c: Any, x: Any) -> Any:
    x, axis = c.tensor(x, c.dtype), c.op.axis
    log = type(c.op).__name__ == "LogSoftmax"
    if axis is None or isinstance(axis, list | tuple):
        axes = range(x.rank) if axis is None else axis
        y = x - emit("ReduceLogSumExp", x, ints(*axes), keepdims=1)
        return y if log else emit("Exp", y)
    return emit("LogSoftmax" if log else "Softmax", x, axis=int(axis))
