"""`to_onnx`: any `ir.Graph` → `ModelProto`."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import (
    AttributeProto,
    FunctionProto,
    GraphProto,
    ModelProto,
    NodeProto,
    TensorProto,
    helper,
)

import ir.ops  # noqa: F401  # fills the registry
from ir.arguments import expect, expect_graph
from ir.diagnostics import LayerccError, UnsupportedError
from ir.dtypes import dtype_of
from ir.graph import Graph, Node
from ir.inference import infer
from ir.registry import find_op
from ir.types import TensorType
from layercc.frontends.onnx.attributes import find_schema
from layercc.frontends.onnx.expressible import (
    choose_opset,
    domain_version,
    function_body,
    graph_problems,
)
from layercc.frontends.onnx.limits import MAX_FILE_BYTES
from layercc.frontends.onnx.packing import packed_bytes
from layercc.frontends.onnx.reader import FIRST_WITH_DEFAULTS
from layercc.frontends.onnx.rewrite import body_types, to_onnx_ops

#: Weights up to this size stay in the file even when others go to an external one.
_INLINE_BYTES = 1024
#: External weights start at multiples of this, so that they can be mapped and used in place.
_ALIGNMENT = 4096

#: The first version of the file format in which functions of one name may be told apart.
_WITH_OVERLOADS = 10

_KINDS = {
    "int": AttributeProto.INT,
    "float": AttributeProto.FLOAT,
    "string": AttributeProto.STRING,
    "ints": AttributeProto.INTS,
    "floats": AttributeProto.FLOATS,
    "strings": AttributeProto.STRINGS,
    "tensor": AttributeProto.TENSOR,
    "graph": AttributeProto.GRAPH,
}


def to_onnx(
    graph: Graph, opset: int | None = None, path: str | os.PathLike[str] | None = None
) -> ModelProto:
    """The ONNX model that computes what `graph` does.

    Ops that a user has defined are nodes of their domain, with a function for each that can be
    written in ONNX's ops. Fused groups are written as the ops they stand for, channels-last nodes
    with Transposes around them, symbolic dims as `dim_param`. With `path` the model is saved there
    as well; weights of more than 2 GB then go to a file beside it, `<path>.data`, which the
    returned model refers to.

    `opset=None` takes the oldest opset, from 21 on, that can express the graph.

    Raises UnsupportedError listing everything that ONNX, or the `opset`, cannot express, and
    LayerccError when the model is over 2 GB and no path is given; TypeError for what is no graph.
    """
    expect_graph(graph)
    if opset is not None:
        integer = isinstance(opset, (int, np.integer)) and not isinstance(opset, bool)
        expect(integer, "opset", opset, "an integer or None")
        opset = int(opset)
    if path is not None:
        expect(isinstance(path, (str, os.PathLike)), "path", path, "a str or path")
    flat = to_onnx_ops(graph)
    types = infer(flat).types
    version = choose_opset(flat, types) if opset is None else opset
    problems = graph_problems(flat, types, version)
    if problems:
        listed = "; ".join(f"{text} ×{count}" for text, count in problems.items())
        raise UnsupportedError(
            f"graph {graph.name!r} cannot be written as ONNX opset {version}: {listed}"
        )
    size = _constant_bytes(graph)
    external = size > MAX_FILE_BYTES - (1 << 24)
    if external and path is None:
        raise LayerccError(
            f"the weights take {size} bytes and an ONNX file holds at most {MAX_FILE_BYTES}; "
            "to_onnx(graph, path=...) writes them to a file beside the model"
        )
    writer = _Writer(version, _ExternalFile(Path(path)) if external and path else None)
    try:
        model = writer.model(flat, types)
    finally:
        writer.close()
    if path is not None:
        Path(path).write_bytes(model.SerializeToString())
    return model


def _constant_bytes(graph: Graph) -> int:
    own = sum(array.nbytes for array in (graph.constants | graph.defaults).values())
    return own + sum(_constant_bytes(body) for node in graph.nodes for body in node.subgraphs())


class _ExternalFile:
    """The file that large weights are written to, one after the other."""

    def __init__(self, model_path: Path) -> None:
        self.name = f"{model_path.name}.data"
        self._file = open(model_path.with_name(self.name), "wb")  # noqa: SIM115  # closed by close

    def append(self, data: bytes) -> int:
        """Writes `data` at an aligned offset, which is returned."""
        padding = -self._file.tell() % _ALIGNMENT
        self._file.write(b"\0" * padding)
        offset = self._file.tell()
        self._file.write(data)
        return offset

    def close(self) -> None:
        self._file.close()


class _Writer:
    def __init__(self, opset: int, external: _ExternalFile | None) -> None:
        self.opset = opset
        self.external = external
        self.domains: dict[str, int] = {"": opset}
        self.functions: dict[tuple[str, str], list[FunctionProto]] = {}  # by domain and name

    def close(self) -> None:
        if self.external is not None:
            self.external.close()

    def model(self, graph: Graph, types: Mapping[str, TensorType]) -> ModelProto:
        proto = self.graph(graph, types)
        imports = [helper.make_opsetid(domain, v) for domain, v in self.domains.items()]
        functions = [function for found in self.functions.values() for function in found]
        for function in functions:
            function.opset_import.extend(imports)
        model = helper.make_model(
            proto, opset_imports=imports, producer_name="layercc", functions=functions
        )
        oldest = helper.find_min_ir_version_for(imports, ignore_unknown=True)
        oldest = max(oldest, _WITH_OVERLOADS) if functions else oldest
        model.ir_version = max(oldest, FIRST_WITH_DEFAULTS)
        return model

    def graph(
        self, graph: Graph, types: Mapping[str, TensorType], is_body: bool = False
    ) -> GraphProto:
        proto = GraphProto(name=graph.name or "graph")
        if is_body:  # shapes may change from one iteration to the next; scalars stay scalars
            proto.input.extend(
                _value_info(value.name, value.type, with_shape=not value.type.rank)
                for value in graph.inputs
            )
            proto.output.extend(onnx.ValueInfoProto(name=name) for name in graph.output_names)
        else:
            proto.input.extend(_value_info(value.name, value.type) for value in graph.inputs)
            proto.output.extend(
                _value_info(value.name, types.get(value.name, value.type))
                for value in graph.outputs
            )
        for name, array in (graph.constants | graph.defaults).items():
            self.tensor(proto.initializer.add(), name, array)
        for node in graph.nodes:
            proto.node.append(self.node(node, types))
        return proto

    def node(self, node: Node, types: Mapping[str, TensorType]) -> NodeProto:
        domain, _, op_type = node.op.rpartition(".")
        if domain not in self.domains:
            self.domains[domain] = domain_version(domain, self.opset)
        schema = find_schema(op_type, self.domains[domain], domain)
        inputs = list(node.inputs)
        while inputs and not inputs[-1]:
            inputs.pop()
        proto = NodeProto(
            op_type=op_type, domain=domain, name=node.name, input=inputs, output=node.outputs
        )
        definition = find_op(node.op)
        for name, value in node.attributes.items():
            spec = definition.attributes.get(name) if definition else None
            if value is not None and (schema is None or name in schema.attributes):
                kind = spec.kind if spec else None
                proto.attribute.append(self.attribute(name, value, kind, types))
        self.function(proto, node, types)
        return proto

    def function(self, proto: NodeProto, node: Node, types: Mapping[str, TensorType]) -> None:
        """Writes the function that a node calls, if its op is one that a user has defined, and that
        has a body which the opset can express. Bodies that differ, as types and attributes do, are
        overloads."""
        body = function_body(node, types)
        if body is None:
            return
        known = infer(body).types
        if graph_problems(body, known, self.opset):
            return
        made = FunctionProto(name=proto.op_type, domain=proto.domain, output=body.output_names)
        names = iter(body.input_names)
        made.input.extend(
            next(names) if name else f"absent_{i}" for i, name in enumerate(proto.input)
        )
        made.attribute.extend(attribute.name for attribute in proto.attribute)
        for name, array in body.constants.items():
            constant = made.node.add(op_type="Constant", output=[name])
            constant.attribute.append(self.attribute("value", array, "tensor", known))
        made.node.extend(self.node(inner, known) for inner in body.nodes)
        overloads = self.functions.setdefault((made.domain, made.name), [])
        for each in overloads:
            made.overload = proto.overload = each.overload
            if made == each:
                return
        made.overload = proto.overload = str(len(overloads)) if overloads else ""
        overloads.append(made)

    def attribute(
        self, name: str, value: Any, kind: str | None, types: Mapping[str, TensorType]
    ) -> AttributeProto:
        if isinstance(value, Graph):
            body = self.graph(value, body_types(value, types), is_body=True)
            return AttributeProto(name=name, type=AttributeProto.GRAPH, g=body)
        if isinstance(value, np.ndarray) and kind in (None, "tensor"):
            proto = AttributeProto(name=name, type=AttributeProto.TENSOR)
            self.tensor(proto.t, name, value, inline=True)
            return proto
        plain = value.tolist() if isinstance(value, (np.ndarray, np.generic)) else value
        return helper.make_attribute(name, plain, attr_type=_KINDS[kind] if kind else None)

    def tensor(
        self, proto: TensorProto, name: str, array: np.ndarray, inline: bool = False
    ) -> None:
        proto.name = name
        proto.data_type = dtype_of(array).onnx
        proto.dims.extend(array.shape)
        data = packed_bytes(array)
        if self.external is None or inline or len(data) <= _INLINE_BYTES:
            proto.raw_data = data
            return
        proto.data_location = TensorProto.EXTERNAL
        offset = self.external.append(data)
        for key, text in _entries(self.external.name, offset, len(data)):
            proto.external_data.add(key=key, value=text)


def _entries(location: str, offset: int, length: int) -> Iterable[tuple[str, str]]:
    return [("location", location), ("offset", str(offset)), ("length", str(length))]


def _value_info(name: str, kind: TensorType, with_shape: bool = True) -> onnx.ValueInfoProto:
    shape = [dim if type(dim) is int else str(dim) for dim in kind.shape]
    known = shape if with_shape and kind.ranked else None
    return helper.make_tensor_value_info(name, kind.dtype.onnx, known)
