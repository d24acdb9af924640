"""Subgraphs become part of the graph around them."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import replace

from ir.graph import Graph, Node


def inline(
    result: Graph,
    body: Graph,
    taken: set[str],
    given: Mapping[str, str] | None = None,
    suffix: str = "",
) -> list[str]:
    """Appends the nodes and constants of `body` to `result`; returns the names of its outputs.

    Their values get names that are not `taken`, and now are. `given` names the values of `result`
    that stand for the inputs of `body`; `suffix` goes behind names to tell copies apart. Nodes keep
    their own names.
    """
    made = [name for item in body.nodes for name in item.outputs if name]
    names = {name: unique(name + suffix, taken) for name in [*made, *body.constants]}
    names.update(given or {})
    result.constants |= {names[name]: array for name, array in body.constants.items()}
    result.nodes += [rename(item, names) for item in body.nodes]
    return [names.get(name, name) for name in body.output_names]


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


def unique(name: str, taken: set[str]) -> str:
    """A name like `name` that is not `taken` yet, and now is."""
    for suffix in itertools.count(1):
        fresh = f"{name}.{suffix}"
        if fresh not in taken:
            taken.add(fresh)
            return fresh
    raise AssertionError
