"""Drops an Expand that broadcasting does anyway.

Matches a pointwise node, or the mask of an Attention, that reads an Expand; makes it read what is
expanded, if its results have the same shapes without. Sound because these operands are broadcast
just as Expand does; a mask but for its last axis, along which a shorter one masks the rest.
"""

from __future__ import annotations

from ir.diagnostics import ShapeError
from ir.graph import Graph
from ir.inference import infer_node
from layercc.passes.editor import GraphEditor
from layercc.passes.fusion import is_pointwise
from layercc.passes.infrastructure import graph_pass

#: Input of Attention that is broadcast.
_MASK = 3


@graph_pass("simplify")
def absorb_expand(graph: Graph) -> Graph:
    """Drop Expands that broadcasting does anyway."""
    if not any(node.op == "Expand" for node in graph.nodes):
        return graph
    editor = GraphEditor(graph)
    for node in editor.walk():
        for index, name in enumerate(node.inputs):
            if not is_pointwise(node) and (node.op != "Attention" or index != _MASK):
                continue
            expand = editor.produced_by(name, "Expand")
            if expand is None:
                continue
            old, new = (editor.types[each].shape for each in (expand.inputs[0], name))
            if node.op == "Attention" and old[-1:] != new[-1:]:
                continue
            inputs = (*node.inputs[:index], expand.inputs[0], *node.inputs[index + 1 :])
            direct = node.with_inputs(inputs)
            try:
                kinds = infer_node(direct, {each: editor.types[each] for each in inputs if each})
            except ShapeError:
                continue  # an op that does not broadcast this operand
            if kinds == tuple(editor.types[made] for made in node.outputs if made):
                node = editor.update(node, direct)
    return editor.finish()
