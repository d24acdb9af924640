"""Folds scaling and shifting by channel into the weights and bias of a contraction.

First, BatchNormalization outside training becomes `x * s + t`, with s = scale / sqrt(var + epsilon)
and t = bias - mean * s, computed in float64 and shaped to broadcast in the node's layout. Then
`f(x) * s`, `f(x) / s`, `f(x) + t` and `f(x) - t` with constants by output channel are folded into
f's weights and bias, where f is a Conv or ConvTranspose with constant weights that nobody else
reads; `(x @ W + b) * s` becomes `x @ (W * s) + b * s`. Sound because contractions are linear in
their weights; as the weights are rounded once, the result is as accurate as before.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ir.graph import Graph, Node
from layercc.passes.editor import GraphEditor, Replacement, attribute, rewrite
from layercc.passes.infrastructure import graph_pass


@graph_pass("simplify")
def fold_batch_normalization(graph: Graph) -> Graph:
    """Fold BatchNormalization, and scales and shifts by channel, into contractions' weights."""
    return rewrite(graph, RULES)


def _batch_normalization(editor: GraphEditor, node: Node) -> Replacement:
    x = node.inputs[0]
    if attribute(node, "training_mode") or any(map(editor.is_used, node.outputs[1:])):
        return None
    parameters = [editor.constant(name) for name in node.inputs[1:5]]
    if any(array is None for array in parameters):
        return None
    scale, bias, mean, var = (np.asarray(array, np.float64) for array in parameters)
    dtype = editor.types[x].dtype.value
    with np.errstate(all="ignore"):
        factor = scale / np.sqrt(var + attribute(node, "epsilon"))
        shift = bias - mean * factor
    trailing = 0 if attribute(node, "channels_last") else max(editor.rank(x) - 2, 0)
    column = (-1, *[1] * trailing)
    s = editor.add_constant(factor.astype(dtype).reshape(column), f"{node.name}.scale")
    t = editor.add_constant(shift.astype(dtype).reshape(column), f"{node.name}.shift")
    scaled = editor.emit("Mul", (x, s), like=node)
    return editor.emit("Add", (scaled, t), like=node)


def _affine(editor: GraphEditor, node: Node) -> Replacement:
    """`f(x) op constant`, the constant varying by output channel at most."""
    for x, c in ((node.inputs[0], node.inputs[1]), (node.inputs[1], node.inputs[0])):
        constant = editor.constant(c)
        if constant is None or not editor.single_use(x):
            continue
        if constant.dtype.kind != "f" or editor.types[x] != editor.types[node.outputs[0]]:
            continue
        if x == node.inputs[1] and node.op in ("Sub", "Div"):
            continue
        if convolution := editor.produced_by(x, "Conv", "ConvTranspose"):
            return _into_convolution(editor, node, convolution, constant)
        if node.op in ("Mul", "Div"):
            return _into_product(editor, node, x, constant)
    return None


def _into_convolution(
    editor: GraphEditor, node: Node, convolution: Node, constant: np.ndarray
) -> Replacement:
    x, w, b = (*convolution.inputs, "")[:3]
    weight, bias = editor.constant(w), editor.constant(b)
    if weight is None or (b and bias is None):
        return None
    shape = editor.shape(convolution.outputs[0])
    channel = len(shape) - 1 if attribute(convolution, "channels_last") else 1
    filters = shape[channel]
    vector = _by_channel(constant, len(shape), channel)
    if vector is None or not isinstance(filters, int):
        return None
    vector = np.broadcast_to(vector, filters)
    old_bias = np.zeros(filters) if bias is None else bias.astype(np.float64)
    if node.op in ("Add", "Sub"):
        new_weight = None
        new_bias = old_bias + vector if node.op == "Add" else old_bias - vector
    else:
        with np.errstate(all="ignore"):
            factor = vector if node.op == "Mul" else 1 / vector
            new_weight = weight * _along_filters(convolution, weight.shape, factor)
            new_bias = old_bias * factor
        if not (np.isfinite(new_weight).all() and np.isfinite(new_bias).all()):
            return None
    if new_weight is not None:
        w = editor.add_constant(new_weight.astype(weight.dtype), f"{node.name}.weight")
    if new_weight is None or b:
        b = editor.add_constant(new_bias.astype(weight.dtype), f"{node.name}.bias")
    inputs = (x, w, b) if b else (x, w)
    return editor.emit(
        convolution.op,
        inputs,
        convolution.attributes,
        like=node,
        type=editor.types[node.outputs[0]],
    )


def _into_product(
    editor: GraphEditor, node: Node, x: str, constant: np.ndarray
) -> Replacement:
    """`(A @ W) * s`, and `(A @ W + b) * s`."""
    bias = None
    sum_node = editor.produced_by(x, "Add")
    if sum_node is not None:
        for inner, b in (sum_node.inputs, sum_node.inputs[::-1]):
            if editor.constant(b) is not None and editor.single_use(inner):
                x, bias = inner, editor.constant(b)
                break
    product = editor.produced_by(x, "MatMul")
    if product is None:
        return None
    weight = editor.constant(product.inputs[1])
    if weight is None or weight.ndim < 2 or weight.size != np.prod(weight.shape[-2:]):
        return None
    rank = editor.rank(x)
    vector = _by_channel(constant, rank, rank - 1)
    if vector is None or editor.types[x] != editor.types[node.outputs[0]]:
        return None
    with np.errstate(all="ignore"):
        factor = vector if node.op == "Mul" else 1 / vector
        new_weight = weight * factor
    if not np.isfinite(new_weight).all():
        return None
    if bias is not None:
        vector_bias = _by_channel(bias, rank, rank - 1)
        if vector_bias is None:
            return None
        new_bias = (vector_bias * factor).astype(bias.dtype)
    w = editor.add_constant(new_weight.astype(weight.dtype), f"{node.name}.weight")
    scaled = editor.emit("MatMul", (product.inputs[0], w), like=node)
    if bias is None:
        return scaled
    b = editor.add_constant(new_bias, f"{node.name}.bias")
    return editor.emit("Add", (scaled, b), like=node)


def _by_channel(constant: np.ndarray, rank: int, channel: int) -> np.ndarray | None:
    """A constant broadcast over a tensor of this rank, as a vector; None if another axis varies."""
    if constant.ndim > rank:
        return None
    shape = (*[1] * (rank - constant.ndim), *constant.shape)
    if any(dim != 1 for axis, dim in enumerate(shape) if axis != channel):
        return None
    return constant.astype(np.float64).reshape(-1)


def _along_filters(
    convolution: Node, shape: Sequence[int], factor: np.ndarray
) -> np.ndarray:
    """A factor for each output channel, shaped to scale the weights."""
    spatial = [1] * (len(shape) - 2)
    if convolution.op == "Conv":  # [M, C/group, kernel...]
        return factor.reshape(-1, 1, *spatial)
    group = attribute(convolution, "group")  # [C, M/group, kernel...]
    rows = np.repeat(factor.reshape(group, -1), shape[0] // group, axis=0)
    return rows.reshape(shape[0], -1, *spatial)


RULES = {
    "BatchNormalization": _batch_normalization,
    "Mul": _affine,
    "Div": _affine,
    "Add": _affine,
    "Sub": _affine,
}
