"""The first look at a model: every op that layercc does not know, in one message."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import onnx
from onnx import NodeProto

from ir.diagnostics import InvalidModelError
from layercc.frontends.onnx.attributes import find_schema, first_version
from layercc.frontends.onnx.functions import FunctionTable, Key, enter_call, function_key, is_known
from layercc.frontends.onnx.limits import MAX_NODES, MAX_SUBGRAPH_DEPTH
from layercc.frontends.onnx.origin import module_of
from layercc.frontends.onnx.reader import op_name, opset_versions, plain_domain
from layercc.frontends.onnx.sequences import is_followed
from layercc.frontends.onnx.unknown import Unknown


class Survey:
    """Walks all nodes of a model, those in subgraphs and in functions that are called included.

    `unknown` has the ops without a definition; `names` are all value names in use. Raises
    InvalidModelError for models that would be too large or too deep once functions are inlined, for
    ops newer than the opset that is imported (onnxruntime refuses these too: "No Op registered"),
    for functions that call themselves, and for names that are no text.
    """

    def __init__(self, functions: FunctionTable, where: str) -> None:
        self.functions = functions
        self.where = where
        self.unknown = Unknown()
        self.names: set[str] = set()
        self._sizes: dict[Key, int] = {}  # nodes of a function, functions that it calls inlined

    def model(self, graph: onnx.GraphProto, opsets: Mapping[str, int]) -> None:
        self._check_size(self._graph(graph, _Place(opsets)))

    def _check_size(self, count: int) -> int:
        if count > MAX_NODES:
            raise InvalidModelError(f"{self.where}: more than {MAX_NODES} nodes, functions inlined")
        return count

    def _graph(self, graph: onnx.GraphProto, place: _Place) -> int:
        if place.depth > MAX_SUBGRAPH_DEPTH:
            raise InvalidModelError(
                f"{self.where}: subgraphs are nested more than {MAX_SUBGRAPH_DEPTH} deep"
            )
        names = [value.name for value in graph.input]
        names += [tensor.name for tensor in graph.initializer]
        self._check_text([graph.name, *names, *(value.name for value in graph.output)])
        self.names.update(names)
        return self._nodes(graph.node, place)

    def _nodes(self, nodes: Iterable[NodeProto], place: _Place) -> int:
        """Number of nodes, with those in subgraphs and in functions that are called."""
        count = 0
        for node in nodes:
            self._check_text([node.op_type, node.domain, node.name, *node.input, *node.output])
            self.names.update(node.output)
            for attribute in node.attribute:
                self._check_text([attribute.name, attribute.ref_attr_name])
                if attribute.HasField("g") or attribute.graphs:
                    inner = replace(place, depth=place.depth + 1)
                    bodies = [attribute.g, *attribute.graphs]
                    count += sum(self._graph(body, inner) for body in bodies)
            count = self._check_size(count + self._op(node, place))
        return count

    def _op(self, node: NodeProto, place: _Place) -> int:
        function = self.functions.find(node)
        if function is None:
            self._check_opset(node, place)
            known = is_known(node, place.opsets.get(plain_domain(node.domain), 1))
            if not known and not is_followed(op_name(node)):
                self.unknown.note(op_name(node), _place_of(node, place))
            return 1
        key = function_key(node)
        calls = enter_call(place.calls, key)
        if key not in self._sizes:
            self._check_text([function.name, function.domain, *function.input, *function.output])
            opsets = opset_versions(function.opset_import, self.where, place.opsets)
            self._sizes[key] = self._nodes(function.node, _Place(opsets, place.depth, calls))
        return self._sizes[key] + 1

    def _check_opset(self, node: NodeProto, place: _Place) -> None:
        """Raises InvalidModelError for an op that came into ONNX after the opset of its model."""
        domain = plain_domain(node.domain)
        version = place.opsets.get(domain)
        if version is None or find_schema(node.op_type, version, domain) is not None:
            return
        since = first_version(node.op_type, domain)
        if since is not None and since > version:
            raise InvalidModelError(
                f"{self.where}: {op_name(node)} {node.name or next(iter(node.output), '')!r}: "
                f"the op exists since opset {since}; opset {version} is imported"
            )

    def _check_text(self, names: Iterable[object]) -> None:
        """Bytes that are no UTF-8 come out of protocol buffers as bytes."""
        for name in names:
            if type(name) is not str:
                raise InvalidModelError(f"{self.where}: the name {name!r} is not valid UTF-8")


@dataclass(frozen=True)
class _Place:
    """Where in the model the survey is."""

    opsets: Mapping[str, int]
    depth: int = 0
    calls: tuple[Key, ...] = ()


def _place_of(node: NodeProto, place: _Place) -> str:
    """A node for a reader: its module, where the file says so, and its name, below the functions
    that it is in."""
    own = node.name or next(filter(None, node.output), "")
    functions = [name for _, name, _ in place.calls]
    module = module_of(node)
    return "/".join([*functions, own]) + (f" of module {module}" if module else "")
