"""Lowering of softmax and its kin."""

from __future__ import annotations

from ir.graph import Node
from layercc.jobs.normalization import Softmax
from layercc.lower.context import Context
from layercc.lower.registry import lowering


@lowering("Softmax", "LogSoftmax")
def softmax(context: Context, node: Node) -> None:
    """Along any axis."""
    x, y = context.tensor(node.inputs[0]), context.output(node.outputs[0])
    if x.size:
        axis = context.call_of(node).axis
        context.emit(Softmax(x, y, axis, node.op == "LogSoftmax"))
