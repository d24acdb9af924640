"""Recognises scaled dot-product attention that an exporter wrote out.

Matches `softmax(scale * Q @ K' + mask) @ V` on [batch, heads, sequence, head_size], the scale in
any place (a product or quotient, on Q, on K or on the scores), the mask added, or chosen by a Where
against -inf; makes the op Attention. Then, where heads were split from
[batch, sequence, heads * head_size] by Reshape and Transpose and joined again behind, makes the
packed form of the op, which needs none of the four Transposes. Sound because that is the op's
definition (Vaswani et al., arXiv 1706.03762). Where all scores of a row are -inf, ONNX's Attention
gives zeros and its Softmax NaN: what is made here says `fully_masked="nan"`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from ir.dims import Dim, lower_bound, substitute, symbols
from ir.graph import Graph, Node
from layercc.passes.editor import GraphEditor, Replacement, attribute, rewrite
from layercc.passes.infrastructure import graph_pass
from layercc.passes.simplify_shapes import emit_reshape, emit_transpose, permutation


@graph_pass("simplify")
def recognize_attention(graph: Graph) -> Graph:
    """Recognise scaled dot-product attention written out, and the splitting of heads around it."""
    return rewrite(graph, {"MatMul": _attention, "Reshape": _packed})


def _attention(editor: GraphEditor, node: Node) -> Replacement:
    softmax = _sole(editor, node.inputs[0], "Softmax")
    if softmax is None or editor.rank(node.outputs[0]) != 4:
        return None
    if attribute(softmax, "axis") not in (-1, 3):
        return None
    scores, mask, forbids = _split_mask(editor, softmax.inputs[0])
    scores, scale = _split_scale(editor, scores)
    product = _sole(editor, scores, "MatMul")
    if product is None:
        return None
    q, scale_q = _split_scale(editor, product.inputs[0])
    k_transposed, scale_k = _split_scale(editor, product.inputs[1])
    v = node.inputs[1]
    k = _untransposed(editor, k_transposed)
    if k is None or not _fit(editor, q, k_transposed, v):
        return None
    keys = editor.shape(v)[2]
    if mask and not _covers(editor.shape(mask), keys):
        return None  # the op masks keys beyond a shorter mask
    perm = k[1]
    inputs = [q, emit_transpose(editor, k[0], perm, hint=f"{node.name}.key"), v]
    if mask:
        inputs.append(editor.emit("Not", (mask,), like=node) if forbids else mask)
    attributes = {"scale": float(scale * scale_q * scale_k), "fully_masked": "nan"}
    return editor.emit(
        "Attention", inputs, attributes, like=node, type=editor.types[node.outputs[0]]
    )


def _sole(editor: GraphEditor, name: str, *ops: str) -> Node | None:
    """The maker of a value if it is one of these ops and nobody else reads the value."""
    return editor.produced_by(name, *ops) if editor.single_use(name) else None


def _split_mask(editor: GraphEditor, scores: str) -> tuple[str, str, bool]:
    """Scores before a mask was applied to them, the mask (empty if there is none), and whether it
    is true where a key must *not* be seen. Added masks are floats, chosen ones (Where) booleans.
    """
    kind = editor.types[scores]
    choice = _sole(editor, scores, "Where")
    if choice is not None:
        condition, yes, no = choice.inputs
        for inner, fill, forbids in ((yes, no, False), (no, yes, True)):
            if editor.scalar(fill) == -math.inf and editor.types[inner] == kind:
                return inner, condition, forbids
    total = _sole(editor, scores, "Add")
    if total is not None:
        for inner, mask in (total.inputs, total.inputs[::-1]):
            before, _ = _split_scale(editor, inner)
            if _sole(editor, before, "MatMul") is not None and editor.types[inner] == kind:
                return inner, mask, False
    return scores, "", False


def _covers(mask: Sequence[Dim], keys: Dim) -> bool:
    """Whether the last dim of a mask that broadcasts to the scores is the number of keys, not 1."""
    if not 1 <= len(mask) <= 4:
        return False
    last = mask[-1]
    if last == keys or isinstance(last, int) or symbols(last) != {keys}:
        return last == keys
    # as in `min(keys, 64)`: if it is 2 or more wherever the keys are, it is not broadcast
    bound = lower_bound(substitute(last, {str(keys): keys + 2}))
    return bound is not None and bound >= 2


def _split_scale(editor: GraphEditor, name: str) -> tuple[str, float]:
    """A value before it was multiplied or divided by a number, and the factor."""
    node = _sole(editor, name, "Mul", "Div")
    if node is None:
        return name, 1.0
    pairs = [node.inputs] if node.op == "Div" else [node.inputs, node.inputs[::-1]]
    for value, factor in pairs:
        number = editor.scalar(factor)
        if number and editor.types[value] == editor.types[name]:
            return value, float(number) if node.op == "Mul" else 1 / float(number)
    return name, 1.0


def _untransposed(editor: GraphEditor, name: str) -> tuple[str, list[int]] | None:
    """Where K' is a Transpose: what it is made from, and how K is made from that instead."""
    node = editor.produced_by(name, "Transpose")
    if node is None:
        return None
    perm = list(permutation(editor, node))
    perm[-2:] = perm[:-3:-1]
    return node.inputs[0], perm


