"""The text form of a graph: one node a line. `ir.parser` reads it back.

    graph lenet(x: f32[N, 1, 28, 28]) -> (probs: f32[N, 10]) {
      const conv1.w: f32[6, 1, 5, 5] = @weights("conv1.w")
      const axes: i64[1] = [1]
      conv1: f32[N, 6, 28, 28] = Conv(x, conv1.w, conv1.b) {pads=[2, 2, 2, 2]}
      a: f32[N, 4], _ = Split(b, _, "odd name") {axis=1} @"node name"  # model.py:12
      y: f32[N, 4] = layercc.Fused(a, b) {kind="pointwise"} body (p: f32[N, 4], ...) -> (...) {
        ...
      }
    }

An absent input or output is `_`. A node's name is printed (after `@`) where it is not that of its
first output. An input that may be left out has its default behind it: `w: f32[2] = f32[2]([1, 2])`.
Constants of more than `INLINE_LIMIT` elements are references to weights stored
beside the text (`ir.storage`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import numpy as np

from ir.arguments import expect
from ir.diagnostics import InvalidModelError
from ir.dtypes import DType, dtype_of
from ir.graph import Graph, Node, Value
from ir.literals import format_array
from ir.types import TensorType, format_shape

INLINE_LIMIT = 16
KEYWORDS = frozenset({"_", "const", "graph", "true", "false", "nan", "inf"})
RESERVED_KEYS = frozenset({"", "__metadata__"})  # no names of tensors in safetensors
PLAIN_NAME = re.compile(r"[A-Za-z_/][A-Za-z0-9_./]*")


def print_graph(graph: Graph, *, sources: bool = False) -> str:
    """The text of `graph`; with `sources`, where each node came from is added as a comment."""
    expect(isinstance(graph, Graph), "graph", graph, "a Graph")
    return _Printer(sources).whole(graph)


#: Here, not in `ir.graph`: the text form stands above the graph in the order of imports.
Graph.__str__ = print_graph  # type: ignore[assignment]


def print_with_weights(graph: Graph) -> tuple[str, dict[str, np.ndarray]]:
    """The text of `graph`, and the arrays that it refers to as `@weights(key)`, by key."""
    printer = _Printer(sources=False)
    text = printer.whole(graph)
    return text, printer.weights


def print_node(node: Node, types: dict[str, TensorType] | None = None) -> str:
    """One node as in the text form; its subgraphs are indented below it."""
    return "\n".join(_Printer(sources=False).node(node, types or {}, ""))


def quote_name(name: str) -> str:
    """`name` as it stands where it is plain, else in JSON quotes."""
    if PLAIN_NAME.fullmatch(name) and name not in KEYWORDS:
        return name
    return quote(name)


def quote(text: str) -> str:
    return json.dumps(text, ensure_ascii=not text.isprintable())


class _Printer:
    def __init__(self, sources: bool) -> None:
        self.sources = sources
        self.weights: dict[str, np.ndarray] = {}

    def whole(self, graph: Graph) -> str:
        lines = self.graph(graph, f"graph {quote_name(graph.name)}", "")
        return "\n".join(lines) + "\n"

    def graph(self, graph: Graph, title: str, indent: str) -> Iterator[str]:
        inputs = ", ".join(self.value(v) + self.default(v, graph) for v in graph.inputs)
        outputs = ", ".join(map(self.value, graph.outputs))
        yield f"{title}({inputs}) -> ({outputs}) {{"
        inner = indent + "  "
        for name, array in graph.constants.items():
            kind = f"{dtype_of(array)}{format_shape(array.shape)}"
            yield f"{inner}const {quote_name(name)}: {kind} = {self.array(array, name)}"
        for node in graph.nodes:
            yield from self.node(node, graph.types, inner)
        yield f"{indent}}}"

    def value(self, value: Value) -> str:
        return f"{quote_name(value.name)}: {value.type}"

    def default(self, value: Value, graph: Graph) -> str:
        array = graph.defaults.get(value.name)
        return "" if array is None else f" = {self.typed_array(array, value.name)}"

    def node(self, node: Node, types: dict[str, TensorType], indent: str) -> Iterator[str]:
        outputs = []
        for name in node.outputs or ("",):
            known = f": {types[name]}" if name in types else ""
            outputs.append(f"{quote_name(name)}{known}" if name else "_")
        inputs = ", ".join(quote_name(name) if name else "_" for name in node.inputs)
        line = f"{indent}{', '.join(outputs)} = {quote_name(node.op)}({inputs})"
        plain = {k: v for k, v in node.attributes.items() if not isinstance(v, Graph)}
        if plain:
            items = (f"{quote_name(k)}={self.attribute(v, node, k)}" for k, v in plain.items())
            line += " {" + ", ".join(items) + "}"
        if node.name != next(filter(None, node.outputs), node.op):
            line += f" @{quote(node.name)}"
        for key, body in node.attributes.items():
            if isinstance(body, Graph):
                name = "" if body.name == key else quote_name(body.name) + " "
                *above, line = self.graph(body, f"{line} {quote_name(key)} {name}", indent)
                yield from above
        comment = " ".join(str(node.source).split()) if self.sources and node.source else ""
        yield f"{line}  # {comment}" if comment else line

    def attribute(self, value: Any, node: Node, key: str) -> str:
        if isinstance(value, (bool, np.bool_)):
            return "true" if value else "false"
        if isinstance(value, DType):
            return str(value)
        if isinstance(value, (int, np.integer)):
            return str(int(value))
        if isinstance(value, (float, np.floating)):
            return repr(float(value))
        if isinstance(value, str):
            return quote(value)
        if isinstance(value, np.ndarray):
            return self.typed_array(value, f"{node.name}.{key}")
        if isinstance(value, (tuple, list)):
            return "[" + ", ".join(self.attribute(item, node, key) for item in value) + "]"
        raise InvalidModelError(f"{node}: attribute {key!r} has no text form: {value!r}")

    def typed_array(self, array: np.ndarray, hint: str) -> str:
        return f"{dtype_of(array)}{format_shape(array.shape)}({self.array(array, hint)})"

    def array(self, array: np.ndarray, hint: str) -> str:
        if array.size <= INLINE_LIMIT:
            return format_array(array)
        key, count = hint, 1
        while key in self.weights or key in RESERVED_KEYS:  # subgraphs may use a name again
            key, count = f"{hint}#{count}", count + 1
        self.weights[key] = array
        return f"@weights({quote(key)})"
