"""Computes neighbouring pointwise ops in one loop, without tensors in between.

Matches connected groups of pointwise nodes with the same result shape (a single one is a group,
too, so that lowering sees one form); makes `layercc.Fused` nodes of kind "pointwise", which return
every value that is read outside. Sound because a group is convex: no path leads out of it and back
in, which is checked on the graph of groups before two are joined.
"""

from __future__ import annotations

import heapq

from ir.graph import Graph, Node
from layercc.passes.fusion import group, is_pointwise, plan_time_values
from layercc.passes.infrastructure import graph_pass

#: Nodes in a group: bounds compile time and registers.
MAX_GROUP = 32
#: Results of a group: each is a stream of memory writes.
MAX_OUTPUTS = 4
#: Values that a group reads: each is an address and its strides, held throughout the loops.
MAX_OPERANDS = 64


@graph_pass("optimize")
def fuse_pointwise(graph: Graph) -> Graph:
    """Fuse neighbouring pointwise ops of the same result shape."""
    known_early = plan_time_values(graph)
    candidates = {
        index
        for index, node in enumerate(graph.nodes)
        if is_pointwise(node) and node.outputs[0] not in known_early
    }
    if not candidates:
        return graph
    partition = _Partition(graph)
    for index in sorted(candidates):
        for name in graph.nodes[index].inputs:
            maker = partition.maker.get(name)
            if maker in candidates:
                partition.try_join(maker, index)
    fused = graph.copy()
    fused.nodes = []
    inner: set[str] = set()
    for members in partition.in_order():
        nodes = [graph.nodes[index] for index in members]
        if members[0] not in candidates:
            fused.nodes.extend(nodes)
            continue
        outputs = [node.outputs[0] for node in nodes if partition.is_read_outside(node, members)]
        fused.nodes.append(group(graph.types, "pointwise", nodes, outputs))
        inner.update(node.outputs[0] for node in nodes if node.outputs[0] not in outputs)
    fused.types = {name: kind for name, kind in graph.types.items() if name not in inner}
    return fused


class _Partition:
    """The nodes of a graph in groups, the groups forming an acyclic graph."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.outputs = set(graph.output_names)
        self.maker: dict[str, int] = {}
        self.readers: dict[str, list[int]] = {}
        for index, node in enumerate(graph.nodes):
            for name in node.reads():
                self.readers.setdefault(name, []).append(index)
            self.maker.update((name, index) for name in node.outputs if name)
        self.label = list(range(len(graph.nodes)))  # node → its group
        self.members = {index: [index] for index in self.label}
        self.after: dict[int, set[int]] = {
            index: {reader for name in node.outputs for reader in self.readers.get(name, ())}
            for index, node in enumerate(graph.nodes)
        }  # group → groups (by any member) that read from it

    def try_join(self, a: int, b: int) -> None:
        """Joins the groups of two nodes, the second reading from the first, where it is sound."""
        first, second = self.label[a], self.label[b]
        if first == second:
            return
        members = sorted(self.members[first] + self.members[second])
        if len(members) > MAX_GROUP or self.shape(a) != self.shape(b):
            return
        if self.count_operands(members) > MAX_OPERANDS:
            return
        read_outside = [
            index for index in members if self.is_read_outside(self.graph.nodes[index], members)
        ]
        if len(read_outside) > MAX_OUTPUTS or self.detour(first, second):
            return
        for index in self.members.pop(second):
            self.label[index] = first
        self.members[first] = members
        self.after[first] |= self.after.pop(second)

    def shape(self, index: int) -> tuple:
        return self.graph.types[self.graph.nodes[index].outputs[0]].shape

    def count_operands(self, members: list[int]) -> int:
        """How many values the nodes read from outside; an upper bound, where that is small."""
        nodes = [self.graph.nodes[index] for index in members]
        most = sum(len(node.inputs) for node in nodes)
        if most <= MAX_OPERANDS:
            return most
        made = {node.outputs[0] for node in nodes}
        return len({name for node in nodes for name in node.inputs if name} - made)

    def is_read_outside(self, node: Node, members: list[int]) -> bool:
        (name,) = node.outputs
        return name in self.outputs or any(
            reader not in members for reader in self.readers.get(name, ())
        )

    def detour(self, first: int, second: int) -> bool:
        """Whether a path leads from one group to the other through a third, either way."""
        return self.reaches(first, second) or self.reaches(second, first)

    def reaches(self, start: int, goal: int) -> bool:
        """Whether a path of more than one step leads from a group to another."""
        limit = self.members[goal][-1]
        waiting = [
            label
            for label in map(self.label.__getitem__, self.after[start])
            if label not in (start, goal)
        ]
        seen = set(waiting)
        while waiting:
            here = waiting.pop()
            for label in map(self.label.__getitem__, self.after[here]):
                if label == goal:
                    return True
                if label not in seen and label != start and self.members[label][0] <= limit:
                    seen.add(label)
                    waiting.append(label)
        return False

    def in_order(self) -> list[list[int]]:
        """The groups in topological order, close to the order that the nodes had."""
        waiting_for = dict.fromkeys(self.members, 0)
        targets = {
            label: {self.label[reader] for reader in self.after[label]} - {label}
            for label in self.members
        }
        for labels in targets.values():
            for label in labels:
                waiting_for[label] += 1
        ready = [
            (self.members[label][-1], label) for label, count in waiting_for.items() if not count
        ]
        heapq.heapify(ready)
        ordered = []
        while ready:
            _, label = heapq.heappop(ready)
            ordered.append(self.members[label])
            for target in targets[label]:
                waiting_for[target] -= 1
                if not waiting_for[target]:
                    heapq.heappush(ready, (self.members[target][-1], target))
        return ordered
