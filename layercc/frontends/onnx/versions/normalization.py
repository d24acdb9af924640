"""Normalisation, recurrent and matrix ops: modes that older versions had."""

from __future__ import annotations

import numpy as np

from layercc.frontends.onnx.versions.step import Step, lifts


@lifts("BatchNormalization", until=9)
def batch_normalization_by_element(step: Step) -> None:
    """`spatial=0`: statistics for each element of an item instead of each channel.

    Y = (X - mean) / sqrt(var + epsilon) * scale + B, broadcast over the batch.
    """
    step.pop("is_test")  # only opset 6; as later, extra outputs ask for training
    if step.pop("spatial", 1):
        return
    x, scale, bias, mean, variance = (step.input(index) for index in range(5))
    epsilon = step.constant(step.pop("epsilon", 1e-5), step.dtype(0) or np.float32, "epsilon")
    step.pop("momentum")
    deviation = step.make("Sqrt", [step.make("Add", [variance, epsilon], "shifted")], "deviation")
    centred = step.make("Sub", [x, mean], "centred")
    scaled = step.make("Mul", [step.make("Div", [centred, deviation], "normal"), scale], "scaled")
    step.op, step.inputs, step.outputs = "Add", [scaled, bias], step.outputs[:1]


@lifts("BatchNormalization", until=14)
def batch_normalization_training(step: Step) -> None:
    """More than one output used to ask for training; now an attribute does."""
    while len(step.outputs) > 1 and not step.outputs[-1]:
        step.outputs.pop()
    if step.op == "BatchNormalization" and len(step.outputs) > 1:
        if any(step.outputs[3:]):
            step.unsupported("the outputs saved_mean and saved_var, which exist for training only")
        step.outputs = step.outputs[:3]
        step.attributes["training_mode"] = 1


@lifts("GroupNormalization", until=21)
def group_normalization_by_channel(step: Step) -> None:
    """Scale and bias had one element a group; each is repeated for the channels of its group."""
    groups = step.attributes.get("num_groups")
    shape = step.shape(0)
    if not isinstance(groups, int) or groups < 1:
        step.invalid("num_groups must be a positive integer")
    channels = shape[1] if shape is not None and len(shape) > 1 else None
    for index, hint in [(1, "scale"), (2, "bias")]:
        value = step.known(index)
        if value is not None and type(channels) is int and channels % groups == 0:
            repeated = np.repeat(value.reshape(-1), channels // groups)
            step.set_input(index, step.constant(repeated, value.dtype, hint))
            continue
        count = step.make("Shape", [step.input(0)], "channels", start=1, end=2)
        size = step.make("Div", [count, step.ints([groups], "groups")], "group_size")
        target = step.make("Concat", [step.ints([groups], "rows"), size], "target", axis=0)
        column = step.make("Unsqueeze", [step.input(index), step.ints([1], "axis")], "column")
        wide = step.make("Expand", [column, target], "wide")
        step.set_input(index, step.make("Reshape", [wide, step.ints([-1], "flat")], hint))


@lifts("Gemm", until=7)
def gemm_broadcast(step: Step) -> None:
    step.pop("broadcast")  # C broadcasts to the product's shape, as it does now


@lifts("GRU", "LSTM", "RNN", until=7)
def output_sequence(step: Step) -> None:
    step.pop("output_sequence")  # now an output is computed if it is named
    if step.attributes.get("direction") == "foward":  # the default of opset 1, as spelt there
        step.attributes["direction"] = "forward"
