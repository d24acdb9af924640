"""The tool that passes change graphs with: a consistent view of a graph under edit.

A pass walks the nodes in topological order. For each it either keeps the node or replaces its
outputs by other values, made by nodes that it emits at this place. Who makes and who reads a value
is known at every moment, and nodes that nobody reads any more are released at once.

Each step costs no more than the edges it touches: a value that gets another name is noted at its
maker and its readers, and a node is written anew only when somebody looks at it. Where thousands
of values that one node reads are replaced one by one, that node is written once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ir.dtypes import dtype_of
from ir.graph import Graph, Node
from ir.inference import VALUE_LIMIT, infer_node
from ir.naming import Names
from ir.registry import Op, find_op
from ir.renaming import rename_reads
from ir.types import TensorType

#: Constants of up to this many bytes are shared when their contents are equal.
SHARED_BYTES = 4096

#: What stands in for a node: the values that replace its outputs, or None to keep the node.
Replacement = str | Sequence[str] | None
Rule = Callable[["GraphEditor", Node], Replacement]


def rewrite(graph: Graph, rules: Mapping[str, Rule]) -> Graph:
    """Offers each node to the rule for its op; returns `graph` itself when no rule applied.

    A rule looks backwards, from the last node of what it matches, so every value it can mention is
    already made. The value it returns takes over the name of the output that it replaces.
    """
    if not any(node.op in rules for node in graph.nodes):
        return graph
    editor = GraphEditor(graph)
    for node in editor.walk():
        rule = rules.get(node.op)
        if rule is not None:
            made = rule(editor, node)
            if made is not None:
                editor.replace(node, made)
    return editor.finish()


@dataclass(slots=True)
class _Renames:
    """What has got another name since a node was written: values that it reads (from the name
    written to the one they have now), its outputs (the other way round), and itself."""

    reads: dict[str, str] = field(default_factory=dict)
    outputs: dict[str, str] = field(default_factory=dict)
    name: str = ""

    def applied(self, node: Node) -> Node:
        """The node under the names of now."""
        node = rename_reads(node, self.reads)
        if not self.outputs:
            return node
        now = {written: name for name, written in self.outputs.items()}
        outputs = tuple(now.get(name, name) for name in node.outputs)
        return replace(node, outputs=outputs, name=self.name or node.name)


class GraphEditor:
    """A graph under edit. Inside, nodes are known by number, so that they can be renamed."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.types: dict[str, TensorType] = dict(graph.types)
        self.constants: dict[str, np.ndarray] = dict(graph.constants)
        self.changed = False
        #: Values that a pass may yet read: their makers stay, read or not, until `finish`.
        self.held: set[str] = set()
        self._outputs = set(graph.output_names)
        self._nodes: dict[int, Node] = {}  # as last written; `_node` gives them as they are now
        self._renames: dict[int, _Renames] = {}  # by node, where there are any
        self._makers: dict[str, int] = {}
        #: Value → its readers, in order of entry, and under which names each was written to read
        #: it; None stands for the value's own name alone.
        self._readers: dict[str, dict[int, list[str] | None]] = {}
        self._order: list[int] = []  # nodes walked or emitted so far
        self._first_emitted = len(graph.nodes)  # nodes from here on: emitted for the one walked
        self._unread_now: list[str] = []  # values that have lost their last reader
        #: How many outputs of a node were in use when they were counted, less those that have lost
        #: their last reader since.
        self._used_outputs: dict[int, int] = {}
        self._next = 0
        self._shared: dict[tuple[str, tuple[int, ...], bytes], str] | None = None
        for name, array in graph.constants.items():
            if name not in self.types:
                self.types[name] = TensorType(dtype_of(array), array.shape)
        for node in graph.nodes:
            self._enter(node)
        self._names = Names(self.types.keys() | self._makers.keys())
        for node in graph.nodes:
            for subgraph in node.subgraphs():
                self._names.take(subgraph.value_names())

    # --- what is known

    def producer(self, name: str) -> Node | None:
        """The node that makes a value; None for graph inputs, constants and absent values."""
        number = self._makers.get(name)
        return None if number is None else self._node(number)

    def produced_by(self, name: str, *ops: str) -> Node | None:
        """The node that makes a value, if it is one of these ops."""
        node = self.producer(name)
        return node if node is not None and node.op in ops else None

    def constant(self, name: str) -> np.ndarray | None:
        return self.constants.get(name)

    def scalar(self, name: str) -> float | int | bool | None:
        """The value of a constant of one element."""
        array = self.constants.get(name)
        return array.reshape(-1)[0].item() if array is not None and array.size == 1 else None

    def readers(self, name: str) -> Iterator[Node]:
        """The nodes that read a value; the graph is not to be changed meanwhile."""
        return map(self._node, self._readers.get(name, ()))

    def is_output(self, name: str) -> bool:
        return name in self._outputs

    def single_use(self, name: str) -> bool:
        """Whether exactly one node reads the value and the graph does not return it."""
        return len(self._readers.get(name, ())) == 1 and name not in self._outputs

    def is_used(self, name: str) -> bool:
        return bool(name) and (
            bool(self._readers.get(name)) or name in self._outputs or name in self.held
        )

    def shape(self, name: str) -> tuple[Any, ...]:
        return self.types[name].shape

    def rank(self, name: str) -> int:
        return len(self.types[name].shape)

    # --- walking

    def walk(self) -> Iterator[Node]:
        """The nodes of the graph as they now are, in order. A node is kept unless replaced."""
        for number in range(len(self.graph.nodes)):
            if number not in self._nodes:
                continue  # released since
            self._first_emitted = self._next
            yield self._node(number)
            self._release()
            if number in self._nodes:
                self._order.append(number)

    # --- changing

    def emit(
        self,
        op: str,
        inputs: Iterable[str],
        attributes: Mapping[str, Any] | None = None,
        *,
        outputs: Sequence[str] | int = 1,
        like: Node | None = None,
        hint: str | None = None,
        type: TensorType | None = None,
    ) -> str:
        """Adds a node at this place and returns its first output's name.

        Output names are made from `hint`, or from the name of `like` (the node whose meaning this
        one takes over), unless given. `type`, if given, is the type of the only output; else it is
        inferred. Raises ShapeError when the inputs do not fit the op.
        """
        if isinstance(outputs, int):
            hint = hint or (like.name if like is not None else op.lower())
            outputs = [self.fresh_name(hint) for _ in range(outputs)]
        source = like.source if like else None
        node = Node(op, tuple(inputs), tuple(outputs), dict(attributes or {}), source=source)
        return self.add(node, type)

    def add(self, node: Node, type: TensorType | None = None) -> str:
        """As `emit`, for a node that is already built and whose output names are free."""
        names = [name for name in node.outputs if name]
        if type is not None:
            self.types[names[0]] = type
        elif any(name not in self.types for name in names):
            for name, kind in zip(names, self._infer(node), strict=True):
                self.types.setdefault(name, kind)
        self._names.take(names)
        self._order.append(self._enter(node))
        self.changed = True
        return names[0]

    def add_constant(self, array: Any, hint: str) -> str:
        """The name of a constant with these contents: one there is already, or a new one."""
        array = np.asarray(array)
        small = array.nbytes <= SHARED_BYTES
        if small:
            if self._shared is None:
                self._shared = {}
                for known_name, known in self.constants.items():
                    if known.nbytes <= SHARED_BYTES:
                        self._shared.setdefault(_contents(known), known_name)
            found = self._shared.get(_contents(array))
            if found is not None:
                return found
        name = self.fresh_name(hint)
        if small and self._shared is not None:
            self._shared[_contents(array)] = name
        self.set_constant(name, array)
        return name

    def share_constants(self) -> None:
        """Makes small constants with equal contents one."""
        first: dict[Any, str] = {}
        for name, array in self.constants.items():
            if array.nbytes > SHARED_BYTES or name in self._outputs:
                continue
            kept = first.setdefault(_contents(array), name)
            if kept != name and self._readers.get(name):
                self._redirect(name, kept)
                self.changed = True

    def set_constant(self, name: str, array: np.ndarray) -> None:
        """Makes `name` a constant; nothing else may define it."""
        self.constants[name] = array
        self.types[name] = TensorType(dtype_of(array), array.shape)
        self.changed = True

    def fresh_name(self, hint: str) -> str:
        """A value name not in use: `hint` itself, or with a number behind it."""
        return self._names.fresh(hint)

    def replace(self, node: Node, values: str | Sequence[str]) -> None:
        """Puts `values` in place of the outputs of the walked `node`, and the node goes.

        A value made for this replacement takes over the old name, and its node the old node's.
        Any other value is read in its place; if the graph returns the old one, the maker of the
        new one is renamed where that is possible, and an Identity stays where it is not.
        """
        values = [values] if isinstance(values, str) else values
        self.changed = True
        self._forget(self._makers[next(filter(None, node.outputs))])
        name = node.name
        for old, new in zip(node.outputs, values, strict=False):
            if not old or old == new:
                continue
            made_now = self._makers.get(new, -1) >= self._first_emitted
            if made_now and new not in self._outputs:
                self._rename(new, old, name)
                name = ""
                continue
            self._redirect(old, new)
            if old not in self._outputs:
                continue
            if new in self._makers and new not in self._outputs:
                self._rename(new, old)
            else:
                self.add(
                    Node("Identity", (new,), (old,), name=node.name, source=node.source),
                    self.types[old],
                )

    def update(self, node: Node, changed: Node) -> Node:
        """Puts `changed`, which has the same outputs, in the place of `node`."""
        self.changed = True
        self._update(self._makers[next(filter(None, node.outputs))], changed)
        return changed

    def take_out(self, node: Node) -> None:
        """Removes the walked node though its outputs are read: the caller makes them later."""
        self.changed = True
        self._forget(self._makers[next(filter(None, node.outputs))])

    def rename(self, old: str, new: str, node_name: str = "") -> None:
        """Gives a value that a node makes, and its type, a name that nothing else defines."""
        self.types[new] = self.types[old]
        self._rename(old, new, node_name)

    def finish(self) -> Graph:
        """The edited graph, without dead nodes and unread constants; the old one if unchanged."""
        if not self.changed:
            return self.graph
        nodes = [self._node(number) for number in self._order if number in self._nodes]
        alive = set(self._outputs)
        kept = []
        for node in reversed(nodes):
            if not alive.isdisjoint(node.outputs):
                kept.append(node)
                alive.update(node.reads())
        kept.reverse()
        inputs = self.graph.input_names
        named = alive.union(inputs, *(node.outputs for node in kept))
        return Graph(
            self.graph.name,
            list(self.graph.inputs),
            list(self.graph.outputs),
            kept,
            {name: array for name, array in self.constants.items() if name in alive},
            {name: kind for name, kind in self.types.items() if name in named},
        )

    # --- bookkeeping

    def _infer(self, node: Node) -> tuple[TensorType, ...]:
        reads = node.reads()
        types = {name: self.types[name] for name in reads}
        values = {
            name: array
            for name in reads
            if (array := self.constants.get(name)) is not None and array.size <= VALUE_LIMIT
        }
        return infer_node(node, types, values)

    def _node(self, number: int) -> Node:
        """A node under the names that values have now."""
        node = self._nodes[number]
        renames = self._renames.pop(number, None)
        if renames is None:
            return node
        for name in renames.reads.values():
            self._readers[name][number] = None
        self._nodes[number] = node = renames.applied(node)
        return node

    def _enter(self, node: Node) -> int:
        number = self._next
        self._next += 1
        self._nodes[number] = node
        for name in node.outputs:
            if name:
                self._makers[name] = number
        for name in node.reads():
            self._readers.setdefault(name, {})[number] = None
        return number

    def _forget(self, number: int) -> None:
        """Takes a node out; readers of its outputs, if any, wait for a new maker."""
        node = self._node(number)
        del self._nodes[number]
        for name in node.outputs:
            self._makers.pop(name, None)
        for name in node.reads():
            self._unread(name, number)

    def _unread(self, name: str, number: int) -> None:
        """`name` has one reader less."""
        readers = self._readers.get(name, {})
        readers.pop(number, None)
        if not readers and name in self._makers:
            self._unread_now.append(name)

    def _release(self) -> None:
        """Forgets nodes that have lost their last reader since the last step of the walk."""
        while self._unread_now:
            name = self._unread_now.pop()
            number = self._makers.get(name)
            if number is None or self.is_used(name):
                continue
            left = self._used_outputs.get(number, 1) - 1
            if not left:  # as far as it was counted
                left = sum(map(self.is_used, self._node(number).outputs))
                if not left:
                    self._forget(number)
                    continue
            self._used_outputs[number] = left

    def _update(self, number: int, node: Node) -> None:
        before = self._node(number).reads()
        self._nodes[number] = node
        after = dict.fromkeys(node.reads())
        for name in after:
            self._readers.setdefault(name, {})[number] = None
        for name in before:
            if name not in after:
                self._unread(name, number)

    def _redirect(self, old: str, new: str) -> None:
        """Makes every reader of one value read another."""
        moved = self._readers.pop(old, None)
        if not moved:
            return
        readers = self._readers.setdefault(new, {})
        for number, names in moved.items():
            names = names or [old]
            self._renames_of(number).reads.update(dict.fromkeys(names, new))
            if number in readers:  # it reads both
                readers[number] = known = readers[number] or [new]
                known += names
            else:
                readers[number] = names
        if old in self._makers:
            self._unread_now.append(old)

    def _rename(self, old: str, new: str, node_name: str = "") -> None:
        """Renames a value; its maker is called `node_name`, or after the value as before."""
        number = self._makers[new] = self._makers.pop(old)
        renames = self._renames_of(number)
        renames.outputs[new] = renames.outputs.pop(old, old)
        called = renames.name or self._nodes[number].name
        renames.name = node_name or (new if called == old else called)
        self._redirect(old, new)
        self.types.setdefault(new, self.types[old])

    def _renames_of(self, number: int) -> _Renames:
        return self._renames.setdefault(number, _Renames())


def definition(node: Node) -> type[Op] | None:
    """The op definition of a node."""
    return find_op(node.op)


def attribute(node: Node, name: str) -> Any:
    """An attribute of a node, or its op's default; None when the op has no such attribute."""
    if name in node.attributes:
        return node.attributes[name]
    op = find_op(node.op)
    spec = op.attributes.get(name) if op is not None else None
    return None if spec is None or spec.required else spec.default


def _contents(array: np.ndarray) -> tuple[str, tuple[int, ...], bytes]:
    return (str(array.dtype), array.shape, array.tobytes())
