"""Replaces shape computations and rearrangements by as few Reshapes and Transposes as possible.

Matches Flatten, Squeeze, Unsqueeze, and Reshape to a computed shape, wherever the shape of the
result can be written as a constant (0 copies a dim, one -1 is worked out); chains of Reshapes, of
Transposes; and Transposes that only move dims of size 1. Makes one Reshape to a constant shape, or
one Transpose. Sound because a Reshape is known by the shapes on its two sides alone, and Transposes
compose. The Shape, Gather and Concat nodes that computed a target die with their last reader.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ir.dims import Dim, symbols
from ir.dtypes import DTYPE_SETS
from ir.graph import Graph, Node
from layercc.passes.editor import GraphEditor, Replacement, attribute, rewrite
from layercc.passes.infrastructure import graph_pass


@graph_pass("simplify")
def simplify_shapes(graph: Graph) -> Graph:
    """Write rearrangements as Reshapes to constant shapes and as single Transposes."""
    return rewrite(graph, RULES)


def reshape_target(source: Sequence[Dim], result: Sequence[Dim]) -> list[int] | None:
    """The constant second input of a Reshape from one shape to the other; None if there is none.

    Symbolic dims are written 0 where source and result agree, and else as -1, once at most.
    """
    target: list[int] = []
    for axis, dim in enumerate(result):
        if isinstance(dim, int):
            if dim == 0 and not (axis < len(source) and source[axis] == 0):
                return None  # a 0 would copy the source's dim
            target.append(dim)
        elif axis < len(source) and source[axis] == dim:
            target.append(0)
        elif -1 not in target:
            target.append(-1)
        else:
            return None
    if -1 in target and any(dim == 0 for dim in source):
        return None
    return target


def emit_reshape(
    editor: GraphEditor,
    source: str,
    shape: Sequence[Dim],
    like: Node | None = None,
    hint: str | None = None,
) -> str | None:
    """A Reshape of `source` to `shape` with a constant target; None where none expresses it."""
    kind = editor.types[source].with_shape(shape)
    target = reshape_target(editor.shape(source), shape)
    if target is None:
        return None
    name = f"{hint or (like.name if like else source)}.shape"
    constant = editor.add_constant(np.array(target, np.int64), name)
    return editor.emit("Reshape", (source, constant), like=like, hint=hint, type=kind)


def emit_transpose(
    editor: GraphEditor,
    source: str,
    perm: Sequence[int],
    like: Node | None = None,
    hint: str | None = None,
) -> str:
    """A Transpose of `source`: itself if nothing moves, a Reshape if only dims of size 1 do."""
    perm = tuple(perm)
    if perm == tuple(range(len(perm))):
        return source
    shape = editor.shape(source)
    permuted = [shape[axis] for axis in perm]
    if moves_only_ones(shape, perm):
        made = emit_reshape(editor, source, permuted, like, hint)
        if made is not None:
            return made
    kind = editor.types[source].with_shape(permuted)
    return editor.emit("Transpose", (source,), {"perm": perm}, like=like, hint=hint, type=kind)


def moves_only_ones(shape: Sequence[Dim], perm: Sequence[int]) -> bool:
    """Whether a transposition leaves the elements in order."""
    moved = [axis for axis in perm if shape[axis] != 1]
    return moved == sorted(moved)


def permutation(editor: GraphEditor, node: Node) -> tuple[int, ...]:
    """The `perm` of a Transpose, written out."""
    perm = attribute(node, "perm")
    rank = editor.rank(node.inputs[0])
    return tuple(perm) if perm is not None else tuple(reversed(range(rank)))


def _is_asked_for(editor: GraphEditor, target: str, source: str, result: Sequence[Dim]) -> bool:
    """Whether values of an integer input decide the shape `result`, and so whether it fits."""
    given = {name for dim in editor.shape(source) for name in symbols(dim)}
    for value in editor.graph.inputs:
        given |= {name for dim in value.shape for name in symbols(dim)}
    if all(symbols(dim) <= given for dim in result):
        return False
    inputs = {v.name for v in editor.graph.inputs if v.dtype in DTYPE_SETS["int"]}
    seen: set[str] = set()
    todo = [target]
    while todo:
        name = todo.pop()
        if name in inputs:
            return True
        node = editor.producer(name)
        if name not in seen and node is not None and node.op not in ("Shape", "Size"):
            todo += node.reads()
        seen.add(name)
    return False


def _reshape(editor: GraphEditor, node: Node) -> Replacement:
    source, result = node.inputs[0], node.outputs[0]
    shape = editor.shape(result)
    known = node.op != "Reshape" or editor.constant(node.inputs[1]) is not None
    if not known and _is_asked_for(editor, node.inputs[1], source, shape):
        return None
    before = editor.produced_by(source, "Reshape")
    if before is not None:
        original = before.inputs[0]
        if editor.shape(original) == shape:
            return original
        if reshape_target(editor.shape(original), shape) is not None:
            return emit_reshape(editor, original, shape, node)
    if node.op == "Reshape" and known:
        return None
    return emit_reshape(editor, source, shape, node)


def _along_axes(editor: GraphEditor, node: Node) -> Replacement:
    """A Squeeze or Unsqueeze, unless only a run can tell its axes, and whether they fit."""
    if len(node.inputs) > 1 and node.inputs[1] and editor.constant(node.inputs[1]) is None:
        return None
    return _reshape(editor, node)


def _transpose(editor: GraphEditor, node: Node) -> Replacement:
    perm, source = permutation(editor, node), node.inputs[0]
    before = editor.produced_by(source, "Transpose")
    if before is not None:
        inner = permutation(editor, before)
        return emit_transpose(editor, before.inputs[0], [inner[axis] for axis in perm], node)
    if moves_only_ones(editor.shape(source), perm):
        return emit_reshape(editor, source, editor.shape(node.outputs[0]), node)
    return None


def _expand(editor: GraphEditor, node: Node) -> Replacement:
    """An Expand to a computed shape that is known after all: 1 keeps a dim of the input."""
    if editor.constant(node.inputs[1]) is not None:
        return None
    shape, result = editor.shape(node.inputs[0]), editor.shape(node.outputs[0])
    kept = (*[None] * (len(result) - len(shape)), *shape)
    target = [1 if old == new else new for old, new in zip(kept, result, strict=True)]
    if not all(isinstance(dim, int) for dim in target):
        return None
    name = editor.add_constant(np.array(target, np.int64), f"{node.name}.shape")
    return editor.emit(
        "Expand", (node.inputs[0], name), like=node, type=editor.types[node.outputs[0]]
    )


RULES = {
    "Reshape": _reshape,
    "Flatten": _reshape,
    "Squeeze": _along_axes,
    "Unsqueeze": _along_axes,
    "Transpose": _transpose,
    "Expand": _expand,
}
