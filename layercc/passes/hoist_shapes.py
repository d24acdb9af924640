"""Takes shapes from the graph's inputs instead of from values computed on the way.

Matches Shape of a computed value, all of whose dims are numbers or dims of graph inputs; makes
Shape of the inputs' axes, with Concat and constants where needed. Sound because inference proves
the dims equal. Nothing then hangs on the value but what computes with it: the computation can be
fused across it, and planning needs no more than the input shapes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ir.dims import Dim
from ir.graph import Graph, Node
from layercc.passes.editor import GraphEditor, Replacement, attribute, rewrite
from layercc.passes.infrastructure import graph_pass

#: A graph input, and a run of its axes: the first one and their number.
Place = tuple[str, int, int]


@graph_pass("simplify")
def hoist_shapes(graph: Graph) -> Graph:
    """Take shapes from the graph's inputs instead of from computed values."""
    return rewrite(graph, {"Shape": _shape})


def _shape(editor: GraphEditor, node: Node) -> Replacement:
    value = node.inputs[0]
    if editor.producer(value) is None:
        return None  # an input already
    shape = editor.shape(value)
    dims = shape[slice(attribute(node, "start"), attribute(node, "end"))]
    if not any(isinstance(dim, str) for dim in dims):
        return None  # constant folding knows it
    plan: list[Place | np.ndarray] = []
    rest = list(dims)
    while rest:
        count = next((i for i, dim in enumerate(rest) if isinstance(dim, str)), len(rest))
        if count:
            plan.append(np.array(rest[:count], np.int64))
        else:
            place = _longest_run(editor.graph, rest)
            if place is None:
                return None
            plan.append(place)
            count = place[2]
        del rest[:count]
    pieces = [_emit(editor, node, piece) for piece in plan]
    return pieces[0] if len(pieces) == 1 else editor.emit("Concat", pieces, {"axis": 0}, like=node)


def _emit(editor: GraphEditor, node: Node, piece: Place | np.ndarray) -> str:
    if isinstance(piece, np.ndarray):
        return editor.add_constant(piece, f"{node.name}.dims")
    name, start, count = piece
    return editor.emit("Shape", (name,), {"start": start, "end": start + count}, like=node)


def _longest_run(graph: Graph, dims: Sequence[Dim]) -> Place | None:
    """Where most of the first of these dims stand next to each other in an input's shape."""
    best: Place | None = None
    for value in graph.inputs:
        for start in range(len(value.shape)):
            count = 0
            while count < len(dims) and value.shape[start : start + count + 1] == tuple(
                dims[: count + 1]
            ):
                count += 1
            if count and (best is None or count > best[2]):
                best = value.name, start, count
    return best
