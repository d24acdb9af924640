"""Recognises the mask by which a position sees no later one.

Matches an Attention whose mask is a constant lower triangle (0 and -inf, or booleans), or the
triangle that an exporter builds at run time, `where(trilu(ones) == 0, -inf, 0)`, with as many
queries as keys; makes the op's `is_causal`, and drops the mask. Sound because that is what
`is_causal` adds to the scores. Nothing of the square of the sequence length is then stored.
"""

from __future__ import annotations

import math

import numpy as np

from ir.graph import Graph, Node
from layercc.passes.editor import GraphEditor, Replacement, attribute, rewrite
from layercc.passes.infrastructure import graph_pass
from layercc.passes.matching import find

_BUILT = (
    "Where(Equal((triangle := Trilu(Expand(1, shape))), 0), hidden, 0)"
    " | Where(Cast((triangle := Trilu(Expand(1, shape)))), 0, hidden)"
)


@graph_pass("simplify")
def recognize_causal_mask(graph: Graph) -> Graph:
    """Recognise the mask of causal attention."""
    return rewrite(graph, {"Attention": _attention})


def _attention(editor: GraphEditor, node: Node) -> Replacement:
    if len(node.inputs) != 4 or not node.inputs[3] or attribute(node, "is_causal"):
        return None
    if len(node.outputs) > 1 and any(map(editor.is_used, node.outputs[1:])):
        return None
    mask = node.inputs[3]
    queries, keys = (editor.shape(name)[-2] for name in node.inputs[:2])
    if len(editor.shape(node.inputs[0])) == 3:
        queries, keys = (editor.shape(name)[1] for name in node.inputs[:2])
    shape = editor.shape(mask)
    if queries != keys or shape[-2:] != (queries, keys) or any(dim != 1 for dim in shape[:-2]):
        return None
    if not (_is_triangle(editor.constant(mask)) or _is_built(editor, mask)):
        return None
    attributes = {**node.attributes, "is_causal": 1}
    return editor.emit("Attention", node.inputs[:3], attributes, like=node)


def _is_triangle(mask: np.ndarray | None) -> bool:
    """Whether a constant hides just what is above the diagonal."""
    if mask is None:
        return False
    length = mask.shape[-1]
    square = mask.reshape(length, length)
    seen = np.tri(length, dtype=bool)
    if square.dtype == bool:
        return np.array_equal(square, seen)
    return bool((square[seen] == 0).all() and np.isneginf(square[~seen]).all())


def _is_built(editor: GraphEditor, mask: str) -> bool:
    root = editor.produced_by(mask, "Where")
    match = find(editor, root, _BUILT) if root is not None else None
    if match is None or editor.scalar(match["hidden"]) != -math.inf:
        return False
    triangle = editor.producer(match["triangle"])
    return triangle is not None and not attribute(triangle, "upper") and len(triangle.inputs) == 1
