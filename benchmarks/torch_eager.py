"""The convolutional networks of `benchmarks.networks` in PyTorch, op by op, as it runs them.

What is compared is the error of its float32 arithmetic, so each op is the PyTorch function of the
same name, on channels-first tensors; images go in and come out channels-last.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from ir.graph import Graph, Node

Tensors = list[Any]


def run(graph: Graph, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """The outputs of a graph. Raises KeyError for an op that these networks do not have."""
    arrays = {**inputs, **graph.constants}
    values = {name: torch.from_numpy(np.array(array)) for name, array in arrays.items()}
    with torch.no_grad():
        for node in graph.nodes:
            given = [values.get(name) for name in node.inputs]
            last = bool(node.attributes.get("channels_last"))
            if last:
                given[0] = given[0].movedim(-1, 1)
            made = _OPS[node.op](node, given)
            values[node.outputs[0]] = made.movedim(1, -1) if last else made
    return [values[name].numpy() for name in graph.output_names]


def _padded(node: Node, x: Any, size: tuple[int, ...], value: float) -> Any:
    """`x` with the pads of a window written out."""
    strides = node.attributes.get("strides", [1, 1])
    pads = list(node.attributes.get("pads", [0] * 4))
    if node.attributes.get("auto_pad") == "SAME_UPPER":
        for axis in (0, 1):
            held = x.shape[2 + axis]
            missing = max((-(-held // strides[axis]) - 1) * strides[axis] + size[axis] - held, 0)
            pads[axis], pads[axis + 2] = missing // 2, missing - missing // 2
    return F.pad(x, (pads[1], pads[3], pads[0], pads[2]), value=value)


def _convolution(node: Node, given: Tensors) -> Any:
    x, weight, *bias = given
    x = _padded(node, x, tuple(weight.shape[2:]), 0.0)
    attributes = node.attributes
    return F.conv2d(
        x,
        weight,
        bias[0] if bias else None,
        stride=tuple(attributes.get("strides", [1, 1])),
        groups=attributes.get("group", 1),
    )


def _pool(node: Node, given: Tensors, function: Callable[..., Any], value: float) -> Any:
    size = tuple(node.attributes["kernel_shape"])
    x = _padded(node, given[0], size, value)
    return function(x, size, tuple(node.attributes.get("strides", [1, 1])))


def _normalize(node: Node, given: Tensors) -> Any:
    x, scale, bias, mean, variance = given
    epsilon = node.attributes.get("epsilon", 1e-5)
    return F.batch_norm(x, mean, variance, scale, bias, eps=epsilon)


def _transposed(node: Node, given: Tensors) -> Any:
    x, weight, *bias = given
    return F.conv_transpose2d(
        x, weight, bias[0] if bias else None, stride=tuple(node.attributes.get("strides", [1, 1]))
    )


def _linear(node: Node, given: Tensors) -> Any:
    x, weight, *bias = given
    weight = weight if node.attributes.get("transB") else weight.T
    return F.linear(x, weight, bias[0] if bias else None)


def _reshaped(node: Node, given: Tensors) -> Any:
    x, shape = given
    return x.reshape([int(d) or x.shape[i] for i, d in enumerate(shape.tolist())])


_OPS: dict[str, Callable[[Node, Tensors], Any]] = {
    "Add": lambda node, given: given[0] + given[1],
    "AveragePool": lambda node, given: _pool(node, given, F.avg_pool2d, 0.0),
    "BatchNormalization": _normalize,
    "Clip": lambda node, given: torch.clamp(*given),
    "Concat": lambda node, given: torch.cat(given, node.attributes["axis"]),
    "Conv": _convolution,
    "ConvTranspose": _transposed,
    "Flatten": lambda node, given: given[0].flatten(node.attributes.get("axis", 1)),
    "Gemm": _linear,
    "GlobalAveragePool": lambda node, given: given[0].mean((2, 3), keepdim=True),
    "Identity": lambda node, given: given[0],
    "MatMul": lambda node, given: given[0] @ given[1],
    "MaxPool": lambda node, given: _pool(node, given, F.max_pool2d, -np.inf),
    "ReduceMean": lambda node, given: given[0].mean(
        tuple(given[1].tolist()), keepdim=bool(node.attributes.get("keepdims", 1))
    ),
    "Relu": lambda node, given: F.relu(given[0]),
    "Reshape": _reshaped,
    "Sigmoid": lambda node, given: torch.sigmoid(given[0]),
    "Softmax": lambda node, given: torch.softmax(given[0], node.attributes.get("axis", -1)),
    "Squeeze": lambda node, given: given[0].squeeze(tuple(given[1].tolist())),
}
