"""Drops an Expand that broadcasting does anyway.

Matches a pointwise node that reads an Expand; makes it read what is expanded, if its result has the
same shape without. Sound because pointwise ops broadcast their operands just as Expand does.
"""

from __future__ import annotations

from ir.diagnostics import ShapeError
from ir.graph import Graph
from ir.inference import infer_node
from layercc.passes.editor import GraphEditor
from layercc.passes.fusion import is_pointwise
from layercc.passes.infrastructure import graph_pass


@graph_pass("simplify")
def absorb_expand(graph: Graph) -> Graph:
    """Drop Expands that the broadcasting of pointwise ops does anyway."""
    if not any(node.op == "Expand" for node in graph.nodes):
        return graph
    editor = GraphEditor(graph)
    for node in editor.walk():
        if not is_pointwise(node):
            continue
        for index, name in enumerate(node.inputs):
            expand = editor.produced_by(name, "Expand")
            if expand is None:
                continue
            inputs = (*node.inputs[:index], expand.inputs[0], *node.inputs[index + 1 :])
            direct = node.with_inputs(inputs)
            try:
                (kind,) = infer_node(direct, {each: editor.types[each] for each in inputs if each})
            except ShapeError:
                continue  # an op that does not broadcast this operand
            if kind == editor.types[node.outputs[0]]:
                node = editor.update(node, direct)
    return editor.finish()
