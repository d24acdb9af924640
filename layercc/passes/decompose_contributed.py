"""Writes onnxruntime's contributed ops in standard ones.

Matches SkipLayerNormalization, SkipSimplifiedLayerNormalization and FusedMatMul of the domain
com.microsoft, which onnxruntime's optimiser puts into saved models; makes Add with
LayerNormalization or RMSNormalization; Transpose, MatMul and Mul. Sound because those are the ops'
definitions.
"""

from __future__ import annotations

import numpy as np

from ir.graph import Graph, Node
from layercc.passes.editor import GraphEditor, Replacement, attribute, rewrite
from layercc.passes.infrastructure import graph_pass
from layercc.passes.precision import in_f32, in_type_of, is_half
from layercc.passes.simplify_shapes import emit_transpose


@graph_pass("simplify")
def decompose_contributed(graph: Graph) -> Graph:
    """Write onnxruntime's skip normalisations and FusedMatMul in standard ops."""
    rules = {
        "com.microsoft.SkipLayerNormalization": _skip_layer_normalization,
        "com.microsoft.SkipSimplifiedLayerNormalization": _skip_rms_normalization,
        "com.microsoft.FusedMatMul": _fused_matmul,
    }
    return rewrite(graph, rules)


def _skip_layer_normalization(editor: GraphEditor, node: Node) -> Replacement:
    _, _, gamma, beta, bias = (*node.inputs, "", "")[:5]
    scale = (gamma, beta) if beta else (gamma,)
    return _normalized_sum(editor, node, "LayerNormalization", scale, bias)


def _skip_rms_normalization(editor: GraphEditor, node: Node) -> Replacement:
    bias = (*node.inputs, "")[3]
    return _normalized_sum(editor, node, "RMSNormalization", (node.inputs[2],), bias)


def _normalized_sum(
    editor: GraphEditor, node: Node, op: str, scale: tuple[str, ...], bias: str
) -> Replacement:
    if any(map(editor.is_used, node.outputs[1:3])):
        return None  # mean and deviation, for training
    if bias and is_half(editor, bias):
        total = editor.emit("Sum", (*node.inputs[:2], bias), like=node)  # rounds once
    else:
        total = editor.emit("Add", node.inputs[:2], like=node)
        total = editor.emit("Add", (total, bias), like=node) if bias else total
    attributes = {"axis": -1, "epsilon": attribute(node, "epsilon")}
    normalized = editor.emit(op, (total, *scale), attributes, like=node)
    return (normalized, "", "", total)[: len(node.outputs)]


def _fused_matmul(editor: GraphEditor, node: Node) -> Replacement:
    if attribute(node, "transBatchA") or attribute(node, "transBatchB"):
        return None
    alpha = attribute(node, "alpha")
    a, b = node.inputs if alpha == 1 else (in_f32(editor, name) for name in node.inputs)
    if attribute(node, "transA"):
        a = _swapped(editor, a)
    if attribute(node, "transB"):
        b = _swapped(editor, b)
    product = editor.emit("MatMul", (a, b), like=node)
    if alpha == 1:
        return product
    dtype = editor.types[product].dtype.value
    factor = editor.add_constant(np.array(alpha, dtype), f"{node.name}.alpha")
    scaled = editor.emit("Mul", (product, factor), like=node)
    return in_type_of(editor, scaled, node.inputs[0], node)


def _swapped(editor: GraphEditor, name: str) -> str:
    rank = editor.rank(name)
    if rank < 2:
        return name
    perm = [*range(rank - 2), rank - 1, rank - 2]
    return emit_transpose(editor, name, perm, hint=f"{name}.transposed")
