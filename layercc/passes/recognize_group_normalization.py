"""Recognises group normalisation that an exporter wrote out.

Matches a Reshape of [N, C, spatial...] to [N, groups, -1], InstanceNormalization with scale 1 and
bias 0, and a Reshape back; makes GroupNormalization. A Mul by a constant by channel behind it
becomes the scale, and an Add the bias. Sound because the channels of a group are neighbours, so
that a group is one row of the reshaped tensor (Wu and He, arXiv 1803.08494).
"""

from __future__ import annotations

import numpy as np

from ir.graph import Graph, Node
from layercc.passes.editor import GraphEditor, Replacement, attribute, rewrite
from layercc.passes.infrastructure import graph_pass


@graph_pass("simplify")
def recognize_group_normalization(graph: Graph) -> Graph:
    """Recognise GroupNormalization written as InstanceNormalization between Reshapes."""
    if not any(node.op.endswith("Normalization") for node in graph.nodes):
        return graph
    return rewrite(graph, {"Reshape": _core, "Mul": _scale, "Add": _bias})


def _core(editor: GraphEditor, node: Node) -> Replacement:
    norm = editor.produced_by(node.inputs[0], "InstanceNormalization")
    split = norm and editor.produced_by(norm.inputs[0], "Reshape")
    if norm is None or split is None or not editor.single_use(node.inputs[0]):
        return None
    x = split.inputs[0]
    shape, rows = editor.shape(x), editor.shape(norm.inputs[0])
    if len(rows) != 3 or len(shape) < 3 or editor.shape(node.outputs[0]) != shape:
        return None
    channels, groups = shape[1], rows[1]
    if attribute(norm, "channels_last") or rows[0] != shape[0]:
        return None
    if not isinstance(channels, int) or not isinstance(groups, int) or channels % groups:
        return None
    scale, bias = (editor.constant(name) for name in norm.inputs[1:3])
    if scale is None or bias is None or (scale != 1).any() or bias.any():
        return None
    ones = editor.add_constant(np.ones(channels, scale.dtype), f"{node.name}.scale")
    zeros = editor.add_constant(np.zeros(channels, bias.dtype), f"{node.name}.bias")
    attributes = {"num_groups": groups, "epsilon": attribute(norm, "epsilon")}
    return editor.emit("GroupNormalization", (x, ones, zeros), attributes, like=node)


def _scale(editor: GraphEditor, node: Node) -> Replacement:
    for value, factor in (node.inputs, node.inputs[::-1]):
        norm = _sole(editor, value)
        vector = norm and _by_channel(editor, norm, factor)
        if norm is None or vector is None:
            continue
        x, scale, bias = norm.inputs
        ones, zeros = editor.constant(scale), editor.constant(bias)
        if ones is None or zeros is None or (ones != 1).any() or zeros.any():
            continue
        s = editor.add_constant(vector, f"{node.name}.scale")
        return editor.emit(norm.op, (x, s, bias), norm.attributes, like=node)
    return None


def _bias(editor: GraphEditor, node: Node) -> Replacement:
    for value, shift in (node.inputs, node.inputs[::-1]):
        norm = _sole(editor, value)
        vector = norm and _by_channel(editor, norm, shift)
        if norm is None or vector is None:
            continue
        x, scale, bias = norm.inputs
        zeros = editor.constant(bias)
        if zeros is None or zeros.any():
            continue
        b = editor.add_constant(vector, f"{node.name}.bias")
        return editor.emit(norm.op, (x, scale, b), norm.attributes, like=node)
    return None


def _sole(editor: GraphEditor, value: str) -> Node | None:
    return editor.produced_by(value, "GroupNormalization") if editor.single_use(value) else None


def _by_channel(editor: GraphEditor, norm: Node, name: str) -> np.ndarray | None:
    """A constant of shape [C, 1, ...] (or with a 1 in front) as a vector over channels."""
    array = editor.constant(name)
    shape = editor.shape(norm.inputs[0])
    if array is None or attribute(norm, "channels_last"):
        return None
    column = (shape[1], *[1] * (len(shape) - 2))
    return array.reshape(-1) if array.shape in (column, (1, *column)) else None
