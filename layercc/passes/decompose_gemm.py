"""Gives contractions one form: MatMul, with scale and bias as pointwise nodes behind it.

Matches Gemm, `alpha * A' @ B' + beta * C`; makes MatMul, with Transposes in front where `transA`
or `transB` ask for them (that of a constant is folded), a Mul by alpha unless it is 1, and an Add
of C. Sound because that is Gemm's definition. The epilogue pass fuses the Add again. A product of
integers is cast to f64 and back where alpha or beta is no whole number.
"""

from __future__ import annotations

import numpy as np

from ir.dtypes import ONNX_DTYPES, DType
from ir.graph import Graph, Node
from ir.ops.matrix import in_floats, scalar_of
from layercc.passes.editor import GraphEditor, Replacement, attribute, rewrite
from layercc.passes.infrastructure import graph_pass

_CODES = {dtype: code for code, dtype in ONNX_DTYPES.items()}


@graph_pass("simplify")
def decompose_gemm(graph: Graph) -> Graph:
    """Write Gemm as MatMul and Add."""
    return rewrite(graph, {"Gemm": _gemm})


def _gemm(editor: GraphEditor, node: Node) -> Replacement:
    a, b, c = (*node.inputs, "")[:3]
    alpha, beta = attribute(node, "alpha"), attribute(node, "beta")
    dtype = editor.types[a].dtype
    if attribute(node, "transA"):
        a = _transposed(editor, a)
    if attribute(node, "transB"):
        b = _transposed(editor, b)
    product = editor.emit("MatMul", (a, b), like=node)
    floats = in_floats(dtype, alpha, beta)
    if floats:
        product, c = (name and _cast(editor, name, DType.f64) for name in (product, c))
    product = _scaled(editor, node, product, alpha)
    if c and beta != 0:
        c = _scaled(editor, node, c, beta)
        product = editor.emit("Add", (product, c), like=node)
    return _cast(editor, product, dtype) if floats else product


def _cast(editor: GraphEditor, name: str, dtype: DType) -> str:
    return editor.emit("Cast", (name,), {"to": _CODES[dtype]})


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
