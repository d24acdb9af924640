"""A graph as JSON data for the page: nodes and values by number, modules as a tree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ir.graph import Graph, Node
from ir.inference import Inference
from ir.totals import LayerRow, layers, total
from layercc.tools.report import describing
from layercc.tools.report.describing import quantity
from layercc.tools.report.modules import Module, modules, path_of

#: Subgraphs deeper than this are not shown.
DEEPEST = 8

#: Elements of constants that statistics are taken of, all together: some seconds.
MOST_ELEMENTS = 1 << 29


class Constants:
    """What the page says of arrays, which graphs may share. Of weights beyond some gigabytes, not
    all of which may be in memory, statistics are left out."""

    def __init__(self, most: int = MOST_ELEMENTS) -> None:
        self._known: dict[int, tuple[np.ndarray, dict[str, Any]]] = {}
        self._left = most

    def of(self, array: np.ndarray) -> dict[str, Any]:
        if id(array) not in self._known:
            counted = array.size <= self._left
            self._left -= array.size if counted else 0
            self._known[id(array)] = array, describing.constant(array, counted)
        return self._known[id(array)][1]


@dataclass
class GraphData:
    """What the page shows of a graph; `to_dict` makes JSON data of it.

    - `inputs`, `outputs`: numbers of values
    - `values`: `name`, `type`, `maker` (a node, or -1), `readers` (nodes), `constant` (or null)
    - `nodes`: `name`, `op`, `title`, `kind`, `brief`, `shape`, `attributes`, `inputs` and `outputs`
      (values; -1 is an absent one), `around` (the node whose subgraph it is in, or -1), `source`;
      and, but for nodes in subgraphs, `parameters`, `work` and `activations` (`quantity`)
    - `tree`: a module, `{"name", "run", "items", "parameters", "work", "activations"}`; an item is
      a module, the number of a node, or `{"node", "items"}` for one that has subgraphs

    `numbers`: the number of each node, by its identity.
    """

    graph: Graph
    nodes: list[dict[str, Any]] = field(default_factory=list)
    values: list[dict[str, Any]] = field(default_factory=list)
    inputs: list[int] = field(default_factory=list)
    outputs: list[int] = field(default_factory=list)
    tree: dict[str, Any] = field(default_factory=dict)
    numbers: dict[int, int] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        shown = ("nodes", "values", "inputs", "outputs", "tree")
        return {"name": self.graph.name, **{name: getattr(self, name) for name in shown}}


def graph_data(graph: Graph, inference: Inference, constants: Constants) -> GraphData:
    """The data of a graph of which `inference` knows what can be known; it may have errors."""
    data = GraphData(graph)
    rows = layers(graph, inference)
    names: dict[str, int] = {}
    builder = _Builder(data, constants)
    data.tree = {"name": "", "run": False, "items": builder.add(graph, inference, names, -1, 0)}
    for node, row in zip(graph.nodes, rows, strict=True):
        data.nodes[data.numbers[id(node)]] |= _costs([row])
    by_number = {data.numbers[id(n)]: row for n, row in zip(graph.nodes, rows, strict=True)}
    _add_sums(data.tree, by_number)
    data.inputs = [names[name] for name in graph.input_names]
    data.outputs = [names[name] for name in graph.output_names if name in names]
    return data


@dataclass
class _Builder:
    """Adds a graph and its subgraphs to the data."""

    data: GraphData
    constants: Constants

    def add(
        self, graph: Graph, inference: Inference, names: dict[str, int], around: int, depth: int
    ) -> list[Any]:
        """The graph's items for the tree. `names`: values that it can read; its own are added."""
        for name in [*graph.input_names, *graph.constants]:
            names.setdefault(name, -1)
            if names[name] < 0:
                names[name] = self._value(name, graph, inference)
        numbers, opened = [], {}
        for node in graph.nodes:
            number = self._node(node, graph, inference, names, around)
            numbers.append(number)
            if depth < DEEPEST:
                items = self._subgraphs(node, number, inference, names, depth + 1)
                if items:
                    opened[number] = items
        if around >= 0 and self.data.nodes[around]["op"] == "layercc.Fused":
            return [*numbers]
        return _items(_modules_of(graph), numbers, opened)

    def _value(self, name: str, graph: Graph, inference: Inference) -> int:
        kind, array = inference.types.get(name), graph.constants.get(name)
        kind = kind or graph.types.get(name)
        entry: dict[str, Any] = {"name": name, "type": None if kind is None else str(kind)}
        entry |= {"maker": -1, "readers": [], "constant": None}
        if array is not None:
            entry["constant"] = self.constants.of(array)
        self.data.values.append(entry)
        return len(self.data.values) - 1

    def _node(
        self, node: Node, graph: Graph, inference: Inference, names: dict[str, int], around: int
    ) -> int:
        number = len(self.data.nodes)
        self.data.numbers[id(node)] = number
        for name in node.outputs:
            if name and names.get(name, -1) < 0:
                names[name] = self._value(name, graph, inference)
        outputs = [names[name] if name else -1 for name in node.outputs]
        inputs = [names.get(name, -1) if name else -1 for name in node.inputs]
        for value in outputs:
            if value >= 0:
                self.data.values[value]["maker"] = number
        if node.op != "layercc.Fused":  # the nodes in it read
            for value in dict.fromkeys(inputs):
                if value >= 0:
                    self.data.values[value]["readers"].append(number)
        first = self.data.values[outputs[0]]["type"] if outputs and outputs[0] >= 0 else None
        self.data.nodes.append(
            {
                "name": node.name,
                "op": node.op,
                "title": describing.title_of(node),
                "kind": describing.kind_of(node),
                "brief": describing.brief(node),
                "shape": first,
                "attributes": describing.attributes(node),
                "inputs": inputs,
                "outputs": outputs,
                "around": around,
                "source": str(node.source) if node.source else "",
            }
        )
        return number

    def _subgraphs(
        self, node: Node, number: int, inference: Inference, names: dict[str, int], depth: int
    ) -> list[Any]:
        bodies = list(node.subgraphs())
        known = inference.bodies.get(node, [])
        if len(known) != len(bodies):
            known = [Inference(types=body.types) for body in bodies]
        found: list[dict[str, Any]] = []
        items: list[Any] = []
        for body, types in zip(bodies, known, strict=True):
            if node.op == "layercc.Fused":
                inner = _passed(body.input_names, node.inputs, names)
                for name, value in _passed(body.output_names, node.outputs, names).items():
                    inner.setdefault(name, value)
            else:
                inner = {name: names[name] for name in body.free_names() if name in names}
            items = self.add(body, types, inner, number, depth)
            found.append({"name": body.name, "run": False, "items": items})
        if len(found) == 1:
            return items
        return [each for each in found if each["items"]]


