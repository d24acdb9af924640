"""Activation functions by their Keras names, on tensors inside a layer's call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from layercc.layers.tensor import SymbolicTensor, emit, ints

#: A Keras name, a function of one tensor, or None for none.
Activation = str | Callable[[SymbolicTensor], SymbolicTensor] | None


def activate(x: SymbolicTensor, activation: Activation) -> SymbolicTensor:
    """`activation` of `x`. ValueError for a name that is not known."""
    if activation is None:
        return x
    if isinstance(activation, str):
        try:
            activation = ACTIVATIONS[activation.lower()]
        except KeyError:
            known = ", ".join(sorted(ACTIVATIONS))
            raise ValueError(f"no activation {activation!r}; there are {known}") from None
    return activation(x)


def linear(x: SymbolicTensor) -> SymbolicTensor:
    return x


def relu(
    x: SymbolicTensor,
    negative_slope: float = 0.0,
    max_value: float | None = None,
    threshold: float = 0.0,
) -> SymbolicTensor:
    """`x` at and above `threshold`, `negative_slope * (x - threshold)` below; `max_value` caps."""
    if threshold:
        below = (x - threshold) * negative_slope
        kept = emit("Where", emit("Greater", x, threshold), x, below)
        return kept if max_value is None else emit("Min", kept, max_value)
    if negative_slope:
        sloped = emit("LeakyRelu", x, alpha=float(negative_slope))
        return sloped if max_value is None else emit("Min", sloped, max_value)
    return emit("Relu", x) if max_value is None else clip(x, 0.0, max_value)


def relu6(x: SymbolicTensor) -> SymbolicTensor:
    return relu(x, max_value=6.0)


def leaky_relu(x: SymbolicTensor, negative_slope: float = 0.2) -> SymbolicTensor:
    return emit("LeakyRelu", x, alpha=float(negative_slope))


def clip(x: SymbolicTensor, low: float, high: float) -> SymbolicTensor:
    return emit("Clip", x, low, high)


def softmax(x: SymbolicTensor, axis: int = -1) -> SymbolicTensor:
    return emit("Softmax", x, axis=axis)


def log_softmax(x: SymbolicTensor, axis: int = -1) -> SymbolicTensor:
    return emit("LogSoftmax", x, axis=axis)


def elu(x: SymbolicTensor, alpha: float = 1.0) -> SymbolicTensor:
    return emit("Elu", x, alpha=float(alpha))


def celu(x: SymbolicTensor, alpha: float = 1.0) -> SymbolicTensor:
    return emit("Celu", x, alpha=float(alpha))


def silu(x: SymbolicTensor) -> SymbolicTensor:
    return x * emit("Sigmoid", x)


def gelu(x: SymbolicTensor, approximate: bool = False) -> SymbolicTensor:
    return emit("Gelu", x, approximate="tanh" if approximate else "none")


def hard_sigmoid(x: SymbolicTensor) -> SymbolicTensor:
    """relu6(x + 3) / 6"""
    return emit("HardSigmoid", x, alpha=1 / 6, beta=0.5)


def hard_tanh(x: SymbolicTensor) -> SymbolicTensor:
    return clip(x, -1.0, 1.0)


def hard_shrink(x: SymbolicTensor, threshold: float = 0.5) -> SymbolicTensor:
    return emit("Shrink", x, lambd=float(threshold))


def soft_shrink(x: SymbolicTensor, threshold: float = 0.5) -> SymbolicTensor:
    return emit("Shrink", x, lambd=float(threshold), bias=float(threshold))


def tanh_shrink(x: SymbolicTensor) -> SymbolicTensor:
    return x - emit("Tanh", x)


def log_sigmoid(x: SymbolicTensor) -> SymbolicTensor:
    return -emit("Softplus", -x)


def sparse_sigmoid(x: SymbolicTensor) -> SymbolicTensor:
    return clip(x * 0.5 + 0.5, 0.0, 1.0)


def sparse_plus(x: SymbolicTensor) -> SymbolicTensor:
    """0 below -1, x above 1, and (x + 1)² / 4 between."""
    between = emit("Where", emit("Less", x, 1.0), (x + 1.0) * (x + 1.0) * 0.25, x)
    return emit("Where", emit("Greater", x, -1.0), between, 0.0 * x)


def squareplus(x: SymbolicTensor, b: float = 4.0) -> SymbolicTensor:
    return (x + emit("Sqrt", x * x + float(b))) * 0.5


def threshold(x: SymbolicTensor, threshold: float, default_value: float) -> SymbolicTensor:
    return emit("Where", emit("Greater", x, threshold), x, x * 0.0 + default_value)


def glu(x: SymbolicTensor, axis: int = -1) -> SymbolicTensor:
    """The first half along `axis`, gated by the sigmoid of the second."""
    kept, gate = emit("Split", x, results=2, axis=axis, num_outputs=2)
    return kept * emit("Sigmoid", gate)


def sparsemax(x: SymbolicTensor, axis: int = -1) -> SymbolicTensor:
    """The closest point to `x` of the simplex, which is sparse (Martins and Astudillo 2016)."""
    last = axis % x.rank
    size = emit("Shape", x, start=last, end=last + 1)
    falling, _ = emit("TopK", x, size, results=2, axis=axis)
    count = emit(
        "CumSum", emit("Expand", np.ones((), x.dtype.value), emit("Shape", x)), ints(axis)[0]
    )
    total = emit("CumSum", falling, ints(axis)[0])
    support = emit("Greater", falling * count + 1.0, total)
    zero, one = np.zeros((), x.dtype.value), np.ones((), x.dtype.value)
    number = emit("ReduceSum", emit("Where", support, one, zero), ints(axis), keepdims=1)
    kept = emit("ReduceSum", emit("Where", support, falling, zero), ints(axis), keepdims=1)
    return emit("Relu", x - (kept - 1.0) / number)


def _op(name: str, **attributes: Any) -> Callable[[SymbolicTensor], SymbolicTensor]:
    return lambda x: emit(name, x, **attributes)


ACTIVATIONS: dict[str, Callable[[SymbolicTensor], SymbolicTensor]] = {
    "linear": linear,
    "relu": relu,
    "relu6": relu6,
    "leaky_relu": leaky_relu,
    "softmax": softmax,
    "log_softmax": log_softmax,
    "elu": elu,
    "celu": celu,
    "selu": _op("Selu"),
    "silu": silu,
    "swish": silu,
    "gelu": gelu,
    "softplus": _op("Softplus"),
    "softsign": _op("Softsign"),
    "sigmoid": _op("Sigmoid"),
    "tanh": _op("Tanh"),
    "exponential": _op("Exp"),
    "mish": _op("Mish"),
    "hard_sigmoid": hard_sigmoid,
    "hard_silu": _op("HardSwish"),
    "hard_swish": _op("HardSwish"),
    "hard_tanh": hard_tanh,
    "hard_shrink": hard_shrink,
    "soft_shrink": soft_shrink,
    "tanh_shrink": tanh_shrink,
    "log_sigmoid": log_sigmoid,
    "sparse_sigmoid": sparse_sigmoid,
    "sparse_plus": sparse_plus,
    "squareplus": squareplus,
    "glu": glu,
    "sparsemax": sparsemax,
}

#: Activations that ONNX's recurrent ops know: Keras name → (ONNX name, alpha, beta).
RECURRENT = {
    "linear": ("Affine", 1.0, 0.0),
    "relu": ("Relu", None, None),
    "tanh": ("Tanh", None, None),
    "sigmoid": ("Sigmoid", None, None),
    "hard_sigmoid": ("HardSigmoid", 1 / 6, 0.5),
    "leaky_relu": ("LeakyRelu", 0.2, None),
    "elu": ("Elu", 1.0, None),
    "softsign": ("Softsign", None, None),
    "softplus": ("Softplus", None, None),
}
