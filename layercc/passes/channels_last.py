"""Puts spatial ops into channels-last form, with as few Transposes as possible.

Matches every op that has the attribute `channels_last` (convolutions, pools, normalisations, ...);
makes it read and write `[N, spatial..., C]`. Their results are not transposed back: other nodes
*follow*, computing on the permuted tensor with their axes permuted likewise (`layout_rules`).
Transposes become a change of layout that costs nothing, and Reshapes regroup the stored axes. Only
where a node must have its input in the written order is a Transpose emitted, once a value.

Sound because each value v is either at hand or known as `transpose(v, perm)`, and each rule keeps
that true of what it makes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ir.diagnostics import ShapeError
from ir.graph import Graph, Node
from ir.inference import infer_node
from ir.types import TensorType
from layercc.passes.editor import GraphEditor, definition
from layercc.passes.infrastructure import graph_pass
from layercc.passes.layout_rules import Followed, Perm, follower_of, regroup
from layercc.passes.simplify_shapes import (
    emit_reshape,
    emit_transpose,
    moves_only_ones,
    permutation,
)


@graph_pass("optimize")
def channels_last(graph: Graph) -> Graph:
    """Put spatial ops into channels-last form, with as few Transposes as possible."""
    if not any(_is_channels_first(graph.types, node) for node in graph.nodes):
        return graph
    return LayoutWalk(GraphEditor(graph)).run()


def _is_channels_first(types: Mapping[str, TensorType], node: Node) -> bool:
    op = definition(node)
    return (
        op is not None
        and "channels_last" in op.attributes
        and not node.attributes.get("channels_last")
        and types[node.inputs[0]].rank > 2
    )


def channels_last_layout(rank: int) -> Perm:
    return (0, *range(2, rank), 1)


class LayoutWalk:
    """The state of the pass: which values exist in their own order, and which are stored how."""

    def __init__(self, editor: GraphEditor) -> None:
        self.editor = editor
        #: Values that do not exist in their own order (yet): name → stored value and layout.
        self.pending: dict[str, tuple[str, Perm]] = {}
        self.forms: dict[tuple[str, Perm], str] = {}
        self.owners: dict[str, str] = {}  # stored value → the value that it was made for

    def run(self) -> Graph:
        editor = self.editor
        for node in editor.walk():
            if self.is_wanted(node) and self.spatial(node):
                continue
            if not self.follow(node):
                for name in node.reads():
                    self.plain(name)
        for name in editor.graph.output_names:
            self.plain(name)
        self.restore_names()
        return editor.finish()

    # --- values in layouts

    def plain(self, name: str) -> str:
        """Makes sure that a value exists in its own order."""
        if name in self.pending:
            stored, perm = self.pending.pop(name)
            back = [perm.index(axis) for axis in range(len(perm))]
            made = emit_transpose(self.editor, stored, back, hint=f"{name}.transpose")
            self.editor.rename(made, name, made)
            self.forms[name, perm] = stored
        return name

    def form(self, name: str, perm: Perm) -> str:
        """The value in the layout `perm`, made when first asked for."""
        if perm == tuple(range(len(perm))):
            return self.plain(name)
        if name in self.pending and self.pending[name][1] == perm:
            return self.pending[name][0]
        if (name, perm) not in self.forms:
            self.forms[name, perm] = self.transposed(name, perm)
        return self.forms[name, perm]

    def transposed(self, name: str, perm: Perm) -> str:
        editor, hint = self.editor, f"{name}.channels_last"
        array = editor.constant(name)
        if array is not None:
            return editor.add_constant(array.transpose(perm), hint)
        if name in self.pending:
            stored, layout = self.pending[name]
            return emit_transpose(editor, stored, [layout.index(a) for a in perm], hint=hint)
        maker = editor.produced_by(name, "Transpose")
        if maker is not None:  # two in a row are one
            inner = permutation(editor, maker)
            return emit_transpose(editor, maker.inputs[0], [inner[a] for a in perm], hint=hint)
        return emit_transpose(editor, name, perm, hint=hint)

    # --- nodes

    def is_wanted(self, node: Node) -> bool:
        """Whether the node is one whose layout is to be changed."""
        return _is_channels_first(self.editor.types, node)

    def spatial(self, node: Node) -> bool:
        """Replaces a channels-first node by its channels-last form, if it has one."""
        editor = self.editor
        if any(editor.is_used(name) for name in node.outputs[1:]):
            return False  # indices count elements in the order that the tensor was written in
        if any(name in self.pending for name in node.inputs[1:]):
            return False
        inner = channels_last_layout(editor.rank(node.inputs[0]))
        outer = channels_last_layout(editor.rank(node.outputs[0]))
        attributes = {**node.attributes, "channels_last": 1}
        if not self.accepts(replace(node, attributes=attributes), inner):
            return False
        x = self.form(node.inputs[0], inner)
        self.put(node, Followed((x, *node.inputs[1:]), attributes, outer))
        return True

    def accepts(self, node: Node, perm: Perm) -> bool:
        """Whether an op takes its first input in this layout: a few know one only."""
        editor = self.editor
        reads = node.reads()
        types = {name: editor.types[name] for name in reads}
        kind = types[node.inputs[0]]
        types[node.inputs[0]] = kind.with_shape(kind.shape[axis] for axis in perm)
        constants = {name: editor.constants[name] for name in reads if name in editor.constants}
        try:
            infer_node(node, types, constants)
        except ShapeError:
            return False
        return True

    def follow(self, node: Node) -> bool:
        """Lets a node that reads a permuted value compute on it as it is stored."""
        editor = self.editor
        waiting = [name for name in node.inputs if name in self.pending]
        if not waiting:
            return False
        rank = editor.rank(node.outputs[0]) if node.outputs[0] else 0
        lead = next((name for name in waiting if editor.rank(name) == rank), waiting[0])
        stored, perm = self.pending[lead]
        if node.op == "Transpose":
            return self.relabel(node, stored, perm)
        if node.op == "Reshape":
            return self.reshape(node, lead, perm)
        rule = follower_of(node)
        followed = rule(self, node, lead, perm) if rule is not None else None
        if followed is None:
            return False
        self.put(node, followed)
        return True

    def relabel(self, node: Node, stored: str, perm: Perm) -> bool:
        """A Transpose moves nothing: it is a change of layout."""
        order = permutation(self.editor, node)
        layout = tuple(order.index(axis) for axis in perm)
        if layout == tuple(range(len(layout))):
            self.editor.replace(node, stored)
            if self.editor.producer(stored) is None:  # the graph returns it, under the old name
                self.moved(stored, node.outputs[0])
            return True
        self.editor.take_out(node)
        self.pending[node.outputs[0]] = stored, layout
        return True

    def reshape(self, node: Node, lead: str, perm: Perm) -> bool:
        editor = self.editor
        if lead != node.inputs[0]:
            return False
        result = node.outputs[0]
        plan = regroup(editor.shape(lead), editor.shape(result), perm)
        if plan is None:
            return False
        source = self.form(lead, plan.before)
        made = emit_reshape(editor, source, plan.shape, hint=f"{result}.channels_last")
        if made is None:
            return False
        editor.take_out(node)
        self.store(node, [made], plan.perm)
        return True

    def put(self, node: Node, followed: Followed) -> None:
        """Emits a node on stored tensors in the place of `node`."""
        editor = self.editor
        outputs = tuple(
            editor.fresh_name(f"{name}.channels_last") if name else "" for name in node.outputs
        )
        for old, new in zip(node.outputs, outputs, strict=True):
            if old:
                shape = editor.shape(old)
                permuted = [shape[axis] for axis in followed.perm]
                editor.types[new] = editor.types[old].with_shape(permuted)
        editor.add(
            replace(node, inputs=followed.inputs, outputs=outputs, attributes=followed.attributes)
        )
        editor.take_out(node)
        self.store(node, outputs, followed.perm)

    def store(self, node: Node, outputs: Sequence[str], perm: Perm) -> None:
        """Notes where the outputs of a node that was taken out are stored."""
        for old, new in zip(node.outputs, outputs, strict=True):
            if not old:
                continue
            shape = self.editor.shape(old)
            if self.editor.shape(new) == shape and moves_only_ones(shape, perm):
                self.editor.rename(new, old)
            else:
                self.pending[old] = new, perm
                self.editor.held.add(new)
                self.owners.setdefault(new, old)

    def moved(self, old: str, new: str) -> None:
        """Follows a stored value that has got another name."""
        self.owners.pop(old, None)
        for name, (stored, perm) in self.pending.items():
            if stored == old:
                self.pending[name] = new, perm
        for key, stored in self.forms.items():
            if stored == old:
                self.forms[key] = new

    def restore_names(self) -> None:
        """Values that nobody wants in their own order leave their names to the stored ones."""
        for name, (stored, _) in self.pending.items():
            if self.owners.get(stored) == name:
                self.editor.rename(stored, name)
