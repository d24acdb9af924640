"""How ops act on tensors whose axes are stored in another order: a rule for each way to name axes.

A value v in the layout `perm` is stored as `transpose(v, perm)`. A rule says what a node computes
on stored inputs: which inputs and attributes it gets, and the layout of its outputs. It returns
None when the op needs its input in the order it was written for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from ir.dims import Dim, exact_div, product
from ir.graph import Node
from ir.registry import Axes
from layercc.passes.editor import GraphEditor, attribute, definition
from layercc.passes.simplify_shapes import emit_reshape, emit_transpose

Perm = tuple[int, ...]


class Layouts(Protocol):
    """Access to values in the layouts that a follower needs (see `channels_last`)."""

    editor: GraphEditor

    def plain(self, name: str) -> str:
        """The value in its own order."""
        ...

    def form(self, name: str, perm: Perm) -> str:
        """The value in the layout `perm`."""
        ...


@dataclass(frozen=True, slots=True)
class Followed:
    """A node on stored tensors: its inputs and attributes, and the layout of its outputs."""

    inputs: tuple[str, ...]
    attributes: Mapping[str, Any]
    perm: Perm


#: The node, the input through which it reads a permuted value, and that value's layout.
Follower = Callable[[Layouts, Node, str, Perm], Followed | None]


def pointwise(layouts: Layouts, node: Node, lead: str, perm: Perm) -> Followed | None:
    """Any pointwise op: operands are brought to the leading operand's layout and rank."""
    editor = layouts.editor
    rank = editor.rank(node.outputs[0])
    if editor.rank(lead) != rank:
        return None
    operands = [_operand(layouts, name, perm) if name else "" for name in node.inputs]
    if any(operand is None for operand in operands):
        return None
    return Followed(tuple(name or "" for name in operands), node.attributes, perm)


def _operand(layouts: Layouts, name: str, perm: Perm) -> str | None:
    editor = layouts.editor
    shape, rank = editor.shape(name), len(perm)
    if all(dim == 1 for dim in shape):
        return layouts.plain(name) if len(shape) < rank else layouts.form(name, perm)
    array = editor.constant(name)
    if array is not None:
        wide = array.reshape((1,) * (rank - array.ndim) + array.shape).transpose(perm)
        while wide.ndim and wide.shape[0] == 1:  # broadcasting adds them again
            wide = wide[0]
        return editor.add_constant(wide, f"{name}.permuted")
    if len(shape) == rank:
        return layouts.form(name, perm)
    wide_name = emit_reshape(editor, layouts.plain(name), (*[1] * (rank - len(shape)), *shape))
    return None if wide_name is None else emit_transpose(editor, wide_name, perm)


def axis_attribute(layouts: Layouts, node: Node, lead: str, perm: Perm) -> Followed | None:
    """Concat, Split, Softmax and the like: `axis` names the same axis in its new place."""
    axis = attribute(node, "axis")
    if axis is None:
        return None
    rank = len(perm)
    inputs = [
        layouts.form(name, perm) if name and layouts.editor.rank(name) == rank else name
        for name in node.inputs
    ]
    return Followed(tuple(inputs), {**node.attributes, "axis": perm.index(axis % rank)}, perm)


def axes_input(layouts: Layouts, node: Node, lead: str, perm: Perm, place: int) -> Followed | None:
    """Slice and Pad: the optional input `axes` says where the other inputs' entries belong."""
    if node.inputs[0] != lead:
        return None
    rank = len(perm)
    inputs = [*node.inputs, *[""] * (place + 1 - len(node.inputs))]
    if inputs[place]:
        known = layouts.editor.constant(inputs[place])
        if known is None:
            return None
        axes = [int(axis) % rank for axis in known]
    elif node.op == "Pad":
        axes = list(range(rank))
    else:  # Slice: as many leading axes as there are starts
        (count,) = layouts.editor.shape(inputs[1])
        if not isinstance(count, int):
            return None
        axes = list(range(count))
    moved = np.array([perm.index(axis) for axis in axes], np.int64)
    inputs[0] = layouts.form(lead, perm)
    inputs[place] = layouts.editor.add_constant(moved, f"{node.name}.axes")
    return Followed(tuple(inputs), node.attributes, perm)


def slice_axes(layouts: Layouts, node: Node, lead: str, perm: Perm) -> Followed | None:
    return axes_input(layouts, node, lead, perm, 3)


def pad_axes(layouts: Layouts, node: Node, lead: str, perm: Perm) -> Followed | None:
    return axes_input(layouts, node, lead, perm, 3)


def entry_per_axis(layouts: Layouts, node: Node, lead: str, perm: Perm) -> Followed | None:
    """Tile and Expand: the constant second input has an entry for each axis."""
    entries = layouts.editor.constant(node.inputs[1])
    if entries is None or entries.size != len(perm) or node.inputs[0] != lead:
        return None
    moved = layouts.editor.add_constant(entries[list(perm)], f"{node.name}.permuted")
    return Followed((layouts.form(lead, perm), moved), node.attributes, perm)


def reduction(layouts: Layouts, node: Node, lead: str, perm: Perm) -> Followed | None:
    """Reduce* with constant axes, ArgMax, ArgMin: the layout loses the axes that go."""
    rank = len(perm)
    attributes = dict(node.attributes)
    inputs = [layouts.form(lead, perm), *node.inputs[1:]]
    if node.op in ("ArgMax", "ArgMin"):
        axes = [attribute(node, "axis") % rank]
        attributes["axis"] = perm.index(axes[0])
    elif len(inputs) > 1 and inputs[1]:
        known = layouts.editor.constant(inputs[1])
        if known is None:
            return None
        axes = [int(axis) % rank for axis in known]
        if axes:
            moved = np.array(sorted(perm.index(axis) for axis in axes), np.int64)
            inputs[1] = layouts.editor.add_constant(moved, f"{node.name}.axes")
    else:
        axes = []
    if not axes and not attribute(node, "noop_with_empty_axes"):
        axes = list(range(rank))
    left = perm if attribute(node, "keepdims") else _renumbered(perm, axes)
    return Followed(tuple(inputs), attributes, left)


