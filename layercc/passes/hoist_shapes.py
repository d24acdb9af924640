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
    runs = _Runs(graph)
    return rewrite(graph, {"Shape": lambda editor, node: _shape(editor, node, runs)})


def _shape(editor: GraphEditor, node: Node, runs: _Runs) -> Replacement:
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
            place = runs.longest(rest)
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


class _Runs:
    """Where dims stand next to each other in the shapes of a graph's inputs."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._places: dict[tuple[Dim, ...], Place] | None = None  # the first one of each run

    def longest(self, dims: Sequence[Dim]) -> Place | None:
        """Where most of the first of these dims stand next to each other."""
        if self._places is None:
            self._places = {}
            shapes: dict[tuple[Dim, ...], str] = {}
            for value in self._graph.inputs:
                shapes.setdefault(value.shape, value.name)
            for shape, name in shapes.items():
                for start in range(len(shape)):
                    for stop in range(start + 1, len(shape) + 1):
                        self._places.setdefault(shape[start:stop], (name, start, stop - start))
        counts = range(len(dims), 0, -1)
        found = (self._places.get(tuple(dims[:count])) for count in counts)
        return next(filter(None, found), None)
