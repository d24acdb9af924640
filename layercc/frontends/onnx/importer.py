"""`from_onnx`: an ONNX model → `ir.Graph` in the ops of the newest opset."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
from onnx import FunctionProto, GraphProto, ModelProto, NodeProto

import ir.ops  # noqa: F401  # fills the registry
from ir.arguments import expect
from ir.diagnostics import InvalidModelError, UnsupportedError
from ir.graph import Graph, Node
from ir.naming import Names
from ir.registry import find_op
from ir.verifier import verify
from layercc.frontends.onnx.attributes import read_attributes
from layercc.frontends.onnx.bodies import body_input_types
from layercc.frontends.onnx.external import ExternalData
from layercc.frontends.onnx.functions import (
    FunctionTable,
    bound_attributes,
    enter_call,
    function_key,
    resolve_references,
    schema_function,
    typed_schema_function,
)
from layercc.frontends.onnx.limits import MAX_NODES, MAX_SEQUENCE_ITEMS
from layercc.frontends.onnx.origin import Sources, module_of
from layercc.frontends.onnx.reader import (
    check_header,
    op_name,
    open_model,
    opset_versions,
    optional_inputs,
    plain_domain,
)
from layercc.frontends.onnx.scope import Frame, Scope
from layercc.frontends.onnx.sequences import NotFollowed, follow, is_followed
from layercc.frontends.onnx.support import Survey
from layercc.frontends.onnx.tensors import TensorReader
from layercc.frontends.onnx.unknown import Unknown
from layercc.frontends.onnx.values import ValueReader
from layercc.frontends.onnx.versions import NewNode, VersionedNode, lift


def from_onnx(model: str | os.PathLike[str] | ModelProto) -> Graph:
    """Reads an ONNX model, a file or a `ModelProto`.

    An initialiser that is an input too is its default, in files of `ir_version` 4 and later; so
    that input comes behind those without. It is a constant where reading the model takes its value.

    Nodes of every opset come out in the ops of the newest. Values keep their ONNX names; functions
    are inlined; weights in external files are mapped into memory. These may lie in the model's
    folder or below; links are followed to there, and into the one folder that the model's own name
    leads to if it is a link, as in the cache of Hugging Face. Raises UnsupportedError listing all
    ops that layercc does not know, and InvalidModelError for models that are malformed. The file
    is treated as untrusted.
    """
    if isinstance(model, ModelProto):
        check_header(model, "the model")
        return _imported(model, "the model", TensorReader(None))
    fits = isinstance(model, (str, bytes, os.PathLike))
    expect(fits, "model", model, "the path of an ONNX file or a ModelProto")
    where = os.fsdecode(model)
    with open_model(model) as (proto, weights):
        return _imported(proto, where, TensorReader(ExternalData(where), weights))


def _imported(model: ModelProto, where: str, tensors: TensorReader) -> Graph:
    try:
        if optional := optional_inputs(model):
            with contextlib.suppress(UnsupportedError):  # maybe just since ranks hang on defaults
                return _Importer(model, where, tensors, optional).run()
        return _Importer(model, where, tensors).run()
    except UnicodeDecodeError as error:
        raise InvalidModelError(f"{where}: a name is not valid UTF-8: {error}") from None
    except RecursionError:
        raise InvalidModelError(f"{where}: nested too deeply") from None


class _Importer:
    def __init__(
        self,
        model: ModelProto,
        where: str,
        tensors: TensorReader,
        optional: Collection[str] = (),
    ) -> None:
        self.model = model
        self.optional = optional
        self.where = where
        self.sources = Sources(where if tensors.external is not None else None)
        self.module = ""  # whose nodes are being added
        self.tensors = tensors
        self.functions = FunctionTable.of(model)
        self.unknown = Unknown()
        self.node_names = Names(separator="_")
        self.count = 0  # nodes
        self.items = 0  # of sequences

    def run(self) -> Graph:
        opsets = opset_versions(self.model.opset_import, self.where)
        survey = Survey(self.functions, self.where)
        survey.model(self.model.graph, opsets)
        survey.unknown.raise_for_any(self.where)
        self.names = Names(survey.names, "_")
        self.values = ValueReader(self.model.graph, self.where)
        graph = self.graph(self.model.graph, Frame(opsets))
        self.unknown.raise_for_any(self.where)
        if not graph.outputs:
            raise InvalidModelError(f"{self.where}: the graph has no outputs")
        verify(graph)
        return graph

    def graph(
        self,
        proto: GraphProto,
        frame: Frame,
        outer: Scope | None = None,
        owner: NodeProto | None = None,
    ) -> Graph:
        """A graph; or, with `outer`, a subgraph of node `owner`, which may read outer values."""
        scope = Scope(proto.name or "graph", self.names, outer)
        inner = replace(frame, renamed=dict(frame.renamed))
        self.constants(proto, scope, inner, self.optional if outer is None else ())
        inputs = [value for value in proto.input if value.name not in scope.initialisers]
        names = [scope.define(value.name, inner) for value in inputs]
        if outer is None or owner is None:
            scope.add_inputs(self.values.inputs(inputs, names))
            arrays = scope.graph.defaults
            optional = [value for value in proto.input if value.name in arrays]
            scope.add_inputs(self.values.default(v, v.name, arrays[v.name]) for v in optional)
        else:
            handed = [outer.type_of(frame.name(name)) if name else None for name in owner.input]
            given = body_input_types(owner, len(inputs), handed)
            scope.add_inputs(self.values.body_inputs(inputs, names, given))
        self.define_outputs(proto.node, scope, inner)
        for node in proto.node:
            self.node(node, scope, inner)
        scope.graph.outputs = [
            self.values.output(value, inner.name(value.name), scope) for value in proto.output
        ]
        scope.fix_defaults()
        put_in_order(scope.graph)
        return scope.graph

    def constants(
        self, proto: GraphProto, scope: Scope, frame: Frame, optional: Collection[str]
    ) -> None:
        """Adds the initialisers; those that are `optional` inputs as defaults."""

        def add(own: str, array: np.ndarray) -> None:
            name = scope.define(own, frame)
            scope.initialisers.add(own)
            (scope.add_default if own in optional else scope.add_constant)(name, array)

        for tensor in proto.initializer:
            add(tensor.name, self.tensors.dense(tensor, f"initialiser {tensor.name!r}"))
        for sparse in proto.sparse_initializer:
            name = sparse.values.name
            add(name, self.tensors.sparse(sparse, f"sparse initialiser {name!r}"))

    def define_outputs(self, nodes: Any, scope: Scope, frame: Frame) -> None:
        for node in nodes:
            for name in node.output:
                if name:
                    scope.define(name, frame)

    def node(self, proto: NodeProto, scope: Scope, frame: Frame) -> None:
        """Adds a node to the graph: as it is, lifted to the newest opset, or as the nodes of the
        function that it calls."""
        self.count += 1
        if self.count > MAX_NODES:
            raise InvalidModelError(f"{self.where}: more than {MAX_NODES} nodes, functions inlined")
        function = self.functions.find(proto)
        if function is not None:
            self.call(proto, function, scope, frame)
            return
        version = frame.opsets.get(plain_domain(proto.domain), 1)
        inputs = [frame.name(name) for name in proto.input]
        outputs = [frame.name(name) for name in proto.output]
        while inputs and not inputs[-1]:
            inputs.pop()
        attributes = read_attributes(
            proto,
            version,
            frame.bound,
            self.tensors,
            lambda body: self.graph(body, frame, scope, proto),
        )
        op = op_name(proto)
        if op == "Constant":
            self.constant_node(proto, attributes, outputs, scope)
            return
        self.module = module_of(proto) or frame.module  # after subgraphs, which have their own
        name = path_name(frame, proto)
        lifted = VersionedNode(op, inputs, outputs, attributes, name, version, scope)
        if is_followed(op) or any(scope.sequence(given) for given in inputs):
            self.sequence_node(lifted, scope)
            return
        if not plain_domain(proto.domain):
            lift(lifted)
        definition = find_op(lifted.op)
        if definition is None:
            self.expand(proto, version, scope, frame)
            return
        if definition.origin is not None and version < definition.since:
            raise UnsupportedError(
                f"{self.where}: {op} {name!r} is of version {version} of domain {proto.domain!r}; "
                f"the op registered at {definition.origin} came with version {definition.since}"
            )
        for new in lifted.nodes():
            self.add(new, scope)

    def sequence_node(self, lifted: VersionedNode, scope: Scope) -> None:
        """Follows a node that makes or reads a sequence of tensors, which no value of the IR is."""
        op, outputs = lifted.op, list(lifted.outputs)
        read = scope.sequence(lifted.input(0))
        try:
            if op == "Identity" and read is not None:
                scope.sequences[outputs[0]] = read
                return
            if not is_followed(op):
                raise NotFollowed
            made = follow(lifted, read)
        except NotFollowed:
            self.unknown.note(op if is_followed(op) else f"{op} of a sequence", lifted.name)
            return
        if made is not None:
            self.items += made.count
            if self.items > MAX_SEQUENCE_ITEMS:
                raise InvalidModelError(
                    f"{self.where}: {op} {lifted.name!r}: the sequences up to here have more than "
                    f"{MAX_SEQUENCE_ITEMS} items"
                )
            scope.sequences[outputs[0]] = made
        if not is_followed(lifted.op):  # it has become a node on tensors
            for new in lifted.nodes():
                self.add(new, scope)

    def add(self, new: NewNode, scope: Scope) -> None:
        if find_op(new.op) is None:
            self.unknown.note(new.op, new.name)
        scope.graph.nodes.append(
            Node(
                new.op,
                tuple(new.inputs),
                tuple(new.outputs),
                new.attributes,
                self.node_names.fresh(new.name),
                self.sources.of(self.module),
            )
        )

    def constant_node(
        self, proto: NodeProto, attributes: dict[str, Any], outputs: list[str], scope: Scope
    ) -> None:
        if len(attributes) != 1 or len(outputs) != 1:
            raise InvalidModelError(
                f"Constant {proto.name or outputs!r}: one value and one output are needed"
            )
        ((kind, value),) = attributes.items()
        array = constant_array(kind, value)
        if array is None:
            raise UnsupportedError(f"Constant {outputs[0]!r}: tensors of string are not supported")
        scope.add_constant(outputs[0], array)

    def expand(self, proto: NodeProto, version: int, scope: Scope, frame: Frame) -> None:
        """Replaces a node by the body through which ONNX defines its op."""
        function = schema_function(proto, version)
        if function is None:
            kinds = []
            for name in proto.input:
                known = scope.type_of(frame.name(name)) if name else None
                kinds.append(
                    onnx.TypeProto()
                    if known is None
                    else onnx.helper.make_tensor_type_proto(
                        known.dtype.onnx,
                        [dim if type(dim) is int else None for dim in known.shape],
                    )
                )
            function = typed_schema_function(resolve_references(proto, frame.bound), version, kinds)
        if function is None:
            self.unknown.note(op_name(proto), path_name(frame, proto))
        else:
            self.call(proto, function, scope, frame)

    def call(self, proto: NodeProto, function: FunctionProto, scope: Scope, frame: Frame) -> None:
        """Inlines a function at the node that calls it."""
        node = resolve_references(proto, frame.bound)
        if len(node.input) > len(function.input) or len(node.output) > len(function.output):
            raise InvalidModelError(
                f"{node.name or list(node.output)}: {len(node.input)} inputs and "
                f"{len(node.output)} outputs given; function {op_name(node)} has "
                f"{len(function.input)} and {len(function.output)}"
            )
        outputs = [frame.name(name) for name in node.output]
        opsets = opset_versions(function.opset_import, self.where, frame.opsets)
        inner = Frame(
            opsets,
            dict.fromkeys(function.input, ""),
            bound_attributes(function, node),
            self.node_names.fresh(path_name(frame, node)),
            enter_call(frame.calls, function_key(node)),
            module_of(proto) or frame.module,
        )
        inner.renamed.update(
            (formal, frame.name(given))
            for formal, given in zip(function.input, node.input, strict=False)
        )
        given = {
            formal: name for formal, name in zip(function.output, outputs, strict=False) if name
        }
        for made in function.node:
            for name in made.output:
                if name in inner.renamed:
                    raise InvalidModelError(
                        f"function {op_name(node)}: value {name!r} is defined twice"
                    )
                if name:
                    inner.renamed[name] = given.get(name) or scope.define(name, inner)
        for made in function.node:
            self.node(made, scope, inner)
        for formal, name in given.items():
            if inner.name(formal) != name:  # the function passes an input through
                self.add(NewNode("Identity", [inner.name(formal)], [name], {}, name), scope)


def path_name(frame: Frame, node: NodeProto) -> str:
    """Name of a node, below the names of the functions it is in; unnamed: of its first output."""
    own = node.name or next(filter(None, node.output), node.op_type)
    return f"{frame.prefix}/{own}" if frame.prefix else own


def put_in_order(graph: Graph) -> None:
    """Sorts the nodes if one reads a value before it is made."""
    seen: set[str] = set()
    made = {name for node in graph.nodes for name in node.outputs}
    for node in graph.nodes:
        if any(name in made and name not in seen for name in node.reads()):
            graph.sort()
            return
        seen.update(node.outputs)


def constant_array(kind: str, value: Any) -> Any:
    """The array of a Constant node, by the attribute that holds it; None for strings."""
    if kind in ("value", "sparse_value"):
        return value
    dtype = {"value_float": "f4", "value_floats": "f4", "value_int": "i8", "value_ints": "i8"}
    return np.array(value, dtype[kind]) if kind in dtype else None
