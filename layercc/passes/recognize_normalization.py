"""Recognises layer and RMS normalisation that an exporter wrote out.

Matches `d / sqrt(mean(d**2) + epsilon)` with `d = x - mean(x)` over the last axes, and the same
with x in the place of d; makes LayerNormalization or RMSNormalization with a scale of ones. A Mul
behind it by a constant of the normalised shape becomes the scale, and an Add the bias. Sound as
these are the ops' definitions (Ba et al., arXiv 1607.06450; Zhang and Sennrich, arXiv 1910.07467).
"""

from __future__ import annotations

import numpy as np

from ir.graph import Graph, Node
from layercc.passes.editor import GraphEditor, Replacement, attribute, rewrite
from layercc.passes.infrastructure import graph_pass
from layercc.passes.matching import Match, find

_INVERSE = "(r := Sqrt(Add((variance := ReduceMean(Pow(d, 2) | Mul(d, d))), epsilon)))"
_CENTRED = "(d := Sub(x, (mean := ReduceMean(x))))"
_LAYER = tuple(
    text.replace("@", _CENTRED).replace("#", _INVERSE)
    for text in ("Div(@, #)", "Mul(@, Reciprocal(#))", "Mul(@, Div(1, #))")
)
_RMS = tuple(text.replace(_CENTRED, "d") for text in _LAYER)


@graph_pass("simplify")
def recognize_normalization(graph: Graph) -> Graph:
    """Recognise LayerNormalization and RMSNormalization written out."""
    return rewrite(graph, {"Div": _core, "Mul": _mul, "Add": _bias})


def _core(editor: GraphEditor, node: Node) -> Replacement:
    for op, patterns, x in (
        ("LayerNormalization", _LAYER, "x"),
        ("RMSNormalization", _RMS, "d"),
    ):
        match = find(editor, node, *patterns)
        if match is not None:
            return _emit(editor, node, op, match, match[x])
    return None


def _emit(editor: GraphEditor, node: Node, op: str, match: Match, x: str) -> Replacement:
    epsilon = editor.scalar(match["epsilon"])
    rank = editor.rank(x)
    means = [editor.producer(match[name]) for name in ("mean", "variance") if name in match.values]
    axes = {_trailing_axis(editor, mean, rank) for mean in means if mean is not None}
    if epsilon is None or len(axes) != 1 or None in axes:
        return None
    kind = editor.types[x]
    (axis,) = axes
    assert axis is not None
    shape = kind.shape[axis:]
    if kind != editor.types[node.outputs[0]] or not all(isinstance(dim, int) for dim in shape):
        return None
    ones = editor.add_constant(np.ones(shape, kind.dtype.value), f"{node.name}.scale")  # type: ignore[arg-type]
    attributes = {"axis": axis - rank, "epsilon": float(epsilon)}
    return editor.emit(op, (x, ones), attributes, like=node)


def _trailing_axis(editor: GraphEditor, mean: Node, rank: int) -> int | None:
    """The first of the axes of a mean, if it is over the last axes and keeps them as dims."""
    if not attribute(mean, "keepdims") or len(mean.inputs) < 2 or not mean.inputs[1]:
        return None
    axes = editor.constant(mean.inputs[1])
    if axes is None or axes.size == 0:
        return None
    places = sorted(int(axis) % rank for axis in axes)
    return places[0] if places == list(range(places[0], rank)) else None


def _mul(editor: GraphEditor, node: Node) -> Replacement:
    made = _core(editor, node)
    if made is not None:
        return made
    for value, factor in (node.inputs, node.inputs[::-1]):
        norm = editor.produced_by(value, "LayerNormalization", "RMSNormalization")
        if norm is None or not _is_absorbed(editor, norm, value, factor):
            continue
        scale = editor.constant(norm.inputs[1])
        if len(norm.inputs) > 2 or scale is None or scale.size > 1 << 16 or (scale != 1).any():
            continue
        return editor.emit(norm.op, (norm.inputs[0], factor), norm.attributes, like=node)
    return None


def _bias(editor: GraphEditor, node: Node) -> Replacement:
    for value, bias in (node.inputs, node.inputs[::-1]):
        norm = editor.produced_by(value, "LayerNormalization")
        if norm is None or len(norm.inputs) > 2 or not _is_absorbed(editor, norm, value, bias):
            continue
        return editor.emit(norm.op, (*norm.inputs[:2], bias), norm.attributes, like=node)
    return None


def _is_absorbed(editor: GraphEditor, norm: Node, value: str, parameter: str) -> bool:
    """Whether a parameter has the normalised shape, and nobody else reads the normalised value."""
    if editor.constant(parameter) is None or not editor.single_use(value):
        return False
    if any(map(editor.is_used, norm.outputs[1:])):
        return False
    shape = editor.shape(norm.inputs[0])
    axis = attribute(norm, "axis") % len(shape)
    return editor.shape(parameter) == shape[axis:]
