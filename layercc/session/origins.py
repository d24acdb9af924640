"""Which nodes of a graph the nodes that passes have made of it compute.

Passes keep the names of values: what a node makes is, under the same name, what some node of the
graph before made. So what a node stands for lies between the values that it reads and those that it
makes. Nodes whose values are new have names made of an old one, with something behind a dot.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from ir.graph import Graph, Node
from ir.registry import find_op
from layercc.recording import CallInfo

#: What these give depends on the shape of their input, not on its elements.
_SHAPES = ("Shape", "Size")


@dataclass(frozen=True)
class Origin:
    """Nodes of a graph by name, the most important one first, and the op that computes them; of a
    fused group, the op of the first."""

    op: str
    nodes: tuple[str, ...]


class Origins:
    """Looks nodes up in the graph that they were made of."""

    def __init__(self, graph: Graph) -> None:
        self._makers: dict[str, Node] = {}
        self._names: dict[str, Node] = {}
        for node in _all_nodes(graph):
            self._names.setdefault(node.name, node)
            for name in filter(None, node.outputs):
                self._makers.setdefault(name, node)

    def of(self, graph: Graph) -> dict[str, Origin]:
        """For each node of a graph made of this one, by name, what it computes."""
        made = {*graph.input_names, *(name for n in graph.nodes for name in n.outputs if name)}
        known = made.union(map(self._value, made))
        return {node.name: self._of_node(node, made, known) for node in graph.nodes}

    def _of_node(self, node: Node, made: set[str], known: set[str]) -> Origin:
        found = self._between(node, made, known)
        if not found:
            return Origin(node.own_op, ())
        first = next((n for n in found if _is_contraction(n)), found[-1])
        others = (n.name for n in found if n is not first)
        op = first.op if node.op == "layercc.Fused" else node.op
        return Origin(op, tuple(dict.fromkeys((first.name, *others))))

    def _between(self, node: Node, made: set[str], known: set[str]) -> list[Node]:
        """The nodes from what `node` reads to those that make its outputs, in order.

        What nodes have `made`, `known` under the names of this graph, is not looked behind. Nodes
        that depend on nothing that is read, or on its shape alone, were computed when the graph was
        compiled: they do not count, unless all are such.
        """
        own = {self._value(name) for name in node.outputs if name}
        given = {self._value(name) for name in node.reads() if name in made}  # no constants
        ends = [self._makers[name] for name in sorted(own) if name in self._makers]
        if not ends and (named := self._named_like(node.name)):
            ends = [named]
        if own & given:  # the same value, laid out in another way
            return ends
        order: dict[int, Node] = {}
        depends: dict[int, bool] = {}
        stack = [(end, iter(end.reads())) for end in reversed(ends)]
        entered = {id(end) for end in ends}
        while stack:
            current, reads = stack[-1]
            for name in reads:
                maker = self._makers.get(name)
                if maker is None or id(maker) in entered:
                    continue
                if name not in known or name in own:
                    entered.add(id(maker))
                    stack.append((maker, iter(maker.reads())))
                    break
            else:
                stack.pop()
                order[id(current)] = current
                depends[id(current)] = current.op not in _SHAPES and any(
                    name in given or depends.get(id(self._makers.get(name)), False)
                    for name in current.reads()
                )
        found = [n for key, n in order.items() if depends[key]]
        return found or list(order.values())

    def _value(self, name: str) -> str:
        """The value of this graph that has this name, or that it was made of; else the name."""
        return next((part for part in _beginnings(name) if part in self._makers), name)

    def _named_like(self, name: str) -> Node | None:
        return next((self._names[part] for part in _beginnings(name) if part in self._names), None)


def _beginnings(name: str) -> Iterator[str]:
    """A name, then without what stands behind its last dot, and so on."""
    while name:
        yield name
        name = name.rpartition(".")[0]


def _all_nodes(graph: Graph) -> Iterator[Node]:
    """Those of a graph, then those of its subgraphs."""
    yield from graph.nodes
    for node in graph.nodes:
        for body in node.subgraphs():
            yield from _all_nodes(body)


def _is_contraction(node: Node) -> bool:
    op = find_op(node.op)
    return op is not None and op.contraction


def with_sources(call: CallInfo, origins: Mapping[str, Origin]) -> CallInfo:
    """A call of a plan, the nodes of which have these origins, with the nodes that it computes.

    A call of a section has sources already, which are nodes of the plan.
    """
    nodes = call.sources or (call.node,)
    found = [origins.get(name, Origin(call.op, (name,))) for name in nodes]
    sources = tuple(dict.fromkeys(name for origin in found for name in origin.nodes))
    return replace(call, op=found[0].op, sources=sources if call.node else ())
