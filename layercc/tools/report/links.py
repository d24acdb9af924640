"""What became of the nodes of a graph in the graph that passes made of it."""

from __future__ import annotations

from collections.abc import Iterator

from ir.graph import Graph, Node

#: A node that went into more nodes than this (a shape that half of a model reads) names the first.
MOST = 16


def became(before: Graph, after: Graph) -> list[list[Node]]:
    """For each node of `before`, the nodes of `after` that compute what it computed.

    Nodes within fused groups count as nodes. Names tell: passes keep those of values, and most of
    nodes. A node whose value is gone was absorbed by the nodes that make the next values behind it;
    where none is left (what was a constant in the end, what nobody read), the list is empty.
    """
    nodes = list(_all_nodes(after))
    makers = {name: node for node in reversed(nodes) for name in node.outputs if name}
    named: dict[str, list[Node]] = {}
    for node in nodes:
        named.setdefault(node.name, []).append(node)
    readers = before.consumers()
    found: dict[int, list[Node]] = {}
    for node in reversed(before.nodes):  # what reads a node comes first
        direct = [makers[name] for name in node.outputs if name in makers]
        found[id(node)] = _distinct(direct or named.get(node.name, ())) or _distinct(
            later
            for name in node.outputs
            for reader in readers.get(name, ())
            for later in found.get(id(reader), ())
        )
    return [found[id(node)] for node in before.nodes]


def _all_nodes(graph: Graph) -> Iterator[Node]:
    """The nodes, those within fused groups before the group, which they stand for."""
    for node in graph.nodes:
        if node.op == "layercc.Fused":
            for body in node.subgraphs():
                yield from _all_nodes(body)
        yield node


def _distinct(nodes: object) -> list[Node]:
    return list({id(node): node for node in nodes}.values())[:MOST]  # type: ignore[attr-defined]
