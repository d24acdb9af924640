"""Which values of two graphs belong together: by name, else by structure."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from typing import Any

import numpy as np

from ir.diagnostics import InputError
from ir.dims import may_equal
from ir.graph import Graph, Node, Value

#: Nodes without a partner up to which sequences are compared, which takes the square of them.
_MOST_UNMATCHED = 4000


@dataclass(frozen=True)
class Pair:
    """A value of the first graph and its partner in the second, with the nodes that make them."""

    left: str
    right: str
    node: Node
    other: Node


@dataclass
class Alignment:
    """What belongs together. `inputs` and `outputs` map names of the first graph to those of the
    second; `alone` are nodes without a partner, of either."""

    pairs: list[Pair]
    inputs: dict[str, str]
    outputs: dict[str, str]
    alone: tuple[list[Node], list[Node]] = field(default_factory=lambda: ([], []))
    notes: list[str] = field(default_factory=list)


def align(a: Graph, b: Graph) -> Alignment:
    """Matches two graphs; nodes of `a` in order.

    Nodes match where all that they are computed from is alike (ops, attributes, shapes of
    weights), those of equal names first; then by the names of what they make, if their ops agree;
    what is left, as the longest stretches of equal ops, attributes and shapes. Raises InputError
    where inputs or outputs do not fit together.
    """
    notes: list[str] = []
    inputs = ports(a.inputs, b.inputs, "inputs", notes)
    outputs = ports(a.outputs, b.outputs, "outputs", notes)
    if a is b:
        partners = {node: node for node in a.nodes}
    else:
        partners = _by_ancestry(a, b, inputs)
        _by_name(a, b, partners)
        _by_sequence(a, b, partners)
    read = {name for node in a.nodes for name in node.reads()} | set(a.output_names)
    pairs = [
        Pair(left, right, node, partners[node])
        for node in a.nodes
        if node in partners
        for left, right in zip(node.outputs, partners[node].outputs, strict=False)
        if left and right and left in read
    ]
    taken = set(partners.values())
    alone = [n for n in a.nodes if n not in partners], [n for n in b.nodes if n not in taken]
    return Alignment(pairs, inputs, outputs, alone, notes)


def ports(a: Sequence[Value], b: Sequence[Value], what: str, notes: list[str]) -> dict[str, str]:
    """Inputs or outputs that belong together: by name, else all by position, with a note."""
    names, others = [value.name for value in a], [value.name for value in b]
    if len(a) != len(b):
        raise InputError(
            f"the models do not fit together: their {what} are {', '.join(map(str, a)) or 'none'} "
            f"and {', '.join(map(str, b)) or 'none'}"
        )
    if set(names) == set(others):
        found = dict(zip(names, names, strict=True))
    else:
        found = dict(zip(names, others, strict=True))
        shown = ", ".join(f"{x!r} with {y!r}" for x, y in found.items() if x != y)
        notes.append(f"{what} are matched by position: {shown}")
    partner = {value.name: value for value in b}
    for value in a if what == "inputs" else ():
        other = partner[found[value.name]]
        fits = value.dtype is other.dtype and len(value.shape) == len(other.shape)
        if not fits or not all(map(may_equal, value.shape, other.shape)):
            raise InputError(
                f"the models do not fit together: input {value} of the first and {other} of the "
                "second differ in type"
            )
    return found


def _by_ancestry(a: Graph, b: Graph, inputs: Mapping[str, str]) -> dict[Node, Node]:
    """Nodes that are computed alike, all the way from the inputs."""
    waiting: dict[bytes, dict[str, Node]] = defaultdict(dict)
    for node, digest in _ancestries(b, {name: name for name in b.input_names}):
        waiting[digest][_main(node)] = node
    found: dict[Node, Node] = {}
    unnamed: list[tuple[Node, bytes]] = []
    for node, digest in _ancestries(a, inputs):
        if _main(node) in waiting[digest]:
            found[node] = waiting[digest].pop(_main(node))
        else:
            unnamed.append((node, digest))
    for node, digest in unnamed:
        if waiting[digest]:
            found[node] = waiting[digest].pop(next(iter(waiting[digest])))
    return found


def _by_name(a: Graph, b: Graph, partners: dict[Node, Node]) -> None:
    """Adds nodes of the same op that make a value of the same name."""
    producers = b.producers()
    taken = set(partners.values())
    for node in a.nodes:
        other = producers.get(_main(node))
        if node in partners or other is None or other in taken:
            continue
        if other.op == node.op:
            partners[node] = other
            taken.add(other)


def _main(node: Node) -> str:
    """The name of the first value that a node makes."""
    return next(filter(None, node.outputs), "")


def _ancestries(graph: Graph, inputs: Mapping[str, str]) -> Iterable[tuple[Node, bytes]]:
    known: dict[str, bytes] = {name: f"input {port}".encode() for name, port in inputs.items()}
    for name, array in graph.constants.items():
        known[name] = f"constant {array.dtype} {array.shape}".encode()
    for node in graph.nodes:
        digest = hashlib.sha256(repr(_kind(node)).encode())
        for name in node.inputs:
            digest.update(known.get(name, b"none"))
        value = digest.digest()
        known.update((name, value + bytes([i])) for i, name in enumerate(node.outputs[:255]))
        yield node, value


def _by_sequence(a: Graph, b: Graph, partners: dict[Node, Node]) -> None:
    """Adds nodes of the same kind that follow each other in the same order."""
    taken = set(partners.values())
    mine = [node for node in a.nodes if node not in partners]
    others = [node for node in b.nodes if node not in taken]
    if max(len(mine), len(others)) > _MOST_UNMATCHED:
        return
    mine_keys = [repr((_kind(node), _made(a, node))) for node in mine]
    other_keys = [repr((_kind(node), _made(b, node))) for node in others]
    matcher = SequenceMatcher(None, mine_keys, other_keys, autojunk=False)
    for block in matcher.get_matching_blocks():
        for i in range(block.size):
            partners[mine[block.a + i]] = others[block.b + i]


def _kind(node: Node) -> Any:
    """Op and attributes; subgraphs as the ops in them."""
    attributes = []
    for key, value in sorted(node.attributes.items()):
        if isinstance(value, Graph):
            value = [each.op for each in value.nodes]
        elif isinstance(value, np.ndarray):
            value = (value.dtype.str, value.shape, hashlib.sha256(value.tobytes()).hexdigest())
        attributes.append((key, value))
    return node.op, attributes, len(node.inputs)


def _made(graph: Graph, node: Node) -> list[str]:
    return [str(graph.types.get(name, "")) for name in node.outputs]