def _fit(editor: GraphEditor, q: str, k_transposed: str, v: str) -> bool:
    """Whether batch, heads, sizes and lengths agree without broadcasting."""
    if any(editor.rank(name) != 4 for name in (q, k_transposed, v)):
        return False
    qs, ks, vs = (editor.shape(name) for name in (q, k_transposed, v))
    return qs[:2] == ks[:2] == vs[:2] and qs[3] == ks[2] and ks[3] == vs[2]


_HEADS_SECOND = (0, 2, 1, 3)


def _packed(editor: GraphEditor, node: Node) -> Replacement:
    """Reshape(Transpose(Attention)) that joins the heads: the packed form of the op."""
    transpose = _sole(editor, node.inputs[0], "Transpose")
    if transpose is None or permutation(editor, transpose) != _HEADS_SECOND:
        return None
    attention = _sole(editor, transpose.inputs[0], "Attention")
    if attention is None or any(map(editor.is_used, attention.outputs[1:])):
        return None
    if any(attention.inputs[4:]) or attribute(attention, "q_num_heads"):
        return None
    batch, length, heads, size = editor.shape(node.inputs[0])
    if editor.shape(node.outputs[0]) != (batch, length, heads * size):
        return None
    kv_heads = editor.shape(attention.inputs[1])[1]
    if not isinstance(heads, int) or not isinstance(kv_heads, int):
        return None
    sources = [_before_split(editor, name) for name in attention.inputs[:3]]
    packed = [
        _joined(editor, source, f"{node.name}.packed") for source in sources if source is not None
    ]
    if len(packed) < 3 or None in packed:
        return None
    inputs = [*(name or "" for name in packed), *attention.inputs[3:]]
    attributes = {**attention.attributes, "q_num_heads": heads, "kv_num_heads": kv_heads}
    return editor.emit(
        "Attention", inputs, attributes, like=node, type=editor.types[node.outputs[0]]
    )


def _before_split(editor: GraphEditor, name: str) -> str | None:
    """[batch, sequence, heads, size] from which a Transpose made [batch, heads, sequence, size]."""
    node = editor.produced_by(name, "Transpose")
    if node is None or permutation(editor, node) != _HEADS_SECOND:
        return None
    return node.inputs[0]


def _joined(editor: GraphEditor, name: str, hint: str) -> str | None:
    """[batch, sequence, heads * size] of a value with heads apart: what it was split from."""
    batch, length, heads, size = editor.shape(name)
    shape = (batch, length, heads * size)
    split = editor.produced_by(name, "Reshape")
    if split is not None and editor.shape(split.inputs[0]) == shape:
        return split.inputs[0]
    return emit_reshape(editor, name, shape, hint=hint)
