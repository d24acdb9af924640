"""Folds scaling and shifting by output channel into the weights and bias of a contraction.

Matches `f(x) * s`, `f(x) / s`, `f(x) + t` and `f(x) - t` with constants that vary by output
channel at most, where f is a Conv or ConvTranspose with constant weights that nobody else reads;
makes the same node with scaled weights and bias, or a shifted bias. `(x @ W) * s` and
`(x @ W + b) * s` become `x @ (W * s)` and `x @ (W * s) + b * s`. Sound because contractions are
linear in their weights; each weight is rounded once. Where a scaled weight would not be finite
nothing is folded; nor in f16 and bf16, where the result of each op is rounded, and may overflow.
"""

from __future__ import annotations

import numpy as np

from ir.graph import Graph, Node
from layercc.passes.editor import GraphEditor, Replacement, attribute, rewrite
from layercc.passes.infrastructure import graph_pass
from layercc.passes.precision import is_half


@graph_pass("simplify")
def fold_scale_and_shift(graph: Graph) -> Graph:
    """Fold scales and shifts by output channel into the weights in front."""
    return rewrite(graph, dict.fromkeys(("Mul", "Div", "Add", "Sub"), _affine))


def _affine(editor: GraphEditor, node: Node) -> Replacement:
    sides = [node.inputs, node.inputs[::-1]] if node.op in ("Mul", "Add") else [node.inputs]
    for x, c in sides:
        constant = editor.constant(c)
        if constant is None or is_half(editor, x) or not editor.single_use(x):
            continue
        kind = editor.types[x]
        if kind.dtype.value.kind != "f" or kind != editor.types[node.outputs[0]]:
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
    vector = _by_channel(constant, len(shape), channel)
    filters = shape[channel]
    if vector is None or not isinstance(filters, int):
        return None
    vector = np.broadcast_to(vector, filters)
    if node.op in ("Add", "Sub"):
        old = np.zeros(filters, weight.dtype) if bias is None else bias
        bias = old + vector if node.op == "Add" else old - vector
    else:
        weight = _scaled(node, weight, _along_filters(convolution, weight.shape, vector))
        bias = None if bias is None else _scaled(node, bias, vector)
        if not _is_finite(weight) or (bias is not None and not _is_finite(bias)):
            return None
        w = editor.add_constant(weight, f"{node.name}.weight")
    inputs = [x, w]
    if bias is not None:
        inputs.append(editor.add_constant(bias, f"{node.name}.bias"))
    return editor.emit(
        convolution.op,
        inputs,
        convolution.attributes,
        like=node,
        type=editor.types[node.outputs[0]],
    )


def _into_product(editor: GraphEditor, node: Node, x: str, constant: np.ndarray) -> Replacement:
    """`(A @ W) * s`, and `(A @ W + b) * s`."""
    bias = None
    total = editor.produced_by(x, "Add")
    if total is not None:
        for inner, b in (total.inputs, total.inputs[::-1]):
            if editor.constant(b) is not None and editor.single_use(inner):
                x, bias = inner, editor.constant(b)
                break
    product = editor.produced_by(x, "MatMul")
    if product is None or editor.types[x] != editor.types[node.outputs[0]]:
        return None
    weight = editor.constant(product.inputs[1])
    rank = editor.rank(x)
    vector = _by_channel(constant, rank, rank - 1)
    if weight is None or weight.ndim < 2 or vector is None:
        return None
    weight = _scaled(node, weight, vector)
    if bias is not None:
        if bias.shape[-1:] not in ((1,), weight.shape[-1:]):
            return None
        bias = _scaled(node, bias, vector)
    if not _is_finite(weight) or (bias is not None and not _is_finite(bias)):
        return None
    w = editor.add_constant(weight, f"{node.name}.weight")
    made = editor.emit("MatMul", (product.inputs[0], w), like=node)
    if bias is not None:
        b = editor.add_constant(bias, f"{node.name}.bias")
        made = editor.emit("Add", (made, b), like=node)
    return made


def _by_channel(constant: np.ndarray, rank: int, channel: int) -> np.ndarray | None:
    """A constant broadcast over a tensor of this rank, as a vector; None if another axis varies."""
    if constant.ndim > rank:
        return None
    shape = (*[1] * (rank - constant.ndim), *constant.shape)
    if any(dim != 1 for axis, dim in enumerate(shape) if axis != channel):
        return None
    return constant.reshape(-1)


def _along_filters(convolution: Node, shape: tuple[int, ...], vector: np.ndarray) -> np.ndarray:
    """A number for each output channel, shaped to broadcast over the weights."""
    spatial = [1] * (len(shape) - 2)
    if convolution.op == "Conv":  # [M, C/group, kernel...]
        return vector.reshape(-1, 1, *spatial)
    group = attribute(convolution, "group")  # [C, M/group, kernel...]
    rows = np.repeat(vector.reshape(group, shape[1]), shape[0] // group, axis=0)
    return rows.reshape(*shape[:2], *spatial)


def _scaled(node: Node, array: np.ndarray, by: np.ndarray) -> np.ndarray:
    with np.errstate(all="ignore"):
        return array * by if node.op == "Mul" else array / by


def _is_finite(array: np.ndarray) -> bool:
    """Whether all elements are finite, in one pass; may be false if some are huge."""
    with np.errstate(all="ignore"):
        return bool(np.isfinite(array.sum()))
