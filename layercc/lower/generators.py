"""Lowering of ops that make a tensor from nothing but numbers known before running."""

from __future__ import annotations

import numpy as np

from ir.graph import Node
from layercc.lower.context import Context
from layercc.lower.movement import fill_with
from layercc.lower.registry import lowering


@lowering("ConstantOfShape")
def constant_of_shape(context: Context, node: Node) -> None:
    """One value everywhere."""
    value = context.call_of(node).attribute("value")
    y = context.output(node.outputs[0])
    fill_with(context, y, None if value is None else context.constant(np.asarray(value)))


@lowering("Constant", "Range", "EyeLike")
def evaluated(context: Context, node: Node) -> None:
    """What the reference makes of inputs whose shape, and value where it matters, is known."""
    call = context.call_of(node)
    inputs = [call.value(i) for i in range(len(node.inputs))]
    if node.op == "EyeLike":
        inputs = [np.empty(context.shape(node.inputs[0]), np.bool_)]
    context.bind(node.outputs[0], context.constant(np.asarray(call.op.reference(call, *inputs))))
