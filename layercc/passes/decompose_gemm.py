"""Gives contractions one form: MatMul, with scale and bias as pointwise nodes behind it.

Matches Gemm, `alpha * A' @ B' + beta * C`; makes MatMul, with Transposes in front where `transA`
or `transB` ask for them (that of a constant is folded), a Mul by alpha unless it is 1, and an Add
of C. Sound because that is Gemm's definition. The epilogue pass fuses the Add again.
"""

from __future__ import annotations

import numpy as np

from ir.graph import Graph, Node
from layercc.passes.editor import GraphEditor, Replacement, attribute, rewrite
from layercc.passes.infrastructure import graph_pass


@graph_pass("simplify")
def decompose_gemm(graph: Graph) -> Graph:
    """Write Gemm as MatMul and Add."""
    return rewrite(graph, {"Gemm": _gemm})


def _gemm(editor: GraphEditor, node: Node) -> Replacement:
    a, b, c = (*node.inputs, "")[:3]
    if editor.types[a].dtype.value.kind not in "fV":
        return None  # alpha and beta are floats; integers would be rounded
    if attribute(node, "transA"):
        a = _transposed(editor, a)
    if attribute(node, "transB"):
        b = _transposed(editor, b)
    product = editor.emit("MatMul", (a, b), like=node)
    product = _scaled(editor, node, product, attribute(node, "alpha"))
    beta = attribute(node, "beta")
    if not c or beta == 0:
        return product
    c = _scaled(editor, node, c, beta)
    return editor.emit("Add", (product, c), like=node)


def _transposed(editor: GraphEditor, name: str) -> str:
    array = editor.constant(name)
    if array is not None:
        return editor.add_constant(array.T, f"{name}.transposed")
    return editor.emit("Transpose", (name,), {"perm": (1, 0)})


def _scaled(editor: GraphEditor, node: Node, name: str, factor: float) -> str:
    if factor == 1:
        return name
    dtype = editor.types[name].dtype.value
    array = editor.constant(name)
    if array is not None:
        scaled = (array.astype(np.float64) * factor).astype(dtype)
        return editor.add_constant(scaled, f"{name}.scaled")
    number = editor.add_constant(np.array(factor, dtype), f"{node.name}.factor")
    return editor.emit("Mul", (name, number), like=node)
