"""Sequences of tensors, followed while a model is read: no value of the IR is one.

Exporters split a tensor into a sequence, or list tensors in one, and take elements at constant
positions again (PyTorch's does so for `unbind`, and so for every recurrent cell). Where both ends
are known, only ops on tensors remain: Split, Slice, Gather, Concat.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from layercc.frontends.onnx.versions import VersionedNode


@dataclass(frozen=True, slots=True)
class Items:
    """A sequence of known length: the names of its tensors."""

    names: tuple[str, ...]

    @property
    def count(self) -> int:
        """Items that are held."""
        return len(self.names)


@dataclass(frozen=True, slots=True)
class Parts:
    """A tensor cut along `axis` into parts of `size`, however many; without that axis if
    `squeezed`, where `size` is 1."""

    tensor: str
    axis: int
    size: int
    squeezed: bool

    @property
    def count(self) -> int:
        """Items that are held."""
        return 0


TensorSequence = Items | Parts


class NotFollowed(Exception):
    """A sequence, or a position in it, that is not known while the model is read."""


#: Given the sequence read, if any, and the node: the sequence it makes; or None, and the node has
#: been turned into one on tensors.
_Rule = Callable[[Any, VersionedNode], TensorSequence | None]
_RULES: dict[str, _Rule] = {}


def _rule(op: str) -> Callable[[_Rule], _Rule]:
    def enter(function: _Rule) -> _Rule:
        _RULES[op] = function
        return function

    return enter


def is_followed(op: str) -> bool:
    """Whether nodes of `op` make or read sequences that can be followed."""
    return op in _RULES


def follow(node: VersionedNode, read: TensorSequence | None) -> TensorSequence | None:
    """The sequence that a node makes. None: a tensor; the node has become one that computes it.

    `read` is the sequence at input 0, where there is one. Raises NotFollowed.
    """
    if read is None and node.op not in ("SplitToSequence", "SequenceConstruct", "SequenceEmpty"):
        raise NotFollowed
    return _RULES[node.op](read, node)


@_rule("SequenceEmpty")
def _empty(read: None, node: VersionedNode) -> TensorSequence:
    return Items(())


@_rule("SequenceConstruct")
def _construct(read: None, node: VersionedNode) -> TensorSequence:
    return Items(tuple(node.inputs))


@_rule("SplitToSequence")
def _split(read: None, node: VersionedNode) -> TensorSequence:
    axis = node.attributes.get("axis", 0)
    if not node.input(1):
        return Parts(node.input(0), axis, 1, squeezed=not node.attributes.get("keepdims", 1))
    sizes, shape = node.known(1), node.shape(1)
    if shape == () and sizes is not None:
        return Parts(node.input(0), axis, int(sizes), squeezed=False)
    if shape is None or len(shape) != 1 or not isinstance(shape[0], int):
        raise NotFollowed
    names = tuple(node.around.fresh_name(f"{node.name}.part") for _ in range(shape[0]))
    node.op, node.outputs, node.attributes = "Split", list(names), {"axis": axis}
    return Items(names)


@_rule("SequenceAt")
def _at(read: TensorSequence, node: VersionedNode) -> None:
    position = node.known(1)
    node.attributes = {}
    if isinstance(read, Items):
        node.op, node.inputs = "Identity", [read.names[_place(read.names, position)]]
        return
    if read.size == 1:
        index = node.input(1)
        if not read.squeezed:
            index = node.make("Reshape", [index, node.ints([1], "one")], "index")
        node.op, node.inputs, node.attributes = "Gather", [read.tensor, index], {"axis": read.axis}
        return
    if position is None or int(position.reshape(())) < 0:
        raise NotFollowed  # a part before the end begins where the last, smaller one tells
    start = int(position.reshape(())) * read.size
    bounds = {"start": start, "end": start + read.size, "axis": read.axis}
    node.op = "Slice"
    node.inputs = [read.tensor, *(node.ints([value], name) for name, value in bounds.items())]


@_rule("SequenceInsert")
def _insert(read: TensorSequence, node: VersionedNode) -> TensorSequence:
    names = list(_items(read).names)
    at = len(names)
    if node.input(2):
        position = node.known(2)
        if position is None or not -len(names) <= int(position.reshape(())) <= len(names):
            raise NotFollowed
        at = int(position.reshape(()))  # below 0: counted from the end, as list.insert does
    names.insert(at, node.input(1))
    return Items(tuple(names))


@_rule("SequenceErase")
def _erase(read: TensorSequence, node: VersionedNode) -> TensorSequence:
    names = list(_items(read).names)
    position = node.known(1) if node.input(1) else np.array(-1)
    del names[_place(names, position)]
    return Items(tuple(names))


@_rule("SequenceLength")
def _length(read: TensorSequence, node: VersionedNode) -> None:
    node.attributes = {}
    if isinstance(read, Items):
        node.op, node.inputs = "Identity", [node.ints(len(read.names), "length")]
    elif read.size == 1:
        shape = node.make("Shape", [read.tensor], "shape")
        node.op, node.inputs = "Gather", [shape, node.ints(read.axis, "axis")]
    else:
        raise NotFollowed


@_rule("ConcatFromSequence")
def _concat(read: TensorSequence, node: VersionedNode) -> None:
    names = list(_items(read).names)
    axis = node.attributes["axis"]
    if node.attributes.get("new_axis", 0):
        axes = node.ints([axis], "axis")
        names = [node.make("Unsqueeze", [name, axes], "item") for name in names]
    node.op, node.inputs, node.attributes = "Concat", names, {"axis": axis}


def _items(read: TensorSequence) -> Items:
    if isinstance(read, Items):
        return read
    raise NotFollowed


def _place(names: Sequence[str], position: np.ndarray | None) -> int:
    """A known position that is inside the sequence, counted from its start."""
    if position is None or not -len(names) <= int(position.reshape(())) < len(names):
        raise NotFollowed
    return int(position.reshape(())) % len(names)