def _passed(inner: Sequence[str], outer: Sequence[str], names: Mapping[str, int]) -> dict[str, int]:
    """Values of a subgraph that are values around it."""
    pairs = zip(inner, outer, strict=False)
    return {name: names[other] for name, other in pairs if other in names}


def _modules_of(graph: Graph) -> Module:
    makers = {name: i for i, node in enumerate(graph.nodes) for name in node.outputs if name}
    edges: list[tuple[int, int]] = []
    constant: list[bool] = []
    given = set(graph.input_names)
    for position, node in enumerate(graph.nodes):
        read = [makers.get(name, -1) for name in node.reads() if name not in graph.constants]
        edges += [(maker, position) for maker in read if maker >= 0]
        constant.append(
            all(0 <= maker < position and constant[maker] for maker in read)
            and given.isdisjoint(node.reads())
        )
    starts = [describing.kind_of(node) == "contraction" for node in graph.nodes]
    layers_told = [node.source.layer if node.source else "" for node in graph.nodes]
    paths = [path_of(n.name, told) for n, told in zip(graph.nodes, layers_told, strict=True)]
    return modules(paths, edges, starts, constant)


def _items(module: Module, numbers: list[int], opened: dict[int, list[Any]]) -> list[Any]:
    """The items of a module, positions in the graph replaced by numbers of nodes."""
    items: list[Any] = []
    for item in module.items:
        if isinstance(item, Module):
            inner = _items(item, numbers, opened)
            items.append({"name": item.name, "run": item.run, "items": inner})
        elif numbers[item] in opened:
            items.append({"node": numbers[item], "items": opened[numbers[item]]})
        else:
            items.append(numbers[item])
    return items


def _costs(rows: Sequence[LayerRow]) -> dict[str, Any]:
    return {
        "parameters": quantity(sum(row.parameters for row in rows)),
        "work": quantity(total(row.flops for row in rows), "FLOP"),
        "activations": quantity(total(row.activation_bytes for row in rows), "B"),
    }


def _add_sums(module: dict[str, Any], rows: Mapping[int, LayerRow]) -> list[LayerRow]:
    """Adds the sums of what is in them to modules; the rows of what is in this one."""
    own = []
    for item in module["items"]:
        if isinstance(item, dict) and "node" not in item:
            own += _add_sums(item, rows)
        else:
            number = item["node"] if isinstance(item, dict) else item
            own += [rows[number]] if number in rows else []
    if "name" in module:
        module |= _costs(own)
    return own
