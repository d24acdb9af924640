"""Layers with windows, statistics or states as a PyTorch user would write them (`torch_ops`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from ir.ops.attention import attention_dims
from ir.ops.convolution import conv_window
from ir.ops.pooling import pool_window
from ir.registry import Call
from layercc.tools.bench.torch_ops import form

#: Ops whose weights PyTorch wants in another order: which inputs, and a function of such an index
#: and the input's array, a constant, that gives the array for the form.
REARRANGED: dict[str, tuple[range, Callable[[int, np.ndarray], np.ndarray]]] = {}


@form("Conv")
def _conv(call: Call, x: Any, w: Any, b: Any = None) -> Any:
    window = conv_window(call)
    x, pads = _padded(x, window, 0.0)
    function = (F.conv1d, F.conv2d, F.conv3d)[len(window.kernel) - 1]
    return function(x, w, b, window.strides, pads, window.dilations, call.group)


@form("ConvTranspose")
def _conv_transpose(call: Call, x: Any, w: Any, b: Any = None) -> Any:
    rank = call.rank(0) - 2
    pads = list(call.pads or [0] * 2 * rank)
    if call.output_shape is not None or call.auto_pad != "NOTSET" or pads[:rank] != pads[rank:]:
        raise TypeError("ConvTranspose with these pads has no PyTorch form here")
    function = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)[rank - 1]
    ones, none = (1,) * rank, (0,) * rank
    extra, dilations = call.output_padding or none, call.dilations or ones
    return function(x, w, b, call.strides or ones, pads[:rank], extra, call.group, dilations)


@form("MaxPool", "AveragePool")
def _pool(call: Call, x: Any) -> Any:
    window, rank = pool_window(call), call.rank(0) - 2
    exact = all(
        (int(out) - 1) * s + int(extent) <= size + begin + end
        for out, s, extent, size, begin, end in zip(
            window.output_dims, window.strides, window.effective_kernel, call.shape(0)[2:],
            window.pads_begin, window.pads_end, strict=True,
        )
    )  # fmt: skip
    if len(call.outputs) > 1 or (call.ceil_mode and not exact):
        raise TypeError(f"{call.op.name} with indices or an overlap has no PyTorch form here")
    if call.op.name == "MaxPool":
        x, pads = _padded(x, window, float("-inf"))
        function = (F.max_pool1d, F.max_pool2d, F.max_pool3d)[rank - 1]
        return function(x, window.kernel, window.strides, pads, window.dilations)
    if window.pads_begin != window.pads_end or any(d != 1 for d in window.dilations):
        raise TypeError("AveragePool with these pads has no PyTorch form here")
    average = (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)[rank - 1]
    counted = bool(call.count_include_pad)
    return average(x, window.kernel, window.strides, window.pads_begin, False, counted)


def _padded(x: Any, window: Any, fill: float) -> tuple[Any, tuple[int, ...]]:
    """The pads that PyTorch's function adds by itself; where the ends differ, or are more than it
    takes, they are added here."""
    begins, ends = window.pads_begin, window.pads_end
    half = all(2 * begin <= k for begin, k in zip(begins, window.kernel, strict=True))
    if begins == ends and (half or fill == 0):
        return x, begins
    widths = [w for pair in zip(reversed(begins), reversed(ends), strict=True) for w in pair]
    return F.pad(x, widths, value=fill), (0,) * len(begins)


@form("GlobalAveragePool", "GlobalMaxPool")
def _global_pool(call: Call, x: Any) -> Any:
    axes = tuple(range(2, call.rank(0)))
    reduce = torch.mean if call.op.name == "GlobalAveragePool" else torch.amax
    return reduce(x, dim=axes, keepdim=True)


@form("BatchNormalization")
def _batch_norm(call: Call, x: Any, scale: Any, b: Any, mean: Any, var: Any) -> Any:
    if call.training_mode:
        raise TypeError("BatchNormalization in training has no PyTorch form here")
    return F.batch_norm(x, mean, var, scale, b, False, 0.0, call.epsilon)


@form("LayerNormalization", "RMSNormalization")
def _layer_norm(call: Call, x: Any, scale: Any, *bias: Any) -> Any:
    axis = call.axis_of(call.axis, call.rank(0))
    dims: Any = call.shape(0)[axis:]
    if len(call.outputs) > 1 or call.shape(1) != dims or (bias and call.shape(2) != dims):
        raise TypeError(f"{call.op.name} with this scale has no PyTorch form here")
    if call.op.name == "RMSNormalization":
        return F.rms_norm(x, dims, scale, call.epsilon)
    return F.layer_norm(x, dims, scale, bias[0] if bias else None, call.epsilon)


@form("LRN")
def _lrn(call: Call, x: Any) -> Any:
    if call.size % 2 == 0:
        raise TypeError("LRN over an even number of channels has no PyTorch form here")
    return F.local_response_norm(x, call.size, call.alpha, call.beta, call.bias)


@form("InstanceNormalization", "GroupNormalization")
def _group_norm(call: Call, x: Any, scale: Any, b: Any) -> Any:
    if call.op.name == "InstanceNormalization":
        return F.instance_norm(x, None, None, scale, b, True, 0.0, call.epsilon)
    return F.group_norm(x, call.num_groups, scale, b, call.epsilon)


@form("Attention")
def _attention(call: Call, q: Any, k: Any, v: Any, mask: Any = None, *past: Any) -> Any:
    dims = attention_dims(call)
    if past or len(call.outputs) > 1 or call.softcap:
        raise TypeError("Attention with a past or a cap has no PyTorch form here")

    def heads(x: Any, index: int, count: Any) -> Any:
        batch, length, width = call.shape(index)
        split = torch.reshape(x, (batch, length, count, width // count))
        return torch.transpose(split, 1, 2)

    if dims.packed:
        q, k, v = heads(q, 0, dims.q_heads), heads(k, 1, dims.kv_heads), heads(v, 2, dims.kv_heads)
    made = F.scaled_dot_product_attention(
        q, k, v, mask, 0.0, bool(call.is_causal), scale=call.scale,
        enable_gqa=dims.q_heads != dims.kv_heads,
    )  # fmt: skip
    if not dims.packed:
        return made
    return torch.reshape(torch.transpose(made, 1, 2), call.outputs[0].shape)


#: The functions of PyTorch's LSTM, which are ONNX's defaults.
_LSTM = ("Sigmoid", "Tanh", "Tanh")


@form("LSTM")
def _lstm(
    call: Call, x: Any, w: Any, r: Any, b: Any = None, lengths: Any = None, h: Any = None,
    c: Any = None, peepholes: Any = None,
) -> Any:  # fmt: skip
    functions = set(zip(*[iter(call.activations or _LSTM)] * 3, strict=True))
    plain = not (call.layout or call.clip or call.input_forget) and functions == {_LSTM}
    if lengths or peepholes or not plain or call.direction == "reverse":
        raise TypeError("LSTM with these attributes or inputs has no PyTorch form here")
    steps, batch = call.shape(0)[:2]
    directions, hidden = call.shape(2)[0], call.shape(2)[2]
    h, c = (x.new_zeros((directions, batch, hidden)) if one is None else one for one in (h, c))
    weights = []
    for i in range(int(directions)):
        weights += [w[i], r[i]]
        weights += [] if b is None else [b[i, : 4 * hidden], b[i, 4 * hidden :]]
    biased, both = b is not None, directions == 2
    made = torch.lstm(x, (h, c), weights, biased, 1, 0.0, False, both, False)
    split = torch.reshape(made[0], (steps, batch, directions, hidden))
    return [torch.transpose(split, 1, 2), made[1], made[2]]


def _gates(index: int, array: np.ndarray) -> np.ndarray:
    """From ONNX's order of an LSTM's gates, i o f c, to PyTorch's, i f c o."""
    directions, rows = array.shape[:2]
    biases = 2 if index == 3 else 1
    gates = array.reshape(directions, biases, 4, rows // (4 * biases), *array.shape[2:])
    return gates[:, :, [0, 2, 3, 1]].reshape(array.shape)


REARRANGED["LSTM"] = range(1, 4), _gates
