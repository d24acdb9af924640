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

from layercc.frontends.onnx.versions import Step


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
_Rule = Callable[[Any, Step], TensorSequence | None]
_RULES: dict[str, _Rule] = {}


def _rule(op: str) -> Callable[[_Rule], _Rule]:
    def enter(function: _Rule) -> _Rule:
        _RULES[op] = function
        return function

    return enter


def is_followed(op: str) -> bool:
    """Whether nodes of `op` make or read sequences that can be followed."""
    return op in _RULES


def follow(step: Step, read: TensorSequence | None) -> TensorSequence | None:
    """The sequence that a node makes. None: a tensor; the step has become a node that computes it.

    `read` is the sequence at input 0, where there is one. Raises NotFollowed.
    """
    if read is None and step.op not in ("SplitToSequence", "SequenceConstruct", "SequenceEmpty"):
        raise NotFollowed
    return _RULES[step.op](read, step)


@_rule("SequenceEmpty")
def _empty(read: None, step: Step) -> TensorSequence:
    return Items(())


@_rule("SequenceConstruct")
def _construct(read: None, step: Step) -> TensorSequence:
    return Items(tuple(step.inputs))


@_rule("SplitToSequence")
def _split(read: None, step: Step) -> TensorSequence:
    axis = step.attributes.get("axis", 0)
    if not step.input(1):
        return Parts(step.input(0), axis, 1, squeezed=not step.attributes.get("keepdims", 1))
    sizes, shape = step.known(1), step.shape(1)
    if shape == () and sizes is not None:
        return Parts(step.input(0), axis, int(sizes), squeezed=False)
    if shape is None or len(shape) != 1 or not isinstance(shape[0], int):
        raise NotFollowed
    names = tuple(step.around.fresh_name(f"{step.name}.part") for _ in range(shape[0]))
    step.op, step.outputs, step.attributes = "Split", list(names), {"axis": axis}
    return Items(names)


@_rule("SequenceAt")
def _at(read: TensorSequence, step: Step) -> None:
    position = step.known(1)
    step.attributes = {}
    if isinstance(read, Items):
        step.op, step.inputs = "Identity", [read.names[_place(read.names, position)]]
        return
    if read.size == 1:
        index = step.input(1)
        if not read.squeezed:
            index = step.make("Reshape", [index, step.ints([1], "one")], "index")
        step.op, step.inputs, step.attributes = "Gather", [read.tensor, index], {"axis": read.axis}
        return
    if position is None or int(position.reshape(())) < 0:
        raise NotFollowed  # a part before the end begins where the last, smaller one tells
    start = int(position.reshape(())) * read.size
    bounds = {"start": start, "end": start + read.size, "axis": read.axis}
    step.op = "Slice"
    step.inputs = [read.tensor, *(step.ints([value], name) for name, value in bounds.items())]


@_rule("SequenceInsert")
def _insert(read: TensorSequence, step: Step) -> TensorSequence:
    names = list(_items(read).names)
    at = len(names)
    if step.input(2):
        position = step.known(2)
        if position is None or not -len(names) <= int(position.reshape(())) <= len(names):
            raise NotFollowed
        at = int(position.reshape(()))  # below 0: counted from the end, as list.insert does
    names.insert(at, step.input(1))
    return Items(tuple(names))


@_rule("SequenceErase")
def _erase(read: TensorSequence, step: Step) -> TensorSequence:
    names = list(_items(read).names)
    position = step.known(1) if step.input(1) else np.array(-1)
    del names[_place(names, position)]
    return Items(tuple(names))


@_rule("SequenceLength")
def _length(read: TensorSequence, step: Step) -> None:
    step.attributes = {}
    if isinstance(read, Items):
        step.op, step.inputs = "Identity", [step.ints(len(read.names), "length")]
    elif read.size == 1:
        shape = step.make("Shape", [read.tensor], "shape")
        step.op, step.inputs = "Gather", [shape, step.ints(read.axis, "axis")]
    else:
        raise NotFollowed


@_rule("ConcatFromSequence")
def _concat(read: TensorSequence, step: Step) -> None:
    names = list(_items(read).names)
    axis = step.attributes["axis"]
    if step.attributes.get("new_axis", 0):
        axes = step.ints([axis], "axis")
        names = [step.make("Unsqueeze", [name, axes], "item") for name in names]
    step.op, step.inputs, step.attributes = "Concat", names, {"axis": axis}


def _items(read: TensorSequence) -> Items:
    if isinstance(read, Items):
        return read
    raise NotFollowed


def _place(names: Sequence[str], position: np.ndarray | None) -> int:
    """A known position that is inside the sequence, counted from its start."""
    if position is None or not -len(names) <= int(position.reshape(())) < len(names):
        raise NotFollowed
    return int(position.reshape(())) % len(names)
