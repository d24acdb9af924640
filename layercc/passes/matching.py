"""Finding small expressions in a graph. Patterns are written as Python expressions:

    Div((d := Sub(x, ReduceMean(x))), Sqrt(Add(ReduceMean(Pow(d, 2) | Mul(d, d)), epsilon)))

A call is a node of that op; arguments are its first inputs (further inputs are not looked at). A
name is any value, the same one wherever the name stands; `(name := pattern)` names what a pattern
matches; a number is a constant of one element with that value; `a | b` is a choice. The operands of
commutative ops (Add, Mul) may stand in either order.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from ir.graph import Node
from ir.registry import find_op
from layercc.passes.editor import GraphEditor

#: Relative difference at which a constant still counts as the number in a pattern: exporters write
#: them rounded to float32, or to half precision.
TOLERANCE = {"float64": 1e-6, "float32": 1e-6, "float16": 1e-3, "bfloat16": 8e-3}


@dataclass(frozen=True, slots=True)
class Match:
    """Where a pattern was found: value names by the pattern's names, and the nodes matched."""

    values: Mapping[str, str]
    nodes: tuple[Node, ...]

    def __getitem__(self, name: str) -> str:
        return self.values[name]

    def binding(self, variable: str, name: str) -> Match | None:
        """The match with a name bound as well; None if it is bound to another value."""
        if self.values.get(variable, name) != name:
            return None
        return Match({**self.values, variable: name}, self.nodes)


def find(editor: GraphEditor, root: Node, *patterns: str) -> Match | None:
    """How `root` and nodes before it match the first of the patterns that fits; None if none does.

    Values inside the expression must not be read from outside of it: those nodes are to go.
    """
    for text in patterns:
        for match in _node(editor, _parse(text), root, Match({}, ())):
            if _is_closed(editor, root, match):
                return match
    return None


def _is_closed(editor: GraphEditor, root: Node, match: Match) -> bool:
    inside = {id(node) for node in match.nodes}
    return all(
        not editor.is_output(name) and all(id(reader) in inside for reader in editor.readers(name))
        for node in match.nodes
        if node is not root
        for name in node.outputs
    )


@lru_cache(None)
def _parse(text: str) -> ast.expr:
    return ast.parse(text.strip(), mode="eval").body


def _value(editor: GraphEditor, pattern: ast.expr, name: str, match: Match) -> Iterator[Match]:
    """The ways in which a value matches."""
    if isinstance(pattern, ast.Name):
        bound = match.binding(pattern.id, name)
        if bound is not None:
            yield bound
    elif isinstance(pattern, ast.NamedExpr):
        for found in _value(editor, pattern.value, name, match):
            bound = found.binding(pattern.target.id, name)
            if bound is not None:
                yield bound
    elif isinstance(pattern, ast.BinOp) and isinstance(pattern.op, ast.BitOr):
        yield from _value(editor, pattern.left, name, match)
        yield from _value(editor, pattern.right, name, match)
    elif isinstance(pattern, ast.Call):
        node = editor.producer(name)
        if node is not None:
            yield from _node(editor, pattern, node, match)
    elif is_number(editor, name, ast.literal_eval(pattern)):
        yield match


def _node(editor: GraphEditor, pattern: ast.expr, node: Node, match: Match) -> Iterator[Match]:
    """The ways in which a node matches a call."""
    if isinstance(pattern, ast.BinOp):
        yield from _node(editor, pattern.left, node, match)
        yield from _node(editor, pattern.right, node, match)
        return
    assert isinstance(pattern, ast.Call) and isinstance(pattern.func, ast.Name)
    if node.op != pattern.func.id or len(node.inputs) < len(pattern.args):
        return
    match = Match(match.values, (*match.nodes, node))
    yield from _inputs(editor, pattern.args, node.inputs, match)
    definition = find_op(node.op)
    if definition is not None and definition.commutative:
        yield from _inputs(editor, pattern.args, node.inputs[::-1], match)


def _inputs(
    editor: GraphEditor, patterns: list[ast.expr], names: tuple[str, ...], match: Match
) -> Iterator[Match]:
    if not patterns:
        yield match
        return
    for found in _value(editor, patterns[0], names[0], match):
        yield from _inputs(editor, patterns[1:], names[1:], found)


def is_number(editor: GraphEditor, name: str, number: float) -> bool:
    """Whether a value is a constant of one element that was rounded from `number`."""
    array = editor.constant(name)
    if array is None or array.size != 1:
        return False
    tolerance = TOLERANCE.get(array.dtype.name, 0.0)
    return abs(float(array.reshape(-1)[0]) - number) <= tolerance * abs(number)
