"""Writes BatchNormalization outside training as one multiplication and one addition.

Matches BatchNormalization with constant statistics of which only the first output is read; makes
`x * s + t` with s = scale / sqrt(var + epsilon) and t = bias - mean * s, computed in float64,
rounded once, and shaped to broadcast in the node's layout. Sound because it is the op's definition
with the constants multiplied out; f16 and bf16 are computed in f32, as the op is.
`fold_scale_and_shift` folds the two into a contraction in front.
"""

from __future__ import annotations

import numpy as np

from ir.graph import Graph, Node
from layercc.passes.editor import GraphEditor, Replacement, attribute, rewrite
from layercc.passes.infrastructure import graph_pass
from layercc.passes.precision import in_f32, in_type_of


@graph_pass("simplify")
def decompose_batch_normalization(graph: Graph) -> Graph:
    """Write BatchNormalization as Mul and Add with constants."""
    return rewrite(graph, {"BatchNormalization": _batch_normalization})


def _batch_normalization(editor: GraphEditor, node: Node) -> Replacement:
    x = node.inputs[0]
    if attribute(node, "training_mode") or any(map(editor.is_used, node.outputs[1:])):
        return None
    parameters = [editor.constant(name) for name in node.inputs[1:5]]
    if any(array is None for array in parameters):
        return None
    scale, bias, mean, var = (np.asarray(array, np.float64) for array in parameters)
    with np.errstate(all="ignore"):
        factor = scale / np.sqrt(var + attribute(node, "epsilon"))
        shift = bias - mean * factor
    wide = in_f32(editor, x)
    dtype = editor.types[wide].dtype.value
    trailing = 0 if attribute(node, "channels_last") else max(editor.rank(x) - 2, 0)
    column = (-1, *[1] * trailing)
    s = editor.add_constant(factor.astype(dtype).reshape(column), f"{node.name}.scale")
    t = editor.add_constant(shift.astype(dtype).reshape(column), f"{node.name}.shift")
    made = editor.emit("Add", (editor.emit("Mul", (wide, s), like=node), t), like=node)
    return in_type_of(editor, made, x, node)
