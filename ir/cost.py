"""Work of a graph: floating-point operations and bytes, symbolic where shapes are."""

from __future__ import annotations

from ir.graph import Graph
from ir.inference import Inference, call_for
from ir.registry import Cost


def node_costs(graph: Graph, inference: Inference) -> dict[str, Cost]:
    """Node name → cost, for each node that inference could type."""
    costs = {}
    for node in graph.nodes:
        names = [name for name in (*node.inputs, *node.outputs) if name]
        if all(name in inference.types for name in names):
            call = call_for(node, inference.types, inference.values)
            costs[node.name] = call.op.cost(call)
    return costs


def graph_cost(graph: Graph, inference: Inference) -> Cost:
    """Sum over all nodes. Bytes count every tensor as moved once for each node that touches it."""
    total = Cost(0, 0)
    for cost in node_costs(graph, inference).values():
        total = Cost(total.flops + cost.flops, total.bytes + cost.bytes)
    return total
