"""ONNX ops as a PyTorch user would write them, at known shapes.

A function takes the `Call` of a node (`ir.registry`), with all of its types and what is known of
its inputs' values, and tensors; where shapes decide what is to be done, they are read from there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from ir.registry import Call

Form = Callable[..., Any]
FORMS: dict[str, Form] = {}


def form(*ops: str) -> Callable[[Form], Form]:
    """Decorator: the function is the form of these ops."""

    def register(function: Form) -> Form:
        FORMS.update(dict.fromkeys(ops, function))
        return function

    return register


def torch_dtype(dtype: Any) -> torch.dtype:
    """Raises TypeError where PyTorch's arrays have none such."""
    return torch.from_numpy(np.empty(0, dtype.value)).dtype


#: Ops that are functions of their tensors alone.
_SAME: dict[str, Form] = {
    "Add": torch.add, "Sub": torch.sub, "Mul": torch.mul, "Pow": torch.pow, "Neg": torch.neg,
    "Abs": torch.abs, "Sign": torch.sign, "Reciprocal": torch.reciprocal, "Sqrt": torch.sqrt,
    "Exp": torch.exp, "Log": torch.log, "Floor": torch.floor, "Ceil": torch.ceil,
    "Round": torch.round, "Sin": torch.sin, "Cos": torch.cos, "Tan": torch.tan,
    "Asin": torch.asin, "Acos": torch.acos, "Atan": torch.atan, "Sinh": torch.sinh,
    "Cosh": torch.cosh, "Tanh": torch.tanh, "Asinh": torch.asinh, "Acosh": torch.acosh,
    "Atanh": torch.atanh, "Erf": torch.erf, "Equal": torch.eq, "Greater": torch.gt,
    "GreaterOrEqual": torch.ge, "Less": torch.lt, "LessOrEqual": torch.le,
    "And": torch.logical_and, "Or": torch.logical_or, "Xor": torch.logical_xor,
    "Not": torch.logical_not, "Where": torch.where, "IsNaN": torch.isnan, "Relu": torch.relu,
    "Sigmoid": torch.sigmoid, "Softplus": F.softplus, "Softsign": F.softsign, "Mish": F.mish,
    "HardSwish": F.hardswish, "MatMul": torch.matmul,
}  # fmt: skip
FORMS.update({op: lambda call, *xs, f=function: f(*xs) for op, function in _SAME.items()})


@form("Identity", "Dropout")
def _identity(call: Call, x: Any, *_: Any) -> Any:
    return x


@form("Reshape", "Flatten", "Squeeze", "Unsqueeze")
def _reshape(call: Call, x: Any, *_: Any) -> Any:
    return torch.reshape(x, call.outputs[0].shape)


@form("Expand")
def _expand(call: Call, x: Any, *_: Any) -> Any:
    return torch.broadcast_to(x, call.outputs[0].shape)


@form("Div")
def _div(call: Call, a: Any, b: Any) -> Any:
    whole = call.dtype(0).value.kind in "iu"
    return torch.div(a, b, rounding_mode="trunc" if whole else None)


@form("Sum", "Mean", "Max", "Min")
def _many(call: Call, first: Any, *rest: Any) -> Any:
    joined = {"Max": torch.maximum, "Min": torch.minimum}.get(call.op.name, torch.add)
    for other in rest:
        first = joined(first, other)
    return first / (len(rest) + 1) if call.op.name == "Mean" else first


@form("Clip")
def _clip(call: Call, x: Any, low: Any = None, high: Any = None) -> Any:
    known = [call.value(i).item() if call.has(i) else None for i in (1, 2)]  # type: ignore[union-attr]
    return torch.clamp(x, *known)


@form("LeakyRelu", "Elu", "Celu", "Selu", "HardSigmoid", "Gelu", "Swish", "PRelu")
def _activation(call: Call, x: Any, *slope: Any) -> Any:
    name = call.op.name
    if name == "LeakyRelu":
        return F.leaky_relu(x, call.alpha)
    if name in ("Elu", "Celu"):
        return (F.elu if name == "Elu" else F.celu)(x, call.alpha)
    if name == "Gelu":
        return F.gelu(x, approximate=call.approximate)
    if name == "HardSigmoid":
        return torch.clamp(x * call.alpha + call.beta, 0.0, 1.0)
    if name == "Swish":
        return F.silu(x) if call.alpha == 1 else x * torch.sigmoid(call.alpha * x)
    if name == "PRelu":
        return torch.where(x < 0, x * slope[0], x)
    return call.gamma * torch.where(x > 0, x, call.alpha * torch.expm1(x))


