"""Writes arithmetic with constants in its cheapest form, where the result is the same.

Matches Pow with exponent 2, 1, 0.5 or -1; Div by a power of two, whose reciprocal is exact; PRelu
with one slope; Max with 0, and Clip from 0 without upper bound; makes Mul, Sqrt, Reciprocal, Mul by
the reciprocal, LeakyRelu and Relu. Other divisions stay: a product with a rounded reciprocal is not
the rounded quotient. CastLike becomes Cast, which needs no second tensor.
"""

from __future__ import annotations

import numpy as np

from ir.graph import Graph, Node
from layercc.passes.editor import GraphEditor, Replacement, rewrite
from layercc.passes.infrastructure import graph_pass


@graph_pass("simplify")
def simplify_arithmetic(graph: Graph) -> Graph:
    """Write powers, exact divisions and one-sided clips in their cheapest form."""
    rules = {
        "Pow": _pow,
        "Div": _div,
        "PRelu": _prelu,
        "Max": _max,
        "Clip": _clip,
        "CastLike": _cast_like,
    }
    return rewrite(graph, rules)


def _pow(editor: GraphEditor, node: Node) -> Replacement:
    x = node.inputs[0]
    exponent = editor.scalar(node.inputs[1])
    if exponent is None or editor.rank(node.inputs[1]) > editor.rank(x):
        return None
    is_float = editor.types[x].dtype.value.kind in "fV"
    if exponent == 2:
        return editor.emit("Mul", (x, x), like=node)
    if exponent == 1:
        return x
    if exponent == 0.5 and is_float:
        return editor.emit("Sqrt", (x,), like=node)
    if exponent == -1 and is_float:
        return editor.emit("Reciprocal", (x,), like=node)
    return None


def _div(editor: GraphEditor, node: Node) -> Replacement:
    x, divisor = node.inputs
    array = editor.constant(divisor)
    if array is None or array.dtype.kind != "f" or editor.constant(x) is not None:
        return None
    with np.errstate(all="ignore"):
        mantissas, _ = np.frexp(array)
        reciprocal = (1 / array).astype(array.dtype)
    normal = np.abs(reciprocal) >= np.finfo(array.dtype).tiny
    if not ((np.abs(mantissas) == 0.5) & normal & np.isfinite(reciprocal)).all():
        return None
    factor = editor.add_constant(reciprocal, f"{node.name}.factor")
    return editor.emit("Mul", (x, factor), like=node)


def _prelu(editor: GraphEditor, node: Node) -> Replacement:
    slope = editor.scalar(node.inputs[1])
    if slope is None or editor.types[node.inputs[0]].dtype.value.kind not in "fV":
        return None
    return editor.emit("LeakyRelu", (node.inputs[0],), {"alpha": float(slope)}, like=node)


def _max(editor: GraphEditor, node: Node) -> Replacement:
    if len(node.inputs) != 2:
        return None
    for x, bound in (node.inputs, node.inputs[::-1]):
        if editor.scalar(bound) == 0 and editor.types[x] == editor.types[node.outputs[0]]:
            return editor.emit("Relu", (x,), like=node)
    return None


def _clip(editor: GraphEditor, node: Node) -> Replacement:
    x, low, high = (*node.inputs, "", "")[:3]
    if low and editor.scalar(low) == 0 and not high:
        return editor.emit("Relu", (x,), like=node)
    return None


def _cast_like(editor: GraphEditor, node: Node) -> Replacement:
    target = editor.types[node.outputs[0]].dtype
    attributes = {**node.attributes, "to": target.onnx}
    return editor.emit("Cast", (node.inputs[0],), attributes, like=node)
