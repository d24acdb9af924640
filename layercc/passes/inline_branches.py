"""Replaces an If whose condition is known by the branch that it takes.

Sound because a branch reads only its own values and those of the graph around it, which are defined
before the If; its own values get names that nothing else has.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import replace

from ir.graph import Graph, Node
from ir.inference import infer, infer_types
from layercc.passes.infrastructure import graph_pass


@graph_pass("simplify")
def inline_branches(graph: Graph) -> Graph:
    """Takes the known branch of an If."""
    if not any(node.op == "If" for node in graph.nodes):
        return graph
    values = infer(graph).values
    result = graph.copy()
    result.nodes = []
    taken = graph.value_names()
    for node in graph.nodes:
        condition = values.get(node.inputs[0]) if node.op == "If" else None
        if condition is None or condition.dtype == object:
            result.nodes.append(node)
            continue
        chosen = "then_branch" if condition.reshape(-1)[0] else "else_branch"
        _inline(result, node, node.attributes[chosen], taken)
    if len(result.nodes) == len(graph.nodes) and result.nodes == graph.nodes:
        return graph
    infer_types(result).raise_for_errors(f"graph {graph.name!r}")
    return result


def _inline(result: Graph, node: Node, branch: Graph, taken: set[str]) -> None:
    """Appends the nodes of `branch`, its outputs becoming those of `node`."""
    made = [name for item in branch.nodes for name in item.outputs if name]
    names = {name: _unique(name, taken) for name in [*made, *branch.constants]}
    result.constants |= {names[name]: array for name, array in branch.constants.items()}
    result.nodes += [rename(item, names) for item in branch.nodes]
    for outer, inner in zip(node.outputs, branch.output_names, strict=False):
        if outer:
            result.nodes.append(Node("Identity", (names.get(inner, inner),), (outer,)))


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


def _unique(name: str, taken: set[str]) -> str:
    for suffix in itertools.count(1):
        fresh = f"{name}.{suffix}"
        if fresh not in taken:
            taken.add(fresh)
            return fresh
    raise AssertionError
