"""Removes what the outputs do not depend on.

Matches nodes none of whose outputs is read, optional outputs that nobody reads, and constants
without readers; makes nothing in their place. Sound because ops have no effects but their outputs.
Graph inputs stay: they are the model's interface.
"""

from __future__ import annotations

from dataclasses import replace

from ir.graph import Graph, Node
from layercc.passes.editor import definition
from layercc.passes.infrastructure import graph_pass


@graph_pass("simplify")
def eliminate_dead_code(graph: Graph) -> Graph:
    """Remove nodes, optional outputs and constants that the outputs do not depend on."""
    alive = set(graph.output_names)
    kept: list[Node] = []
    for node in reversed(graph.nodes):
        if alive.isdisjoint(node.outputs):
            continue
        alive.update(node.reads())
        kept.append(_without_unread_outputs(node, alive))
    kept.reverse()
    constants = {name: array for name, array in graph.constants.items() if name in alive}
    if (
        len(constants) == len(graph.constants)
        and len(kept) == len(graph.nodes)
        and all(a is b for a, b in zip(kept, graph.nodes, strict=True))
    ):
        return graph
    smaller = graph.copy()
    smaller.nodes, smaller.constants = kept, constants
    known = {*graph.input_names, *constants, *(name for node in kept for name in node.outputs)}
    smaller.types = {name: kind for name, kind in graph.types.items() if name in known}
    return smaller


def _without_unread_outputs(node: Node, alive: set[str]) -> Node:
    """The node with unread outputs left out; the first one, and variadic ones, stay."""
    op = definition(node)
    if op is None or all(name in alive for name in node.outputs):
        return node
    parameters = op.output_parameters
    fixed = len(parameters) - (bool(parameters) and parameters[-1].variadic)
    outputs = [
        "" if 0 < index < fixed and name not in alive else name
        for index, name in enumerate(node.outputs)
    ]
    while not outputs[-1] and len(outputs) <= fixed:
        outputs.pop()
    return node if tuple(outputs) == node.outputs else replace(node, outputs=tuple(outputs))