@form("Cast")
def _cast(call: Call, x: Any) -> Any:
    return x.to(torch_dtype(call.outputs[0].dtype))


@form("Transpose")
def _transpose(call: Call, x: Any) -> Any:
    perm = call.perm
    return torch.permute(x, tuple(reversed(range(call.rank(0)))) if perm is None else tuple(perm))


@form("DepthToSpace")
def _depth_to_space(call: Call, x: Any) -> Any:
    if call.mode != "CRD":
        raise TypeError(f"DepthToSpace of mode {call.mode} has no PyTorch form here")
    return F.pixel_shuffle(x, call.blocksize)


@form("Concat")
def _concat(call: Call, *xs: Any) -> Any:
    return torch.cat(xs, dim=call.axis)


@form("Split")
def _split(call: Call, x: Any, *_: Any) -> Any:
    axis = call.axis_of(call.axis, call.rank(0))
    made = torch.split(x, [kind.shape[axis] for kind in call.outputs], dim=axis)
    return [made[index] for index in range(len(call.outputs))]


@form("Slice")
def _slice(call: Call, x: Any, *_: Any) -> Any:
    starts, ends = call.known(1, "starts"), call.known(2, "ends")
    axes = call.known(3, "axes") if call.has(3) else np.arange(len(starts))
    steps = call.known(4, "steps") if call.has(4) else np.ones(len(starts), int)
    if (steps < 0).any():
        raise TypeError("Slice with negative steps has no PyTorch form here")
    index = [slice(None)] * call.rank(0)
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        index[int(axis)] = slice(int(start), int(end), int(step))
    return x[tuple(index)]


@form("Gather")
def _gather(call: Call, x: Any, indices: Any) -> Any:
    axis = call.axis_of(call.axis, call.rank(0))
    if call.rank(1) == 0 and call.value(1) is not None:
        return torch.select(x, axis, int(call.value(1)))  # type: ignore[arg-type]
    if axis == 0 and call.rank(0) == 2:
        return F.embedding(indices, x)
    picked = torch.index_select(x, axis, torch.reshape(indices, (-1,)))
    return torch.reshape(picked, call.outputs[0].shape)


@form("Pad")
def _pad(call: Call, x: Any, *_: Any) -> Any:
    pads, rank = call.known(1, "pads"), call.rank(0)
    axes = call.known(3, "axes") % rank if call.has(3) else np.arange(rank)
    ends = {int(axis): (int(pads[i]), int(pads[i + len(axes)])) for i, axis in enumerate(axes)}
    widths = [width for axis in reversed(range(rank)) for width in ends.get(axis, (0, 0))]
    modes = {"constant": "constant", "reflect": "reflect", "edge": "replicate", "wrap": "circular"}
    fill = call.known(2, "fill").item() if call.has(2) else 0
    if call.mode == "constant":
        return F.pad(x, widths, value=fill)
    while widths[-2:] == [0, 0]:  # these modes want the padded dims only
        del widths[-2:]
    return F.pad(x, widths, mode=modes[call.mode])


@form("Gemm")
def _gemm(call: Call, a: Any, b: Any, c: Any = None) -> Any:
    a = torch.t(a) if call.transA else a
    if call.alpha == 1 and call.beta == 1 and (c is None or call.rank(2) == 1):
        return F.linear(a, b if call.transB else torch.t(b), c)
    made = call.alpha * torch.matmul(a, torch.t(b) if call.transB else b)
    return made if c is None else made + call.beta * c


@form("Einsum")
def _einsum(call: Call, *xs: Any) -> Any:
    return torch.einsum(call.equation, *xs)


_REDUCTIONS: dict[str, Form] = {
    "ReduceMean": torch.mean, "ReduceSum": torch.sum, "ReduceMax": torch.amax,
    "ReduceMin": torch.amin, "ReduceL2": torch.linalg.vector_norm,
}  # fmt: skip


@form(*_REDUCTIONS)
def _reduce(call: Call, x: Any, *_: Any) -> Any:
    axes = [int(axis) for axis in call.known(1, "axes")] if call.has(1) else []
    if not axes and call.noop_with_empty_axes:
        return x
    dims = tuple(axes or range(call.rank(0)))
    return _REDUCTIONS[call.op.name](x, dim=dims, keepdim=bool(call.keepdims))


@form("Softmax", "LogSoftmax")
def _softmax(call: Call, x: Any) -> Any:
    return (F.softmax if call.op.name == "Softmax" else F.log_softmax)(x, dim=call.axis)
