"""Recognises global average pooling that an exporter wrote as a mean.

Matches ReduceMean over all axes of a tensor of rank 4 or 5 but the first two; makes
GlobalAveragePool, and a Reshape behind it where the axes are to go. Sound because that is the op's
definition. Tensors of rank 3 are left alone: a mean over their last axis is as often a step of a
normalisation over features. So are graphs that hold channels-last or fused nodes, where the last
axes are not the spatial ones.
"""

from __future__ import annotations

from ir.graph import Graph, Node
from layercc.passes.editor import GraphEditor, Replacement, attribute, rewrite
from layercc.passes.fusion import FUSED
from layercc.passes.infrastructure import graph_pass
from layercc.passes.simplify_shapes import emit_reshape


@graph_pass("simplify")
def recognize_global_pooling(graph: Graph) -> Graph:
    """Recognise GlobalAveragePool written as ReduceMean."""
    if any(node.attributes.get("channels_last") or node.op == FUSED for node in graph.nodes):
        return graph
    return rewrite(graph, {"ReduceMean": _mean})


def _mean(editor: GraphEditor, node: Node) -> Replacement:
    x, result = node.inputs[0], node.outputs[0]
    rank = editor.rank(x)
    axes = editor.constant(node.inputs[1]) if len(node.inputs) > 1 else None
    if axes is None or rank not in (4, 5) or editor.types[x].dtype.value.kind not in "fV":
        return None
    if sorted(int(axis) % rank for axis in axes) != list(range(2, rank)):
        return None
    pooled = editor.emit("GlobalAveragePool", (x,), like=node)
    if attribute(node, "keepdims"):
        return pooled
    return emit_reshape(editor, pooled, editor.shape(result), node)
