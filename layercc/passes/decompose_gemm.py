"""Gives contractions one form: MatMul, with scale and bias as pointwise nodes behind it.

Matches Gemm, `alpha * A' @ B' + beta * C`; makes MatMul, with Transposes in front where `transA`
or `transB` ask for them (that of a constant is folded), a Mul by alpha unless it is 1, and an Add
of C. Sound because that is Gemm's definition; f16 and bf16 are computed in f32, so that the result
is rounded once. The epilogue pass fuses the Add again. A product of integers is cast to f64 and
back where alpha or beta is no whole number.
"""

from __future__ import annotations

import numpy as np

from ir.dtypes import DType
from ir.graph import Graph, Node
from ir.ops.matrix import in_floats, scalar_of
from layercc.passes.editor import GraphEditor, Replacement, attribute, rewrite
from layercc.passes.infrastructure import graph_pass
from layercc.passes.precision import in_f32, in_type, in_type_of


@graph_pass("simplify")
def decompose_gemm(graph: Graph) -> Graph:
    """Write Gemm as MatMul and Add."""
    return rewrite(graph, {"Gemm": _gemm})


def _gemm(editor: GraphEditor, node: Node) -> Replacement:
    a, b, c = (*node.inputs, "")[:3]
    alpha, beta = attribute(node, "alpha"), attribute(node, "beta")
    original = a
    c = c if beta != 0 else ""
    if c or alpha != 1:
        a, b, c = (in_f32(editor, name) for name in (a, b, c))
    if attribute(node, "transA"):
        a = _transposed(editor, a)
    if attribute(node, "transB"):
        b = _transposed(editor, b)
    product = editor.emit("MatMul", (a, b), like=node)
    if in_floats(editor.types[original].dtype, alpha, beta):
        product, c = (in_type(editor, name, DType.f64) for name in (product, c))
    product = _scaled(editor, node, product, alpha)
    if c:
        c = _scaled(editor, node, c, beta)
        product = editor.emit("Add", (product, c), like=node)
    return in_type_of(editor, product, original, node)


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
        wide = array if dtype.kind in "iu" else array.astype(np.float64)
        scaled = (wide * scalar_of(wide.dtype, factor)).astype(dtype)
        return editor.add_constant(scaled, f"{name}.scaled")
    number = editor.add_constant(scalar_of(dtype, factor), f"{node.name}.factor")
    return editor.emit("Mul", (name, number), like=node)
