"""Replaces an If whose condition is known by the branch that it takes.

Sound because a branch reads only its own values and those of the graph around it, which are defined
before the If; its own values get names that nothing else has.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ir.graph import Graph, Node
from ir.inference import infer_types
from ir.inlining import inline
from ir.naming import Names
from layercc.passes.fold_constants import known_values
from layercc.passes.infrastructure import graph_pass


@graph_pass("simplify")
def inline_branches(graph: Graph) -> Graph:
    """Takes the known branch of an If."""
    if not any(node.op == "If" for node in graph.nodes):
        return graph
    values = {**graph.constants, **known_values(graph)}
    while True:  # a branch may hold another If
        result = _inlined(graph, values)
        if result is graph:
            return graph
        found = infer_types(result)
        found.raise_for_errors(f"graph {graph.name!r}")
        graph, values = result, found.values


def _inlined(graph: Graph, values: Mapping[str, np.ndarray]) -> Graph:
    """The graph with Ifs on known `values` replaced; itself if there are none."""
    result = graph.copy()
    result.nodes = []
    names = Names(graph.value_names())
    for node in graph.nodes:
        condition = values.get(node.inputs[0]) if node.op == "If" else None
        if condition is None or condition.dtype == object:
            result.nodes.append(node)
            continue
        branch = node.attributes["then_branch" if condition.reshape(-1)[0] else "else_branch"]
        made = inline(result, branch, names.fresh, {})
        for outer, inner in zip(node.outputs, branch.output_names, strict=False):
            if outer:
                result.nodes.append(Node("Identity", (made.get(inner, inner),), (outer,)))
    return graph if result.nodes == graph.nodes else result
