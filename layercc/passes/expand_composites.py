"""Writes composites, ops that stand for several others, in these.

Matches nodes of ops that users defined as composites (`layercc.own`), and makes the nodes of their
bodies, named below the node. Sound because the body is the op's definition.
"""

from __future__ import annotations

from dataclasses import replace

from ir.graph import Graph, Node
from ir.inference import call_for, infer_types
from ir.inlining import open_group
from ir.naming import Names
from layercc.passes.editor import definition
from layercc.passes.infrastructure import graph_pass


@graph_pass("simplify")
def expand_composites(graph: Graph) -> Graph:
    """Write composites in the ops that they stand for."""
    if not any(_is_composite(node) for node in graph.nodes):
        return graph
    result = graph.copy()
    result.nodes = []
    names = Names(graph.value_names())
    node_names = Names(node.name for node in graph.nodes if not _is_composite(node))
    for node in graph.nodes:
        if not _is_composite(node):
            result.nodes.append(node)
            continue
        call = call_for(node, graph.types)
        assert call.op.body is not None
        body = call.op.body(call)
        assert body is not None  # composites have one
        given = tuple(name for name in node.inputs if name)
        outputs = (*node.outputs, *[""] * (len(body.outputs) - len(node.outputs)))
        part = replace(node, inputs=given, outputs=outputs, attributes={"body": body})
        opened = Graph()
        open_group(opened, part, _Below(node.name, body.name, names))
        result.constants |= opened.constants
        own = _Below(node.name, body.name, node_names)
        result.nodes += [
            replace(inner, name=own(inner.name), source=node.source or inner.source)
            for inner in opened.nodes
        ]
    infer_types(result)
    return result


def _is_composite(node: Node) -> bool:
    op = definition(node)
    return op is not None and op.composite


class _Below:
    """Names of what a body makes: below the node that it stands in for, the body's own left out."""

    def __init__(self, node: str, body: str, names: Names) -> None:
        self._node, self._body, self._names = node, body, names

    def __call__(self, name: str) -> str:
        if name == self._body:
            return self._names.fresh(self._node)
        return self._names.fresh(f"{self._node}.{name.removeprefix(f'{self._body}.')}")