def _renumbered(perm: Perm, gone: Sequence[int]) -> Perm:
    """The layout of what is left of a tensor without the axes `gone`."""
    left = [axis for axis in perm if axis not in gone]
    order = sorted(left)
    return tuple(order.index(axis) for axis in left)


def gather(layouts: Layouts, node: Node, lead: str, perm: Perm) -> Followed | None:
    """Gather with one index (the axis goes) or a vector of them (it stays)."""
    rank = layouts.editor.rank(node.inputs[1])
    if node.inputs[0] != lead or rank > 1:
        return None
    axis = attribute(node, "axis") % len(perm)
    attributes = {**node.attributes, "axis": perm.index(axis)}
    inputs = (layouts.form(lead, perm), layouts.plain(node.inputs[1]))
    return Followed(inputs, attributes, perm if rank else _renumbered(perm, [axis]))


def trailing_axes(layouts: Layouts, node: Node, lead: str, perm: Perm) -> Followed | None:
    """LayerNormalization, RMSNormalization: if the normalised axes are still the last ones."""
    rank = len(perm)
    axis = attribute(node, "axis") % rank
    if node.inputs[0] != lead or perm[axis:] != tuple(range(axis, rank)):
        return None
    return Followed((layouts.form(lead, perm), *node.inputs[1:]), node.attributes, perm)


_FOLLOWERS: dict[Axes, Follower] = {
    "attribute": axis_attribute,
    "reduction": reduction,
    "entries": entry_per_axis,
    "slice": slice_axes,
    "pad": pad_axes,
    "gather": gather,
    "trailing": trailing_axes,
}


def follower_of(node: Node) -> Follower | None:
    """The rule for a node: by how its op refers to axes (`Op.axes`); pointwise ops follow, too."""
    op = definition(node)
    if op is None:
        return None
    if op.axes is not None:
        return _FOLLOWERS[op.axes]
    return pointwise if op.scalar is not None else None


@dataclass(frozen=True, slots=True)
class Regrouping:
    """A Reshape in other words: stored axes to read in, the result's shape, and its layout."""

    before: Perm
    shape: tuple[Dim, ...]
    perm: Perm


def regroup(source: Sequence[Dim], result: Sequence[Dim], perm: Perm) -> Regrouping | None:
    """How a Reshape from one shape to another acts on a tensor stored in the layout `perm`.

    A Reshape splits and merges groups of neighbouring axes. If each group's axes are neighbours in
    storage, in order, the stored tensor is reshaped as it is; if not, `before` is the layout that
    brings them together, moving as little as possible. Axes of size 1 may stand anywhere. None if
    that layout is the order that the tensor was written in.
    """
    groups = _factor(source, result)
    stored = [axis for axis in perm if source[axis] != 1]
    groups.sort(key=lambda group: min((stored.index(axis) for axis in group[0]), default=-1))
    wanted = [axis for inner, _ in groups for axis in inner]
    before = perm
    if stored != wanted:
        before = tuple([axis for axis in perm if source[axis] == 1] + wanted)
        if wanted == sorted(wanted):
            return None
    made = [axis for _, outer in groups for axis in outer]
    layout = _place_ones(result, made)
    return Regrouping(before, tuple(result[axis] for axis in layout), layout)


def _factor(source: Sequence[Dim], result: Sequence[Dim]) -> list[tuple[list[int], list[int]]]:
    """Groups of axes, of sizes other than 1, with equal products on both sides, in order."""
    left = [axis for axis, dim in enumerate(source) if dim != 1]
    right = [axis for axis, dim in enumerate(result) if dim != 1]
    groups: list[tuple[list[int], list[int]]] = []
    while left and right:
        inner, outer = [left.pop(0)], [right.pop(0)]
        while True:
            a = product(source[axis] for axis in inner)
            b = product(result[axis] for axis in outer)
            if a == b:
                break
            shorter, rest = _shorter(a, b, inner, left, outer, right)
            if not rest:
                inner, outer = inner + left, outer + right
                left, right = [], []
                break
            shorter.append(rest.pop(0))
        groups.append((inner, outer))
    if left or right:
        groups.append((left, right))
    return groups


def _shorter(
    a: Dim, b: Dim, inner: list[int], left: list[int], outer: list[int], right: list[int]
) -> tuple[list[int], list[int]]:
    """The side of a group to extend, and the axes that it can take."""
    if isinstance(a, int) and isinstance(b, int):
        return (inner, left) if a < b else (outer, right)
    divides = b != 0 and a != 0 and exact_div(b, a) is not None
    return (inner, left) if divides or not right else (outer, right)


def _place_ones(shape: Sequence[Dim], order: list[int]) -> Perm:
    """A layout with the larger axes in this order; the axes of size 1 go where it looks usual."""
    rank = len(shape)
    plain = tuple(range(rank))
    for usual in (plain, (0, *range(2, rank), 1)):
        if len(usual) == rank and [axis for axis in usual if shape[axis] != 1] == order:
            return usual
    return tuple([axis for axis in plain if shape[axis] == 1] + order)
