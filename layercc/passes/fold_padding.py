"""Lets convolutions and average pools do the zero padding of a Pad in front of them.

Matches Conv, and AveragePool that counts its padding, over a Pad by constant amounts of zeros along
spatial axes only; makes the same node with the amounts added to its `pads`. Sound because both pad
with zeros themselves. A MaxPool pads with minus infinity and is left alone.
"""

from __future__ import annotations

from ir.graph import Graph, Node
from layercc.passes.editor import GraphEditor, Replacement, attribute, rewrite
from layercc.passes.infrastructure import graph_pass


@graph_pass("simplify")
def fold_padding(graph: Graph) -> Graph:
    """Fold zero padding into the convolution or average pool that reads it."""
    return rewrite(graph, {"Conv": _window, "AveragePool": _window})


def _window(editor: GraphEditor, node: Node) -> Replacement:
    pad = editor.produced_by(node.inputs[0], "Pad")
    if pad is None or attribute(node, "auto_pad") not in ("NOTSET", "VALID", None):
        return None
    rank = editor.rank(node.inputs[0])
    own = tuple(attribute(node, "pads") or [0] * (2 * (rank - 2)))
    attributes = dict(node.attributes)
    if node.op == "AveragePool":
        if attribute(node, "ceil_mode") or (any(own) and not attribute(node, "count_include_pad")):
            return None
        attributes["count_include_pad"] = 1
    amounts = zero_padding(editor, pad)
    if amounts is None:
        return None
    first = 1 if attribute(node, "channels_last") else 2
    spatial = range(first, first + rank - 2)
    outside = [axis for axis in range(rank) if axis not in spatial]
    if any(amounts[axis] or amounts[axis + rank] for axis in outside):
        return None
    added = [amounts[a] for a in spatial] + [amounts[a + rank] for a in spatial]
    if min(added) < 0:
        return None
    attributes.pop("auto_pad", None)
    attributes["pads"] = tuple(a + b for a, b in zip(own, added, strict=True))
    return editor.emit(
        node.op,
        (pad.inputs[0], *node.inputs[1:]),
        attributes,
        like=node,
        type=editor.types[node.outputs[0]],
    )


def zero_padding(editor: GraphEditor, pad: Node) -> list[int] | None:
    """Amounts for all axes, begins then ends, of a Pad with zeros; None for any other Pad."""
    if attribute(pad, "mode") not in ("constant", None):
        return None
    value = pad.inputs[2] if len(pad.inputs) > 2 else ""
    if value and editor.scalar(value) != 0:
        return None
    pads = editor.constant(pad.inputs[1])
    if pads is None:
        return None
    given = [int(amount) for amount in pads]
    rank = editor.rank(pad.inputs[0])
    axes = list(range(rank))
    if len(pad.inputs) > 3 and pad.inputs[3]:
        chosen = editor.constant(pad.inputs[3])
        if chosen is None:
            return None
        axes = [int(axis) % rank for axis in chosen]
    amounts = [0] * (2 * rank)
    for position, axis in enumerate(axes):
        amounts[axis] = given[position]
        amounts[axis + rank] = given[position + len(axes)]
    return amounts
