"""Rewrites before export: what ONNX has no words for is said with its own ops.

Fused groups become the nodes they stand for, channels-last nodes get Transposes around them, and
attention that ONNX's op would compute otherwise is written out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ir.diagnostics import ShapeError
from ir.graph import Graph, Node, Value
from ir.inference import infer
from ir.inlining import open_group
from ir.naming import Names
from ir.registry import find_op
from ir.types import TensorType
from layercc.frontends.onnx.written_attention import is_nan_where_masked, write_out


def to_onnx_ops(graph: Graph) -> Graph:
    """A copy of `graph` in ONNX ops only, as far as this can be said; subgraphs included."""
    names = Names(graph.value_names(), "_")
    node_names = Names(separator="_")
    flat = _inlined(graph, names, node_names)
    if any(is_nan_where_masked(node) for node in _all_nodes(flat)):
        flat = _with_attention_written_out(flat, names, node_names, infer(flat).types)
    if any(_is_channels_last(node) for node in _all_nodes(flat)):
        flat = _channels_first(flat, names, node_names, infer(flat).types)
    return flat


def _all_nodes(graph: Graph) -> list[Node]:
    nodes = list(graph.nodes)
    for node in graph.nodes:
        for body in node.subgraphs():
            nodes.extend(_all_nodes(body))
    return nodes


def _with_bodies(node: Node, change: Any) -> Node:
    """The node with `change` applied to each subgraph."""
    attributes = {
        key: change(value) if isinstance(value, Graph) else value
        for key, value in node.attributes.items()
    }
    return replace(node, attributes=attributes)


def _inlined(graph: Graph, names: Names, node_names: Names) -> Graph:
    """The graph with every fused group replaced by the nodes in it."""
    result = graph.copy()
    result.nodes = []
    for node in graph.nodes:
        if node.op == "layercc.Fused":
            opened = Graph()
            open_group(opened, node, names.fresh)
            opened = _inlined(opened, names, node_names)
            result.nodes += opened.nodes
            result.constants |= opened.constants
        else:
            changed = _with_bodies(node, lambda body: _inlined(body, names, node_names))
            result.nodes.append(replace(changed, name=node_names.fresh(node.name)))
    return result


def _with_attention_written_out(
    graph: Graph, names: Names, node_names: Names, types: Mapping[str, TensorType]
) -> Graph:
    result = graph.copy()
    result.nodes = []
    for node in graph.nodes:
        node = _with_bodies(
            node,
            lambda body: _with_attention_written_out(
                body, names, node_names, body_types(body, types)
            ),
        )
        known = all(name in types for name in filter(None, node.inputs))
        if not (
            is_nan_where_masked(node)
            and known
            and write_out(node, result, names, node_names, types)
        ):
            result.nodes.append(node)
    return result


def _is_channels_last(node: Node) -> bool:
    op = find_op(node.op)
    return bool(op and "channels_last" in op.attributes and node.attributes.get("channels_last"))


def _channels_first(
    graph: Graph, names: Names, node_names: Names, types: Mapping[str, TensorType]
) -> Graph:
    """The graph with a Transpose before and after every channels-last node.

    A Transpose that would undo the one before it is left out: a chain of channels-last nodes
    runs channels-first as a whole.
    """
    result = graph.copy()
    result.nodes = []
    first: dict[str, str] = {}  # channels-last value → the same value, channels-first
    wanted = {name for node in graph.nodes if not _is_channels_last(node) for name in node.reads()}
    wanted.update(graph.output_names)

    def transpose(source: str, target: str, permutation: list[int]) -> None:
        name = node_names.fresh(f"{target}.transpose")
        attributes = {"perm": tuple(permutation)}
        result.nodes.append(Node("Transpose", (source,), (target,), attributes, name))

    def channels_first(name: str, rank: int) -> str:
        if name not in first:
            first[name] = names.fresh(f"{name}.channels_first")
            transpose(name, first[name], [0, rank - 1, *range(1, rank - 1)])
        return first[name]

    for node in graph.nodes:
        node = _with_bodies(
            node, lambda body: _channels_first(body, names, node_names, body_types(body, types))
        )
        if not _is_channels_last(node):
            result.nodes.append(node)
            continue
        rank = _rank(node, types)
        attributes = {k: v for k, v in node.attributes.items() if k != "channels_last"}
        if rank < 3:
            result.nodes.append(replace(node, attributes=attributes))
            continue
        source = channels_first(node.inputs[0], rank)
        outputs = list(node.outputs)
        # statistics (BatchNormalization's further outputs) are vectors without a layout
        laid_out = [i for i, name in enumerate(outputs) if name and types[name].rank == rank]
        for i in laid_out:
            first[node.outputs[i]] = outputs[i] = names.fresh(f"{outputs[i]}.channels_first")
        result.nodes.append(
            replace(
                node,
                inputs=(source, *node.inputs[1:]),
                outputs=tuple(outputs),
                attributes=attributes,
            )
        )
        for i in laid_out:
            if node.outputs[i] in wanted:
                transpose(outputs[i], node.outputs[i], [0, *range(2, rank), 1])
    return result


def _rank(node: Node, types: Mapping[str, TensorType]) -> int:
    if any(name and name not in types for name in (node.inputs[0], *node.outputs)):
        raise ShapeError(f"{node}: its shapes do not fit together; `lc.check` says where and why")
    return types[node.inputs[0]].rank


def body_types(body: Graph, outer: Mapping[str, TensorType]) -> dict[str, TensorType]:
    """Types of the values in a subgraph, and of those that it reads from the graph around it."""
    read = [Value(name, outer[name]) for name in body.free_names() if name in outer]
    closed = body.copy()
    closed.inputs = [*body.inputs, *read]
    return {**outer, **infer(closed).types}
