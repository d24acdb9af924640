"""Functions: those a model brings along, and ops that ONNX itself defines by a body of nodes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import onnx
from onnx import AttributeProto, FunctionProto, NodeProto

from ir.diagnostics import InvalidModelError
from ir.registry import find_op
from layercc.frontends.onnx.attributes import find_schema
from layercc.frontends.onnx.limits import MAX_CALL_DEPTH
from layercc.frontends.onnx.reader import op_name, plain_domain
from layercc.frontends.onnx.versions import renamed

Key = tuple[str, str, str]


def function_key(item: NodeProto | FunctionProto) -> Key:
    """What a node calls a function by: domain, name, overload."""
    name = item.op_type if isinstance(item, NodeProto) else item.name
    return plain_domain(item.domain), name, item.overload


@dataclass
class FunctionTable:
    """The functions of a model, but for those that stand for an op that the user has registered."""

    functions: dict[Key, FunctionProto]

    @staticmethod
    def of(model: onnx.ModelProto) -> FunctionTable:
        table: dict[Key, FunctionProto] = {}
        for function in model.functions:
            key = function_key(function)
            if key in table:
                raise InvalidModelError(
                    f"function {function.domain}.{function.name} is given twice"
                )
            table[key] = function
        table = {key: each for key, each in table.items() if not _is_registered(key)}
        return FunctionTable(table)

    def find(self, node: NodeProto) -> FunctionProto | None:
        return self.functions.get(function_key(node)) if self.functions else None


def _is_registered(key: Key) -> bool:
    op = find_op(".".join(filter(None, key[:2])))
    return op is not None and op.origin is not None


def schema_function(node: NodeProto, version: int) -> FunctionProto | None:
    """The body by which ONNX defines the op of `node`, where that does not depend on types."""
    schema = find_schema(node.op_type, version, plain_domain(node.domain))
    if schema is None or not schema.has_function:
        return None
    return schema.function_body


def typed_schema_function(
    node: NodeProto, version: int, types: Iterable[onnx.TypeProto]
) -> FunctionProto | None:
    """The body by which ONNX defines the op of `node` for inputs of these types; None without."""
    schema = find_schema(node.op_type, version, plain_domain(node.domain))
    if schema is None or not schema.has_context_dependent_function:
        return None
    versions = schema.context_dependent_function_opset_versions
    chosen = max((v for v in versions if v <= version), default=version)
    body = schema.get_context_dependent_function_with_opset_version(
        chosen, node.SerializeToString(), [kind.SerializeToString() for kind in types]
    )
    function = FunctionProto()
    function.ParseFromString(body)
    return function if function.node else None


def bound_attributes(function: FunctionProto, node: NodeProto) -> dict[str, AttributeProto]:
    """The attributes that the body of `function` sees when `node` calls it: those given, and
    defaults of the others."""
    bound = {attribute.name: attribute for attribute in function.attribute_proto}
    bound.update((attribute.name, attribute) for attribute in node.attribute)
    schema = find_schema(function.name, onnx.defs.onnx_opset_version(), function.domain)
    if schema is not None:
        for name, spec in schema.attributes.items():
            if spec.default_value.type != AttributeProto.UNDEFINED:
                bound.setdefault(name, spec.default_value)
    return bound


def resolve_references(node: NodeProto, bound: Mapping[str, AttributeProto]) -> NodeProto:
    """The node with `ref_attr_name` replaced by what the enclosing function was given."""
    if not any(attribute.ref_attr_name for attribute in node.attribute):
        return node
    resolved = NodeProto()
    resolved.CopyFrom(node)
    del resolved.attribute[:]
    for attribute in node.attribute:
        if not attribute.ref_attr_name:
            resolved.attribute.add().CopyFrom(attribute)
        elif attribute.ref_attr_name in bound:
            value = resolved.attribute.add()
            value.CopyFrom(bound[attribute.ref_attr_name])
            value.name = attribute.name
    return resolved


def enter_call(calls: tuple[Key, ...], key: Key) -> tuple[Key, ...]:
    """The chain of calls with one more. Raises InvalidModelError when it is endless or too deep."""
    names = " -> ".join(".".join(filter(None, entry)) for entry in (*calls, key))
    if key in calls:
        raise InvalidModelError(f"a function calls itself: {names}")
    if len(calls) >= MAX_CALL_DEPTH:
        raise InvalidModelError(
            f"functions call functions more than {MAX_CALL_DEPTH} deep: {names}"
        )
    return (*calls, key)


def is_known(node: NodeProto, version: int) -> bool:
    """Whether the IR has the op of `node`, or it can be rewritten to ops of the IR."""
    return has_definition(node) or _is_expandable(
        node.op_type, version, plain_domain(node.domain), ()
    )


def has_definition(node: NodeProto) -> bool:
    """Whether the IR has the op, under its own name or that of the op which replaced it."""
    name = op_name(node)
    return name == "Constant" or find_op(renamed(name)) is not None


def _is_expandable(op_type: str, version: int, domain: str, within: tuple[str, ...]) -> bool:
    schema = find_schema(op_type, version, domain)
    if schema is None or op_type in within:
        return False
    if not schema.has_function:
        return schema.has_context_dependent_function  # the body shows itself when types are known
    body = schema.function_body
    inner = {plain_domain(entry.domain): entry.version for entry in body.opset_import}
    return all(
        has_definition(node)
        or _is_expandable(
            node.op_type, inner.get("", version), plain_domain(node.domain), (*within, op_type)
        )
        for node in body.node
    )
