"""Whether an opset has words for a graph, by ONNX's own schemas."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx.defs import OpSchema

from ir.diagnostics import UnsupportedError
from ir.dtypes import DType
from ir.graph import Graph, Node
from ir.inference import call_for, infer
from ir.registry import find_op, user_ops
from ir.types import TensorType
from layercc.frontends.onnx.attributes import find_schema
from layercc.frontends.onnx.rewrite import body_types, to_onnx_ops

#: Unless asked otherwise the oldest opset from here on that can express the graph is written:
#: runtimes take years to follow the newest (onnxruntime 1.31 knows 26 and lacks kernels for some).
OLDEST_DEFAULT_OPSET = 21
#: Since this opset pools ignore windows that start in the padding at the end.
CEIL_MODE_OPSET = 22


def choose_opset(graph: Graph, types: Mapping[str, TensorType]) -> int:
    """The oldest opset from `OLDEST_DEFAULT_OPSET` on that can express `graph`, else the newest."""
    newest = onnx.defs.onnx_opset_version()
    for version in range(min(OLDEST_DEFAULT_OPSET, newest), newest):
        if not graph_problems(graph, types, version, functions=True):
            return version
    return newest


def graph_problems(
    graph: Graph, types: Mapping[str, TensorType], version: int, functions: bool = False
) -> Counter[str]:
    """What opset `version` cannot express of `graph`, with counts; subgraphs included, and with
    `functions` the bodies of ops that a user has defined.

    Raises UnsupportedError when the onnx package does not know that opset.
    """
    newest = onnx.defs.onnx_opset_version()
    if not 1 <= version <= newest:
        raise UnsupportedError(f"opset {version}: the installed onnx package knows 1 to {newest}")
    found: Counter[str] = Counter()
    for node in graph.nodes:
        if problem := _node_problem(node, types, version):
            found[problem] += 1
        for body in node.subgraphs():
            found += graph_problems(body, body_types(body, types), version, functions)
        if functions and (written := function_body(node, types)) is not None:
            found += graph_problems(written, infer(written).types, version, functions)
    return found


def function_body(node: Node, types: Mapping[str, TensorType]) -> Graph | None:
    """What an op that a user has defined stands for, in ONNX's ops; None where it has no body."""
    op = find_op(node.op)
    if op is None or op.origin is None or op.body is None:
        return None
    if any(name and name not in types for name in node.inputs):
        return None
    body = op.body(call_for(node, types))
    return None if body is None else to_onnx_ops(body)


def domain_version(domain: str, opset: int) -> int:
    """The version of a domain that goes with ONNX `opset`."""
    if not domain:
        return opset
    own = [op.since for op in user_ops() if op.name.rpartition(".")[0] == domain]
    if own:
        return max(own)
    known = onnx.defs.C.schema_version_map()
    return known[domain][1] if domain in known else 1


def _node_problem(node: Node, types: Mapping[str, TensorType], version: int) -> str | None:
    domain, _, op_type = node.op.rpartition(".")
    schema = find_schema(op_type, domain_version(domain, version), domain)
    if schema is None or schema.deprecated:
        ours = domain in ("", "layercc")
        return f"op {node.op} is not part of it" if ours else None
    given = len(node.inputs)
    while given and not node.inputs[given - 1]:
        given -= 1
    if not schema.min_input <= given <= schema.max_input:
        return f"{node.op} with {given} inputs is not part of it"
    definition = find_op(node.op)
    for name, value in node.attributes.items():
        spec = definition.attributes.get(name) if definition else None
        meant = spec is not None and _equal(value, spec.default)
        if value is not None and name not in schema.attributes and not meant:
            return f"{node.op} with {name}={value} is not part of it"
    if node.attributes.get("ceil_mode") and version < CEIL_MODE_OPSET:
        return f"{node.op} with ceil_mode=1 meant something else in it"
    for parameters, names in [(schema.inputs, node.inputs), (schema.outputs, node.outputs)]:
        for index, name in enumerate(names):
            if name in types and not _takes(parameters, index, types[name].dtype):
                return f"{node.op} of {types[name].dtype} is not part of it"
    return None


def _equal(a: Any, b: Any) -> bool:
    return bool(np.array_equal(a, b)) if isinstance(a, np.ndarray) else bool(a == b)


def _takes(parameters: Sequence[OpSchema.FormalParameter], index: int, dtype: DType) -> bool:
    """Whether the input or output at `index` may have this element type."""
    allowed = parameters[min(index, len(parameters) - 1)].types
    name = onnx.TensorProto.DataType.Name(dtype.onnx).lower()
    return f"tensor({name})" in allowed
