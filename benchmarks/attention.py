"""Attention spelled out, as frameworks export it: what other runtimes know best.

onnxruntime and OpenVINO recognise and fuse products around a Softmax; the Attention op itself is
young in both (onnxruntime 1.31 refuses masks that broadcast over queries).
"""

from __future__ import annotations

import math

import numpy as np

from ir.dtypes import DType
from ir.graph import Graph, Node

#: Added to the scores of keys that a mask hides.
HIDDEN = np.float32(-1e9)


def decompose_attention(graph: Graph) -> Graph:
    """Replaces Attention nodes on `[batch, positions, heads * size]` that are not causal."""
    made = graph.copy()
    made.nodes = []
    for node in graph.nodes:
        made.nodes += _decomposed(made, node) if node.op == "Attention" else [node]
    return made


def _decomposed(graph: Graph, node: Node) -> list[Node]:
    query, key, value, *rest = node.inputs
    attributes = node.attributes
    heads = attributes.get("q_num_heads")
    plain = heads == attributes.get("kv_num_heads") and len(node.outputs) == 1 and len(rest) < 2
    if heads is None or not plain or attributes.get("is_causal"):
        return [node]
    nodes: list[Node] = []

    def emit(op: str, *inputs: str, out: str, **settings: object) -> str:
        name = f"{node.name}.{out}"
        nodes.append(Node(op, inputs, (name,), settings))
        return name

    def constant(name: str, array: np.ndarray) -> str:
        graph.constants.setdefault(name, array)
        return name

    def split(source: str, out: str, order: tuple[int, ...]) -> str:
        size = int(graph.types[source].shape[2]) // heads
        shape = constant(f"heads_{heads}_{size}", np.array([0, 0, heads, size], np.int64))
        return emit("Transpose", emit("Reshape", source, shape, out=out), out=f"{out}t", perm=order)

    width = int(graph.types[query].shape[2]) // heads
    scale = attributes.get("scale") or 1 / math.sqrt(width)
    products = emit(
        "MatMul", split(query, "q", (0, 2, 1, 3)), split(key, "k", (0, 2, 3, 1)), out="scores"
    )
    factor = constant(f"scale_{width}", np.array(scale, np.float32))
    scores = emit("Mul", products, factor, out="scaled")
    if rest:
        bias = rest[0]
        if graph.types[bias].dtype is DType.bool:
            shown = constant("shown", np.zeros((), np.float32))
            bias = emit("Where", bias, shown, constant("hidden", np.asarray(HIDDEN)), out="bias")
        scores = emit("Add", scores, bias, out="masked")
    weights = emit("Softmax", scores, out="weights", axis=-1)
    mixed = emit("MatMul", weights, split(value, "v", (0, 2, 1, 3)), out="mixed")
    joined = emit("Transpose", mixed, out="joined", perm=(0, 2, 1, 3))
    total = int(graph.types[value].shape[2])
    shape = constant(f"joined_{total}", np.array([0, 0, total], np.int64))
    nodes.append(Node("Reshape", (joined, shape), node.outputs, {}, node.name))
    return nodes
