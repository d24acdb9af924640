"""The `onnx` package's own node tests, as graphs of one node."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import numpy_helper
from onnx.backend.test.loader import load_model_tests

import ir.ops  # noqa: F401  fills the registry
from ir.dims import symbol
from ir.dtypes import ONNX_DTYPES, dtype_of
from ir.graph import Attribute, Graph, Node, Value
from ir.types import TensorType


@dataclass(frozen=True)
class NodeCase:
    """One test: a graph and the arrays that go in and come out, in graph order."""

    name: str
    graph: Graph
    inputs: dict[str, np.ndarray]
    outputs: dict[str, np.ndarray]
    rtol: float
    atol: float

    def __str__(self) -> str:
        return self.name


def node_cases(ops: Iterable[str]) -> list[NodeCase]:
    """The tests of models with one node, of one of `ops`, at the op's newest version."""
    wanted = frozenset(ops)
    return [_convert(test, node) for op, test, node in _single_node_tests() if op in wanted]


@functools.cache
def _single_node_tests() -> list[tuple[str, object, onnx.NodeProto]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the expected outputs overflow on purpose
        tests = load_model_tests(kind="node")
    found = []
    for test in tests:
        nodes = test.model.graph.node
        if len(nodes) == 1 and test.data_sets and _is_newest(test.model, nodes[0]):
            name = f"{nodes[0].domain}.{nodes[0].op_type}" if nodes[0].domain else nodes[0].op_type
            found.append((name, test, nodes[0]))
    return found


def _is_newest(model: onnx.ModelProto, node: onnx.NodeProto) -> bool:
    """Whether the model's opset means the newest version of the op, and tensors only,
    of element types that layercc has."""
    versions = {opset.domain: opset.version for opset in model.opset_import}
    try:
        newest = onnx.defs.get_schema(node.op_type, node.domain).since_version
    except onnx.defs.SchemaError:
        return False
    values = [*model.graph.input, *model.graph.output]
    return versions.get(node.domain, 1) >= newest and all(
        value.type.HasField("tensor_type") and value.type.tensor_type.elem_type in ONNX_DTYPES
        for value in values
    )


def _convert(test: object, node: onnx.NodeProto) -> NodeCase:
    model, (arrays_in, arrays_out) = test.model, test.data_sets[0]  # type: ignore[attr-defined]
    inputs = {
        value.name: _array(array) for value, array in zip(model.graph.input, arrays_in, strict=True)
    }
    outputs = {
        value.name: _array(array)
        for value, array in zip(model.graph.output, arrays_out, strict=True)
    }
    graph = Graph(
        test.name,  # type: ignore[attr-defined]
        [Value(key, TensorType(dtype_of(x), x.shape)) for key, x in inputs.items()],
        [Value(key, TensorType(dtype_of(x), x.shape)) for key, x in outputs.items()],
        [_node(node)],
        {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer},
    )
    return NodeCase(test.name, graph, inputs, outputs, test.rtol, test.atol)  # type: ignore[attr-defined]


def _array(value: object) -> np.ndarray:
    if isinstance(value, onnx.TensorProto):  # element types that NumPy itself has not
        return numpy_helper.to_array(value)
    return np.asarray(value)


def _node(node: onnx.NodeProto) -> Node:
    name = f"{node.domain}.{node.op_type}" if node.domain else node.op_type
    attributes = {attribute.name: _attribute(attribute) for attribute in node.attribute}
    return Node(name, tuple(node.input), tuple(node.output), attributes)


def _subgraph(proto: onnx.GraphProto) -> Graph:
    return Graph(
        proto.name,
        [_value(info) for info in proto.input],
        [_value(info) for info in proto.output],
        [_node(node) for node in proto.node],
        {tensor.name: numpy_helper.to_array(tensor) for tensor in proto.initializer},
    )


def _value(info: onnx.ValueInfoProto) -> Value:
    kind = info.type.tensor_type
    shape = tuple(
        dim.dim_value if dim.HasField("dim_value") else symbol(f"{info.name}_{axis}")
        for axis, dim in enumerate(kind.shape.dim)
    )
    return Value(info.name, TensorType(ONNX_DTYPES[kind.elem_type], shape))


def _attribute(proto: onnx.AttributeProto) -> Attribute:
    value = onnx.helper.get_attribute_value(proto)
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, onnx.GraphProto):
        return _subgraph(value)
    if isinstance(value, onnx.TensorProto):
        return numpy_helper.to_array(value)
    if isinstance(value, (int, float)):
        return value
    return tuple(item.decode() if isinstance(item, bytes) else item for item in value)
