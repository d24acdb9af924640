"""Replaces an If whose condition is known by the branch that it takes, and one that hangs on
computed floats by both branches and a choice between their results.

Such a condition is known at run time only, unlike those that come from shapes and integer inputs.
Sound because a branch reads only its own values and those of the graph around it, which are defined
before the If; its own values get names that nothing else has. Ops have no effects but their
outputs, so a branch that is not taken may run; both branches must give the same types.
"""

from __future__ import annotations

import numpy as np

from ir.dtypes import DTYPE_SETS
from ir.graph import Graph, Node
from ir.inference import infer, infer_types
from layercc.passes.infrastructure import graph_pass
from layercc.passes.inlining import inline, unique


@graph_pass("simplify")
def inline_branches(graph: Graph) -> Graph:
    """Takes the known branch of an If; both where floats decide."""
    if not any(node.op == "If" for node in graph.nodes):
        return graph
    values = infer(graph).values
    floats = _hang_on_floats(graph)
    unlike: set[str] = set()  # nodes whose branches give different types
    while True:
        result = graph.copy()
        result.nodes = []
        taken = graph.value_names()
        chosen: dict[str, list[tuple[str, str]]] = {}
        for node in graph.nodes:
            condition = values.get(node.inputs[0]) if node.op == "If" else None
            if condition is not None and condition.dtype != object:
                branch = "then_branch" if condition.reshape(-1)[0] else "else_branch"
                _take(result, node, inline(result, node.attributes[branch], taken))
            elif node.op == "If" and node.inputs[0] in floats and node.name not in unlike:
                chosen[node.name] = _choose(result, node, taken)
            else:
                result.nodes.append(node)
        if result.nodes == graph.nodes:
            return graph
        types = infer_types(result)
        differ = {
            name
            for name, pairs in chosen.items()
            if any(types.types.get(a) != types.types.get(b) for a, b in pairs)
        }
        if not differ:
            types.raise_for_errors(f"graph {graph.name!r}")
            return result
        unlike |= differ


def _take(result: Graph, node: Node, made: list[str]) -> None:
    """Gives the values `made` the names of the outputs of `node`."""
    for outer, inner in zip(node.outputs, made, strict=False):
        if outer:
            result.nodes.append(Node("Identity", (inner,), (outer,)))


def _choose(result: Graph, node: Node, taken: set[str]) -> list[tuple[str, str]]:
    """Appends both branches and the choice; returns what is chosen between."""
    condition, scalar = unique(node.inputs[0], taken), unique(f"{node.name}.scalar", taken)
    result.constants[scalar] = np.zeros(0, np.int64)
    result.nodes.append(Node("Reshape", (node.inputs[0], scalar), (condition,)))
    pairs = list(zip(
        inline(result, node.attributes["then_branch"], taken),
        inline(result, node.attributes["else_branch"], taken),
        strict=True,
    ))  # fmt: skip
    for outer, pair in zip(node.outputs, pairs, strict=False):
        if outer:
            result.nodes.append(Node("Where", (condition, *pair), (outer,), source=node.source))
    return pairs


def _hang_on_floats(graph: Graph) -> set[str]:
    """Values that are computed from the elements of a float input, rather than from its shape."""
    found = {value.name for value in graph.inputs if value.dtype in DTYPE_SETS["any_float"]}
    for node in graph.nodes:
        if node.op not in ("Shape", "Size") and not found.isdisjoint(node.reads()):
            found.update(node.outputs)
    return found - {""}
