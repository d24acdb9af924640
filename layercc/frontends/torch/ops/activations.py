"""Activations of torch.nn, and softmax."""

from __future__ import annotations

from typing import Any

from ir.dtypes import DType
from layercc.frontends.torch.registry import Refused, enter, translates
from layercc.frontends.torch.translator import Tensor, Translator

#: Activations of which the IR has the same.
_SAME = {
    "relu": "Relu", "silu": "Swish", "mish": "Mish", "hardswish": "HardSwish",
}  # fmt: skip


def _activation(op: str) -> Any:
    return lambda t, x: t.emit(op, x)


for _name, _op in _SAME.items():
    enter(_name, _activation(_op))


@translates("relu6")
def relu6(t: Translator, x: Tensor) -> Tensor:
    return t.emit("Clip", x, t.scalar(0, x.dtype), t.scalar(6, x.dtype))


@translates("gelu")
def gelu(t: Translator, x: Tensor, approximate: str = "none") -> Tensor:
    return t.emit("Gelu", x, approximate=approximate)


@translates("hardsigmoid")
def hardsigmoid(t: Translator, x: Tensor) -> Tensor:
    return t.emit("HardSigmoid", x, alpha=1 / 6, beta=0.5)


@translates("elu")
def elu(
    t: Translator, x: Tensor, alpha: float = 1, scale: float = 1, input_scale: float = 1
) -> Tensor:
    if scale == 1 and input_scale == 1:
        return t.emit("Elu", x, alpha=float(alpha))
    below = t.emit("Elu", t.emit("Mul", x, t.scalar(input_scale, x.dtype)), alpha=float(alpha))
    positive = t.emit("Greater", x, t.scalar(0, x.dtype))
    return t.emit("Mul", t.emit("Where", positive, x, below), t.scalar(scale, x.dtype))


@translates("selu")
def selu(t: Translator, x: Tensor) -> Tensor:
    """With PyTorch's digits; ONNX's defaults are rounded to single precision."""
    return t.emit("Selu", x, alpha=1.6732632423543772, gamma=1.0507009873554805)


@translates("celu")
def celu(t: Translator, x: Tensor, alpha: float = 1.0) -> Tensor:
    return t.emit("Celu", x, alpha=float(alpha))


@translates("leaky_relu")
def leaky_relu(t: Translator, x: Tensor, negative_slope: float = 0.01) -> Tensor:
    return t.emit("LeakyRelu", x, alpha=float(negative_slope))


@translates("rrelu")
def rrelu(
    t: Translator, x: Tensor, lower: float = 1 / 8, upper: float = 1 / 3, training: bool = False
) -> Tensor:
    if training:
        raise Refused("in training mode; module.eval() would fit")
    return t.emit("LeakyRelu", x, alpha=(lower + upper) / 2)


@translates("rrelu_with_noise_functional")
def rrelu_with_noise(
    t: Translator, x: Tensor, noise: Tensor, lower: float = 1 / 8, upper: float = 1 / 3,
    training: bool = False, *_: Any,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """What rrelu is once PyTorch has decomposed it; the noise is used in training alone."""
    return rrelu(t, x, lower, upper, training), noise


@translates("prelu")
def prelu(t: Translator, x: Tensor, weight: Tensor) -> Tensor:
    if x.rank > 2:
        axes = t.ints(*range(1, x.rank - 1))
        weight = t.emit("Unsqueeze", weight, axes)
    return t.emit("PRelu", x, weight)


@translates("softplus")
def softplus(t: Translator, x: Tensor, beta: float = 1, threshold: float = 20) -> Tensor:
    """`log(1 + exp(beta x)) / beta`; x itself above the threshold, where single precision has no
    digits for the difference from 20 on."""
    scaled = x if beta == 1 else t.emit("Mul", x, t.scalar(beta, x.dtype))
    smooth = t.emit("Softplus", scaled)
    if beta != 1:
        smooth = t.emit("Div", smooth, t.scalar(beta, x.dtype))
    if threshold >= 20 and x.dtype != DType.f64:
        return smooth
    above = t.emit("Greater", scaled, t.scalar(threshold, x.dtype))
    return t.emit("Where", above, x, smooth)


@translates("log_sigmoid")
def log_sigmoid(t: Translator, x: Tensor) -> Tensor:
    return t.emit("Neg", t.emit("Softplus", t.emit("Neg", x)))


@translates("log_sigmoid_forward")
def log_sigmoid_forward(t: Translator, x: Tensor) -> tuple[Tensor, None]:
    return log_sigmoid(t, x), None


@translates("threshold")
def threshold(t: Translator, x: Tensor, threshold: float, value: float) -> Tensor:
    below = t.emit("LessOrEqual", x, t.scalar(threshold, x.dtype))
    return t.emit("Where", below, t.scalar(value, x.dtype), x)


@translates("hardshrink")
def hardshrink(t: Translator, x: Tensor, lambd: float = 0.5) -> Tensor:
    near = t.emit("LessOrEqual", t.emit("Abs", x), t.scalar(lambd, x.dtype))
    return t.emit("Where", near, t.scalar(0, x.dtype), x)


@translates("softshrink")
def softshrink(t: Translator, x: Tensor, lambd: float = 0.5) -> Tensor:
    near = t.emit("Clip", x, t.scalar(-lambd, x.dtype), t.scalar(lambd, x.dtype))
    return t.emit("Sub", x, near)


@translates("glu")
def glu(t: Translator, x: Tensor, dim: int = -1) -> Tensor:
    value, gate = t.emit("Split", x, outputs=2, axis=dim, num_outputs=2)
    return t.emit("Mul", value, t.emit("Sigmoid", gate))


@translates("softmax.int")
def softmax(t: Translator, x: Tensor, dim: int, dtype: Any = None) -> Tensor:
    return _softmax(t, "Softmax", x, dim)


@translates("log_softmax.int")
def log_softmax(t: Translator, x: Tensor, dim: int, dtype: Any = None) -> Tensor:
    return _softmax(t, "LogSoftmax", x, dim)


@translates("_softmax")
def softmax_core(t: Translator, x: Tensor, dim: int, half_to_float: bool = False) -> Tensor:
    return _softmax(t, "Softmax", x, dim)


@translates("_log_softmax")
def log_softmax_core(t: Translator, x: Tensor, dim: int, half_to_float: bool = False) -> Tensor:
    return _softmax(t, "LogSoftmax", x, dim)


def _softmax(t: Translator, op: str, x: Tensor, dim: int) -> Tensor:
    x = t.cast(x, t.dtype)
    if x.rank == 0:
        wide = t.emit(op, t.emit("Unsqueeze", x, t.ints(0)), axis=0)
        return t.emit("Squeeze", wide, t.ints(0))
    return t.emit(op, x, axis=dim)


@translates("_safe_softmax")
def safe_softmax(t: Translator, x: Tensor, dim: int, dtype: Any = None) -> Tensor:
    """As softmax, with zeros where all of `x` along `dim` is -inf."""
    found = _softmax(t, "Softmax", x, dim)
    lost = t.emit("Equal", x, t.scalar(float("-inf"), x.dtype))
    none = t.emit("ReduceMin", t.cast(lost, DType.u8), t.ints(dim), keepdims=1)
    return t.emit("Where", t.cast(none, DType.bool), t.scalar(0, found.dtype), found)
