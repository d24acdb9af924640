"""Other names for the values that nodes read and make."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ir.graph import Graph, Node


def rename(node: Node, names: Mapping[str, str]) -> Node:
    """The node with values renamed, in what its subgraphs read from outside as well."""
    node = rename_reads(node, names)
    if names.keys().isdisjoint(node.outputs):
        return node
    return replace(node, outputs=tuple(names.get(name, name) for name in node.outputs))


def rename_reads(node: Node, names: Mapping[str, str]) -> Node:
    """The node with values that it, or a subgraph of it, reads from outside renamed."""
    if names.keys().isdisjoint(node.reads()):
        return node
    attributes = {
        key: _rename_outside(value, names) if isinstance(value, Graph) else value
        for key, value in node.attributes.items()
    }
    inputs = tuple(names.get(name, name) for name in node.inputs)
    return replace(node, inputs=inputs, attributes=attributes)


def _rename_outside(graph: Graph, names: Mapping[str, str]) -> Graph:
    """A subgraph whose reads of outer values are renamed; its own names hide outer ones."""
    outer = {name: names[name] for name in graph.free_names() if name in names}
    if not outer:
        return graph
    result = graph.copy()
    result.nodes = [rename_reads(node, outer) for node in graph.nodes]
    result.outputs = [
        replace(value, name=outer.get(value.name, value.name)) for value in graph.outputs
    ]
    return result
