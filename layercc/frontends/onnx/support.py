"""The first look at a model: every op that layercc does not know, in one message."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

import onnx
from onnx import AttributeProto, NodeProto

from ir.diagnostics import InvalidModelError, UnsupportedError
from layercc.frontends.onnx.functions import FunctionTable, Key, function_key, is_known
from layercc.frontends.onnx.limits import MAX_NODES, MAX_SUBGRAPH_DEPTH
from layercc.frontends.onnx.reader import op_name, opset_versions, plain_domain


class Survey:
    """Walks all nodes of a model, those in subgraphs and in functions that are called included.

    `unknown` counts the ops without a definition; `names` are all value names in use.
    """

    def __init__(self, functions: FunctionTable, where: str) -> None:
        self.functions = functions
        self.where = where
        self.unknown: Counter[str] = Counter()
        self.names: set[str] = set()
        self.count = 0
        self._seen: set[Key] = set()

    def graph(self, graph: onnx.GraphProto, opsets: Mapping[str, int], depth: int = 0) -> None:
        if depth > MAX_SUBGRAPH_DEPTH:
            raise InvalidModelError(
                f"{self.where}: subgraphs are nested more than {MAX_SUBGRAPH_DEPTH} deep"
            )
        self.names.update(value.name for value in graph.input)
        self.names.update(tensor.name for tensor in graph.initializer)
        self.nodes(graph.node, opsets, depth)

    def nodes(self, nodes: Iterable[NodeProto], opsets: Mapping[str, int], depth: int) -> None:
        for node in nodes:
            self.count += 1
            if self.count > MAX_NODES:
                raise InvalidModelError(f"{self.where}: more than {MAX_NODES} nodes")
            self.names.update(node.output)
            for attribute in node.attribute:
                if attribute.HasField("g"):
                    self.graph(attribute.g, opsets, depth + 1)
                if attribute.type == AttributeProto.GRAPHS:
                    for graph in attribute.graphs:
                        self.graph(graph, opsets, depth + 1)
            self.op(node, opsets, depth)

    def op(self, node: NodeProto, opsets: Mapping[str, int], depth: int) -> None:
        function = self.functions.find(node)
        if function is None:
            if not is_known(node, opsets.get(plain_domain(node.domain), 1)):
                self.unknown[op_name(node)] += 1
            return
        key = function_key(node)
        if key not in self._seen:
            self._seen.add(key)
            self.nodes(
                function.node, opset_versions(function.opset_import, self.where, opsets), depth
            )


def unsupported_ops(where: str, unknown: Counter[str]) -> UnsupportedError:
    """The error that names every unknown op and how often it occurs."""
    listed = ", ".join(f"{op} ×{count}" for op, count in unknown.most_common())
    ops = "1 op" if len(unknown) == 1 else f"{len(unknown)} ops"
    return UnsupportedError(f"{where} uses {ops} layercc does not know: {listed}")
