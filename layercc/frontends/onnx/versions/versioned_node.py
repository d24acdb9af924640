"""One node on its way to the newest opset, and the table of functions that take it there."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn, Protocol

import numpy as np

from ir.diagnostics import InvalidModelError, UnsupportedError
from ir.dims import Dim
from ir.dtypes import DType

#: Opset versions are below this: `until=ALWAYS` changes nodes of every version.
ALWAYS = 1 << 30


class Surroundings(Protocol):
    """What a change may ask of the graph around its node."""

    def fresh_name(self, hint: str) -> str: ...
    def add_constant(self, name: str, array: np.ndarray) -> None: ...
    def constant(self, name: str) -> np.ndarray | None: ...
    def shape_of(self, name: str) -> tuple[Dim, ...] | None: ...
    def dtype_of(self, name: str) -> DType | None: ...


@dataclass
class NewNode:
    """A node to be added to the graph."""

    op: str
    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, Any]
    name: str


@dataclass
class VersionedNode:
    """A node of opset `version`; lifting functions change it in place.

    `before` and `after` are helper nodes around it.
    """

    op: str
    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, Any]
    name: str
    version: int
    around: Surroundings
    before: list[NewNode] = field(default_factory=list)
    after: list[NewNode] = field(default_factory=list)

    def nodes(self) -> list[NewNode]:
        """The node and its helpers, in order."""
        own = NewNode(self.op, self.inputs, self.outputs, self.attributes, self.name)
        return [*self.before, own, *self.after]

    def input(self, index: int) -> str:
        """Name of an input, "" when absent."""
        return self.inputs[index] if index < len(self.inputs) else ""

    def set_input(self, index: int, name: str) -> None:
        self.inputs += [""] * (index + 1 - len(self.inputs))
        self.inputs[index] = name

    def pop(self, attribute: str, default: Any = None) -> Any:
        """Takes an attribute off the node."""
        return self.attributes.pop(attribute, default)

    def constant(self, values: Any, dtype: Any, hint: str) -> str:
        """Name of a new constant."""
        name = self.around.fresh_name(f"{self.name}.{hint}")
        self.around.add_constant(name, np.asarray(values, np.dtype(dtype)))
        return name

    def ints(self, values: Any, hint: str) -> str:
        """Name of a new i64 constant: a vector, or a scalar when `values` is an int."""
        return self.constant(values, np.int64, hint)

    def attribute_to_input(self, attribute: str, index: int) -> None:
        """An attribute of ints becomes the i64 vector at input `index`, unless that is given."""
        values = self.pop(attribute)
        if values is not None and not self.input(index):
            self.set_input(index, self.ints(values, attribute))

    def known(self, index: int) -> np.ndarray | None:
        """Value of an input that is a constant."""
        return self.around.constant(self.input(index)) if self.input(index) else None

    def shape(self, index: int) -> tuple[Dim, ...] | None:
        """Shape of an input, as far as inference knows it."""
        return self.around.shape_of(self.input(index))

    def rank(self, index: int) -> int | None:
        shape = self.shape(index)
        return None if shape is None else len(shape)

    def dtype(self, index: int) -> DType | None:
        return self.around.dtype_of(self.input(index))

    def make(self, op: str, inputs: Sequence[str], hint: str, **attributes: Any) -> str:
        """Adds a helper node before this one; returns the name of its output."""
        output = self.around.fresh_name(f"{self.name}.{hint}")
        self.before.append(NewNode(op, list(inputs), [output], attributes, output))
        return output

    def then(self, op: str, *inputs: str, hint: str = "raw", **attributes: Any) -> None:
        """Adds a node after this one, which takes over the first output. Its first input is the
        result of this node; `inputs` are the others."""
        final, self.outputs[0] = self.outputs[0], self.around.fresh_name(f"{self.name}.{hint}")
        self.follow(op, [self.outputs[0], *inputs], final, **attributes)

    def follow(self, op: str, inputs: Sequence[str], output: str, **attributes: Any) -> None:
        """Adds a helper node after this one."""
        self.after.insert(0, NewNode(op, list(inputs), [output], attributes, output))

    def unsupported(self, message: str) -> NoReturn:
        raise UnsupportedError(f"{self.op} {self.name!r} of opset {self.version}: {message}")

    def invalid(self, message: str) -> NoReturn:
        raise InvalidModelError(f"{self.op} {self.name!r} of opset {self.version}: {message}")


Lifter = Callable[[VersionedNode], None]
_TABLE: dict[str, list[tuple[int, Lifter]]] = defaultdict(list)
_RENAMED: dict[str, str] = {}


def lifts(*ops: str, until: int, becomes: str | None = None) -> Callable[[Lifter], Lifter]:
    """Enters a function for nodes of `ops` in opsets below `until`.

    `becomes`: the op these nodes are turned into, where that is another one.
    """

    def enter(function: Lifter) -> Lifter:
        for op in ops:
            _TABLE[op].append((until, function))
            _TABLE[op].sort(key=lambda entry: entry[0])
            if becomes:
                _RENAMED[op] = becomes
        return function

    return enter


def renamed(op: str) -> str:
    """The op that nodes of `op` end as."""
    return _RENAMED.get(op, op)


def lift(node: VersionedNode) -> None:
    """Brings the node to the newest opset, one change after the other."""
    node.pop("consumed_inputs")  # an in-place hint of opsets 1 to 5
    version = node.version
    done: set[Lifter] = set()
    while True:
        due = (entry for entry in _TABLE.get(node.op, ()) if entry[1] not in done)
        until, function = next((entry for entry in due if version < entry[0]), (0, None))
        if function is None:
            return
        function(node)
        done.add(function)
        if until != ALWAYS:
            version = until
