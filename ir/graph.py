"""The graph: nodes in topological order, connected by value names.

A value is known by its name: a graph input, a constant, or the output of one node.
Nodes are immutable, so that copying a graph copies lists and no node.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ir.diagnostics import InvalidModelError, Source
from ir.dims import Dim
from ir.dtypes import DType
from ir.types import TensorType

if TYPE_CHECKING:
    import networkx as nx

#: int, float, str, tuples of those, an array, a `Graph` (bodies of control flow and fused groups).
Attribute = Any


@dataclass(frozen=True, slots=True)
class Value:
    """A graph input or output: its name and type."""

    name: str
    type: TensorType

    @property
    def dtype(self) -> DType:
        return self.type.dtype

    @property
    def shape(self) -> tuple[Dim, ...]:
        return self.type.shape

    def __str__(self) -> str:
        return f"{self.name}: {self.type}"


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """One application of an op. An absent optional input or output is the empty name.

    `op` is the ONNX op name; other domains are written in front (`com.microsoft.Gelu`). A graph in
    an attribute is not changed any more.
    """

    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    name: str = ""
    source: Source | None = None
    #: What `reads` gives, once it has been asked: subgraphs are searched once, however deep they
    #: lie inside others.
    _reads: tuple[str, ...] | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        if not self.name:
            object.__setattr__(self, "name", next(filter(None, self.outputs), self.op))

    def with_inputs(self, inputs: Iterable[str]) -> Node:
        return replace(self, inputs=tuple(inputs))

    def subgraphs(self) -> Iterator[Graph]:
        """Graphs held in attributes, in attribute order."""
        return (value for value in self.attributes.values() if isinstance(value, Graph))

    def reads(self) -> tuple[str, ...]:
        """Names of all values read: the inputs present, and what subgraphs read from outside."""
        if self._reads is None:
            names = [name for name in self.inputs if name]
            for graph in self.subgraphs():
                names.extend(graph.free_names())
            object.__setattr__(self, "_reads", tuple(names))
        return self._reads  # type: ignore[return-value]

    def __str__(self) -> str:
        return f"{self.own_op} {self.name!r}"

    @property
    def own_op(self) -> str:
        """The op as the model has it: of a fused group, that of the node it is named after."""
        last = next((g.nodes[-1] for g in self.subgraphs() if self.op == "layercc.Fused"), self)
        return last.op


@dataclass(eq=False)
class Graph:
    """A model: typed inputs and outputs, constants by name, nodes in topological order.

    `types` holds what inference found for every value, input and constant included. `defaults` are
    arrays for inputs that may be left out, which stand behind all others (`ir.defaults`); only the
    outermost graph has any. `str(graph)` is the text form (`ir.text`).
    """

    name: str = "graph"
    inputs: list[Value] = field(default_factory=list)
    outputs: list[Value] = field(default_factory=list)
    nodes: list[Node] = field(default_factory=list)
    constants: dict[str, np.ndarray] = field(default_factory=dict)
    types: dict[str, TensorType] = field(default_factory=dict)
    defaults: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def input_names(self) -> list[str]:
        return [value.name for value in self.inputs]

    @property
    def output_names(self) -> list[str]:
        return [value.name for value in self.outputs]

    def copy(self) -> Graph:
        """A graph that can be changed without changing this one; arrays and nodes are shared."""
        return Graph(
            self.name,
            list(self.inputs),
            list(self.outputs),
            list(self.nodes),
            dict(self.constants),
            dict(self.types),
            dict(self.defaults),
        )

    def producers(self) -> dict[str, Node]:
        """Value name → the node that makes it."""
        return {name: node for node in self.nodes for name in node.outputs if name}

    def consumers(self) -> dict[str, list[Node]]:
        """Value name → the nodes that read it, once each, in order. Graph outputs do not count."""
        found: dict[str, list[Node]] = defaultdict(list)
        for node in self.nodes:
            for name in dict.fromkeys(node.reads()):
                found[name].append(node)
        return found

    def free_names(self) -> list[str]:
        """Names read but not defined here: what a subgraph takes from the graph around it."""
        defined = {*self.input_names, *self.constants}
        defined.update(name for node in self.nodes for name in node.outputs)
        wanted = [name for node in self.nodes for name in node.reads()] + self.output_names
        return [name for name in dict.fromkeys(wanted) if name not in defined]

    def value_names(self) -> set[str]:
        """Every name in use, here and in subgraphs."""
        names = {*self.input_names, *self.output_names, *self.constants}
        for node in self.nodes:
            names.update(node.inputs, node.outputs)
            for graph in node.subgraphs():
                names |= graph.value_names()
        return names - {""}

    def as_networkx(self) -> nx.DiGraph:
        """Nodes of the graph (by position in `nodes`), with an edge for each value that flows."""
        import networkx as nx  # takes longer to import than all of ir

        made_by = {name: i for i, node in enumerate(self.nodes) for name in node.outputs if name}
        flow = nx.DiGraph()
        flow.add_nodes_from(range(len(self.nodes)))
        flow.add_edges_from(
            (made_by[name], i)
            for i, node in enumerate(self.nodes)
            for name in node.reads()
            if name in made_by
        )
        return flow

    def sort(self) -> None:
        """Puts the nodes into topological order, keeping their order where it is free.

        Raises InvalidModelError that names the nodes of a cycle if there is one.
        """
        import networkx as nx

        flow = self.as_networkx()
        try:
            order = list(nx.lexicographical_topological_sort(flow))
        except nx.NetworkXUnfeasible:
            ring = [self.nodes[a] for a, *_ in nx.find_cycle(flow)]
            path = " -> ".join(str(node) for node in [*ring, ring[0]])
            raise InvalidModelError(f"the graph has a cycle: {path}") from None
        self.nodes = [self.nodes[i] for i in order]
