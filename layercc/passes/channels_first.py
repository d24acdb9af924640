"""Puts spatial ops into ONNX's channels-first form, with as few Transposes as possible.

The mirror of `channels_last`, by the same rules. Not in the pipeline: it makes clean ONNX for other
runtimes of graphs that were built channels-last, where export alone would put Transposes around
every spatial op.
"""

from __future__ import annotations

from ir.graph import Graph, Node
from layercc.passes.channels_last import LayoutWalk
from layercc.passes.editor import GraphEditor
from layercc.passes.infrastructure import graph_pass
from layercc.passes.layout_rules import Followed, Perm


@graph_pass("optimize")
def channels_first(graph: Graph) -> Graph:
    """Put spatial ops into channels-first form, with as few Transposes as possible."""
    if not any(node.attributes.get("channels_last") for node in graph.nodes):
        return graph
    return _ToFirst(GraphEditor(graph)).run()


def _layout(rank: int) -> Perm:
    return (0, rank - 1, *range(1, rank - 1)) if rank > 2 else tuple(range(rank))


class _ToFirst(LayoutWalk):
    """The walk of `channels_last`, in which channels-last nodes are those to be changed."""

    def is_wanted(self, node: Node) -> bool:
        return bool(node.attributes.get("channels_last"))

    def spatial(self, node: Node) -> bool:
        """Replaces a channels-last node by its channels-first form, if it has one."""
        editor = self.editor
        if any(editor.is_used(name) for name in node.outputs[1:]):
            return False  # indices count elements in the order that the tensor was written in
        if any(name in self.pending for name in node.inputs[1:]):
            return False
        x = self.form(node.inputs[0], _layout(editor.rank(node.inputs[0])))
        attributes = {**node.attributes, "channels_last": 0}
        layout = _layout(editor.rank(node.outputs[0]))
        self.put(node, Followed((x, *node.inputs[1:]), attributes, layout))
        return True
