"""Attributes of ONNX nodes → plain Python values, checked against the op's schema."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import onnx
from onnx import AttributeProto
from onnx.defs import OpSchema

from ir.diagnostics import InvalidModelError, UnsupportedError
from ir.graph import Graph
from layercc.frontends.onnx.reader import op_name, plain_domain
from layercc.frontends.onnx.tensors import TensorReader

_FIELDS = [  # of files from before attributes had a type
    ("f", AttributeProto.FLOAT),
    ("i", AttributeProto.INT),
    ("s", AttributeProto.STRING),
    ("t", AttributeProto.TENSOR),
    ("g", AttributeProto.GRAPH),
]
_LISTS = [
    ("floats", AttributeProto.FLOATS),
    ("ints", AttributeProto.INTS),
    ("strings", AttributeProto.STRINGS),
]


@lru_cache(4096)
def find_schema(op_type: str, version: int, domain: str) -> OpSchema | None:
    """ONNX's definition of an op as it was in opset `version`; None for ops it never had."""
    try:
        return onnx.defs.get_schema(op_type, version, domain)
    except onnx.defs.SchemaError:
        return None


def first_version(op_type: str, domain: str) -> int | None:
    """The opset in which an op came into ONNX; None for ops it never had."""
    return _first_versions().get((op_type, domain))


@lru_cache(1)
def _first_versions() -> dict[tuple[str, str], int]:
    first: dict[tuple[str, str], int] = {}
    for schema in onnx.defs.get_all_schemas_with_history():
        key = schema.name, schema.domain
        first[key] = min(schema.since_version, first.get(key, schema.since_version))
    return first


def attribute_kind(attribute: AttributeProto) -> int:
    """The type of an attribute, found from what is filled in when the file gives none."""
    if attribute.type != AttributeProto.UNDEFINED:
        return attribute.type
    for name, kind in _FIELDS:
        if attribute.HasField(name):
            return kind
    return next((kind for name, kind in _LISTS if getattr(attribute, name)), AttributeProto.INTS)


def read_attributes(
    node: onnx.NodeProto,
    version: int,
    bound: Mapping[str, AttributeProto],
    tensors: TensorReader,
    read_graph: Callable[[onnx.GraphProto], Graph],
) -> dict[str, Any]:
    """Name → value of all attributes of a node. Integers, floats, strings; tuples of those; arrays;
    graphs, read by `read_graph`.

    `bound` holds the attributes given to the function that `node` is in. Raises InvalidModelError
    for attributes given twice, unknown to the op's schema, or of another type than it asks for.
    """
    schema = find_schema(node.op_type, version, plain_domain(node.domain))
    found: dict[str, Any] = {}
    for entry in node.attribute:
        where = f"attribute {entry.name!r} of {op_name(node)} {node.name or list(node.output)}"
        attribute = entry
        if entry.ref_attr_name:
            if entry.ref_attr_name not in bound:
                continue  # not given to the function: absent here as well
            attribute = bound[entry.ref_attr_name]
        if entry.name in found:
            raise InvalidModelError(f"{where} is given twice")
        kind = attribute_kind(attribute)
        if schema is not None and not _fits(schema, entry.name, kind):
            known = ", ".join(sorted(schema.attributes)) or "none"
            raise InvalidModelError(
                f"{where}: opset {version} has no such attribute of this type (it has: {known})"
            )
        found[entry.name] = _value(attribute, kind, where, tensors, read_graph)
    return found


def _fits(schema: OpSchema, name: str, kind: int) -> bool:
    expected = schema.attributes.get(name)
    return expected is not None and expected.type.value == kind


def _value(
    attribute: AttributeProto,
    kind: int,
    where: str,
    tensors: TensorReader,
    read_graph: Callable[[onnx.GraphProto], Graph],
) -> Any:
    match kind:
        case AttributeProto.FLOAT:
            return attribute.f
        case AttributeProto.INT:
            return attribute.i
        case AttributeProto.STRING:
            return _text(attribute.s, where)
        case AttributeProto.FLOATS:
            return tuple(attribute.floats)
        case AttributeProto.INTS:
            return tuple(attribute.ints)
        case AttributeProto.STRINGS:
            return tuple(_text(item, where) for item in attribute.strings)
        case AttributeProto.TENSOR:
            return tensors.dense(attribute.t, where)
        case AttributeProto.SPARSE_TENSOR:
            return tensors.sparse(attribute.sparse_tensor, where)
        case AttributeProto.GRAPH:
            return read_graph(attribute.g)
    raise UnsupportedError(f"{where}: attributes of this type are not supported")


def _text(value: bytes, where: str) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise InvalidModelError(f"{where} is not valid UTF-8") from None
