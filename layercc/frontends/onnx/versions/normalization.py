"""Normalisation, recurrent and matrix ops: modes that older versions had."""

from __future__ import annotations

import numpy as np

from layercc.frontends.onnx.versions.versioned_node import VersionedNode, lifts


@lifts("BatchNormalization", until=9)
def batch_normalization_by_element(node: VersionedNode) -> None:
    """`spatial=0`: statistics for each element of an item instead of each channel.

    Y = (X - mean) / sqrt(var + epsilon) * scale + B, broadcast over the batch.
    """
    node.pop("is_test")  # only opset 6; as later, extra outputs ask for training
    if node.pop("spatial", 1):
        return
    x, scale, bias, mean, variance = (node.input(index) for index in range(5))
    epsilon = node.constant(node.pop("epsilon", 1e-5), node.dtype(0) or np.float32, "epsilon")
    node.pop("momentum")
    deviation = node.make("Sqrt", [node.make("Add", [variance, epsilon], "shifted")], "deviation")
    centred = node.make("Sub", [x, mean], "centred")
    scaled = node.make("Mul", [node.make("Div", [centred, deviation], "normal"), scale], "scaled")
    node.op, node.inputs, node.outputs = "Add", [scaled, bias], node.outputs[:1]


@lifts("BatchNormalization", until=14)
def batch_normalization_training(node: VersionedNode) -> None:
    """More than one output used to ask for training; now an attribute does."""
    while len(node.outputs) > 1 and not node.outputs[-1]:
        node.outputs.pop()
    if node.op == "BatchNormalization" and len(node.outputs) > 1:
        if any(node.outputs[3:]):
            node.unsupported("the outputs saved_mean and saved_var, which exist for training only")
        node.outputs = node.outputs[:3]
        node.attributes["training_mode"] = 1


@lifts("GroupNormalization", until=21)
def group_normalization_by_channel(node: VersionedNode) -> None:
    """Scale and bias had one element a group; each is repeated for the channels of its group."""
    groups = node.attributes.get("num_groups")
    shape = node.shape(0)
    if not isinstance(groups, int) or groups < 1:
        node.invalid("num_groups must be a positive integer")
    channels = shape[1] if shape is not None and len(shape) > 1 else None
    for index, hint in [(1, "scale"), (2, "bias")]:
        value = node.known(index)
        if value is not None and type(channels) is int and channels % groups == 0:
            repeated = np.repeat(value.reshape(-1), channels // groups)
            node.set_input(index, node.constant(repeated, value.dtype, hint))
            continue
        count = node.make("Shape", [node.input(0)], "channels", start=1, end=2)
        size = node.make("Div", [count, node.ints([groups], "groups")], "group_size")
        target = node.make("Concat", [node.ints([groups], "rows"), size], "target", axis=0)
        column = node.make("Unsqueeze", [node.input(index), node.ints([1], "axis")], "column")
        wide = node.make("Expand", [column, target], "wide")
        node.set_input(index, node.make("Reshape", [wide, node.ints([-1], "flat")], hint))


@lifts("Gemm", until=7)
def gemm_broadcast(node: VersionedNode) -> None:
    node.pop("broadcast")  # C broadcasts to the product's shape, as it does now


@lifts("GRU", "LSTM", "RNN", until=7)
def output_sequence(node: VersionedNode) -> None:
    node.pop("output_sequence")  # now an output is computed if it is named
    if node.attributes.get("direction") == "foward":  # the default of opset 1, as spelt there
        node.attributes["direction"] = "forward"
