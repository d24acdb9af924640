"""Other names for the values that nodes read and make."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ir.graph import Graph, Node


def rename(node: Node, names: Mapping[str, str]) -> Node:
    """The node with values renamed, in what its subgraphs read from outside as well."""
    attributes = {
        key: _rename_outside(value, names) if isinstance(value, Graph) else value
        for key, value in node.attributes.items()
    }
    return replace(
        node,
        inputs=tuple(names.get(name, name) for name in node.inputs),
        outputs=tuple(names.get(name, name) for name in node.outputs),
        attributes=attributes,
    )


def _rename_outside(graph: Graph, names: Mapping[str, str]) -> Graph:
    """A subgraph whose reads of outer values are renamed; its own names hide outer ones."""
    own = {*graph.input_names, *graph.constants}
    own.update(name for node in graph.nodes for name in node.outputs)
    outer = {old: new for old, new in names.items() if old not in own}
    result = graph.copy()
    result.nodes = [rename(node, outer) for node in graph.nodes]
    result.outputs = [
        replace(value, name=outer.get(value.name, value.name)) for value in graph.outputs
    ]
    return result
