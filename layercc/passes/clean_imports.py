"""Removes what exporters leave behind: nodes that compute nothing.

Matches Identity, Dropout outside training, Constant, and Cast, Reshape, Transpose, Pad, Slice,
Concat, Expand, Tile, Split, Sum and the like whose output is their input; makes the input (or a
constant) stand in the output's place. Sound because the output has the same type and elements.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ir.graph import Graph, Node
from layercc.passes.editor import GraphEditor, Replacement, Rule, attribute, rewrite
from layercc.passes.infrastructure import graph_pass


@graph_pass("simplify")
def clean_imports(graph: Graph) -> Graph:
    """Remove nodes that compute nothing: Identity, Dropout, casts and reshapes to the same type."""
    return rewrite(graph, RULES)


def _identity(editor: GraphEditor, node: Node) -> Replacement:
    source, result = node.inputs[0], node.outputs[0]
    if editor.is_output(result) and (editor.producer(source) is None or editor.is_output(source)):
        return None  # a graph output needs a node that makes it
    return source


def _dropout(editor: GraphEditor, node: Node) -> Replacement:
    training = node.inputs[2] if len(node.inputs) > 2 else ""
    if training and editor.scalar(training) is not False:
        return None
    if len(node.outputs) > 1 and editor.is_used(node.outputs[1]):
        return None
    return node.inputs[0]


def _constant(editor: GraphEditor, node: Node) -> Replacement:
    for name, dtype in (
        ("value", None),
        ("value_float", np.float32),
        ("value_floats", np.float32),
        ("value_int", np.int64),
        ("value_ints", np.int64),
    ):
        if node.attributes.get(name) is not None:
            return editor.add_constant(np.asarray(node.attributes[name], dtype), node.name)
    return None


def _same_type(editor: GraphEditor, node: Node) -> Replacement:
    """For ops that keep the elements in order: they do nothing if the type stays."""
    source, result = node.inputs[0], node.outputs[0]
    return source if editor.types[source] == editor.types[result] else None


def _transpose(editor: GraphEditor, node: Node) -> Replacement:
    perm = attribute(node, "perm")
    rank = editor.rank(node.inputs[0])
    perm = tuple(perm) if perm is not None else tuple(reversed(range(rank)))
    return node.inputs[0] if perm == tuple(range(rank)) else None


def _pad(editor: GraphEditor, node: Node) -> Replacement:
    pads = editor.constant(node.inputs[1])
    return node.inputs[0] if pads is not None and not pads.any() else None


def _slice(editor: GraphEditor, node: Node) -> Replacement:
    steps = node.inputs[4] if len(node.inputs) > 4 else ""
    if steps:
        known = editor.constant(steps)
        if known is None or (known != 1).any():
            return None
    return _same_type(editor, node)


def _tile(editor: GraphEditor, node: Node) -> Replacement:
    repeats = editor.constant(node.inputs[1])
    return node.inputs[0] if repeats is not None and (repeats == 1).all() else None


def _only_input(editor: GraphEditor, node: Node) -> Replacement:
    return node.inputs[0] if len(node.inputs) == 1 else None


def _split(editor: GraphEditor, node: Node) -> Replacement:
    return node.inputs[0] if len(node.outputs) == 1 else None


def _sum(editor: GraphEditor, node: Node) -> Replacement:
    if len(node.inputs) == 2:
        return editor.emit("Add", node.inputs, like=node)
    return _only_input(editor, node)


def _clip(editor: GraphEditor, node: Node) -> Replacement:
    return node.inputs[0] if not any(node.inputs[1:]) else None


def _neutral(number: int, either_side: bool) -> Rule:
    """For an op that leaves x as it is when the other operand is the constant `number`."""

    def rule(editor: GraphEditor, node: Node) -> Replacement:
        pairs: list[tuple[str, str]] = [(node.inputs[0], node.inputs[1])]
        if either_side:
            pairs.append((node.inputs[1], node.inputs[0]))
        for kept, other in pairs:
            array = editor.constant(other)
            if array is None or array.size > 4096 or not (array == number).all():
                continue
            # x + 0.0 turns -0.0 into 0.0, and x - (-0.0) too
            if number == 0 and array.dtype.kind not in "iu" and node.op == "Add":
                continue
            if editor.types[kept] == editor.types[node.outputs[0]]:
                return kept
        return None

    return rule


RULES: dict[str, Callable[[GraphEditor, Node], Replacement]] = {
    "Identity": _identity,
    "Dropout": _dropout,
    "Constant": _constant,
    "Cast": _same_type,
    "CastLike": _same_type,
    "Reshape": _same_type,
    "Flatten": _same_type,
    "Squeeze": _same_type,
    "Unsqueeze": _same_type,
    "Expand": _same_type,
    "Transpose": _transpose,
    "Pad": _pad,
    "Slice": _slice,
    "Tile": _tile,
    "Concat": _only_input,
    "Max": _only_input,
    "Min": _only_input,
    "Mean": _only_input,
    "Sum": _sum,
    "Split": _split,
    "Clip": _clip,
    "Add": _neutral(0, either_side=True),
    "Sub": _neutral(0, either_side=False),
    "Mul": _neutral(1, either_side=True),
    "Div": _neutral(1, either_side=False),
}
