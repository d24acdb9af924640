"""What an export assumes of sizes, and a call has to keep."""

from __future__ import annotations

import ast
import contextlib
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sympy

from ir.diagnostics import InputError
from ir.dims import (
    Dim,
    SymbolicDim,
    definitely_equal,
    evaluate,
    floor_divide,
    max_dim,
    min_dim,
    modulo,
    symbols,
)
from layercc.frontends.torch.dims import as_dim
from layercc.frontends.torch.registry import Refused

_HOLDS = {"==": operator.eq, "!=": operator.ne, "<=": operator.le, "<": operator.lt}
_RELATIONS = {
    sympy.Eq: ("==", False), sympy.Ne: ("!=", False), sympy.Le: ("<=", False),
    sympy.Lt: ("<", False), sympy.Ge: ("<=", True), sympy.Gt: ("<", True),
}  # fmt: skip


@dataclass(frozen=True)
class Assumption:
    """A relation of two dims; `homes` are an input and an axis for each symbol in them."""

    relation: str
    left: Dim
    right: Dim
    homes: tuple[tuple[str, int, int], ...]

    def check(self, shapes: Sequence[Sequence[int]]) -> None:
        """Raises InputError unless shapes of inputs keep it."""
        if any(axis >= len(shapes[number]) for _, number, axis in self.homes):
            return  # another rank is refused by its name
        sizes = {name: shapes[number][axis] for name, number, axis in self.homes}
        if not _HOLDS[self.relation](evaluate(self.left, sizes), evaluate(self.right, sizes)):
            given = ", ".join(f"{name} = {size}" for name, size in sizes.items())
            raise InputError(
                f"called with {given}; sizes with {self.left} {self.relation} {self.right}, "
                "as torch.export has assumed, would fit"
            )


Relation = tuple[str, Dim, Dim]


def assumptions(
    conditions: Iterable[Any],
    guards: Iterable[str],
    known: Mapping[Any, Dim],
    inputs: Mapping[str, Sequence[Dim]],
) -> tuple[Assumption, ...]:
    """What is assumed of the sizes of inputs, which have the shapes `inputs`.

    `conditions` are SymBools, whose symbols are `known` as dims; those of sizes that data decide
    are none of the caller's business. `guards` is code as Dynamo writes it:
    `L['x'].size()[0] < 2 * L['more'][0].size()[1]`.
    """
    homes: dict[str, tuple[int, int]] = {}
    for number, shape in enumerate(inputs.values()):
        for axis, dim in enumerate(shape):
            if isinstance(dim, SymbolicDim):
                homes.setdefault(str(dim), (number, axis))
    found: dict[Assumption, None] = {}
    relations = [*_of_conditions(conditions, known), *_of_guards(guards, inputs)]
    for sign, left, right in relations:
        names = sorted(symbols(left) | symbols(right))
        given = names and all(name in homes for name in names)
        if (
            given
            and not _is_certain(sign, left, right)
            and not _is_of_small_sizes(sign, left, right)
        ):
            places = tuple((name, *homes[name]) for name in names)
            found[Assumption(sign, left, right, places)] = None
    return tuple(found)


def _is_certain(sign: str, left: Dim, right: Dim) -> bool:
    return sign in ("==", "<=") and definitely_equal(left, right)


def _is_of_small_sizes(sign: str, left: Dim, right: Dim) -> bool:
    """Whether a relation only says that something is neither 0 nor 1. An export assumes that of all
    sizes, for the sake of strides, and means nothing by it."""
    if sign == "!=":
        return any(isinstance(side, int) and side <= 1 for side in (left, right))
    return sign != "==" and isinstance(left, int) and left <= (1 if sign == "<" else 2)


def _of_conditions(conditions: Iterable[Any], known: Mapping[Any, Dim]) -> Iterator[Relation]:
    for condition in conditions:
        node = getattr(condition, "node", None)
        for sign, left, right in _relations(None if node is None else node.expr):
            with contextlib.suppress(Refused):  # of a size that data decide
                yield sign, as_dim(left, known), as_dim(right, known)


def _relations(expression: Any) -> Iterator[tuple[str, Any, Any]]:
    """The relations that have to hold, each as its sign and two sides."""
    if isinstance(expression, sympy.And):
        for part in expression.args:
            yield from _relations(part)
    for kind, (sign, turned) in _RELATIONS.items():
        if isinstance(expression, kind):
            left, right = expression.args[::-1] if turned else expression.args
            yield sign, left, right


def _of_guards(guards: Iterable[str], inputs: Mapping[str, Sequence[Dim]]) -> Iterator[Relation]:
    for guard in guards:
        try:
            yield from _of_tree(ast.parse(guard.strip(), mode="eval").body, inputs)
        except (Refused, SyntaxError):
            continue  # not of sizes: the value of a number, whether a tensor is one


def _of_tree(tree: ast.expr, inputs: Mapping[str, Sequence[Dim]]) -> Iterator[Relation]:
    if isinstance(tree, ast.BoolOp) and isinstance(tree.op, ast.And):
        for part in tree.values:
            yield from _of_tree(part, inputs)
    if isinstance(tree, ast.Compare):
        sides = [tree.left, *tree.comparators]
        for op, left, right in zip(tree.ops, sides, sides[1:], strict=False):
            sign, turned = _COMPARISONS.get(type(op), ("", False))
            if sign:
                a, b = _dim(left, inputs), _dim(right, inputs)
                yield (sign, b, a) if turned else (sign, a, b)


def _dim(tree: ast.expr, inputs: Mapping[str, Sequence[Dim]]) -> Dim:
    """The dim that an expression of sizes says. Raises Refused for others."""
    if isinstance(tree, ast.Constant) and type(tree.value) is int:
        return tree.value
    if isinstance(tree, ast.BinOp) and type(tree.op) in _ARITHMETIC:
        return _ARITHMETIC[type(tree.op)](_dim(tree.left, inputs), _dim(tree.right, inputs))
    if isinstance(tree, ast.UnaryOp) and isinstance(tree.op, ast.USub):
        return -_dim(tree.operand, inputs)
    if isinstance(tree, ast.Call) and ast.unparse(tree.func) in ("min", "max"):
        function = min_dim if ast.unparse(tree.func) == "min" else max_dim
        return function(*(_dim(arg, inputs) for arg in tree.args))
    if isinstance(tree, ast.Subscript) and isinstance(tree.value, ast.Call):
        shape = inputs.get(_path(tree.value.func))
        axis = tree.slice.value if isinstance(tree.slice, ast.Constant) else None
        if shape is not None and isinstance(axis, int):
            return shape[axis]
    raise Refused(f"{ast.unparse(tree)} is no size of an input")


def _path(tree: ast.expr) -> str:
    """`batch.0` of `L['batch'][0].size`."""
    keys: list[str] = []
    if isinstance(tree, ast.Attribute) and tree.attr == "size":
        tree = tree.value
        while isinstance(tree, ast.Subscript) and isinstance(tree.slice, ast.Constant):
            keys.append(str(tree.slice.value))
            tree = tree.value
    return ".".join(reversed(keys))


def _power(base: Dim, exponent: Dim) -> Dim:
    if not isinstance(exponent, int):
        raise Refused(f"the exponent {exponent} is not known")
    return base**exponent


_COMPARISONS: dict[type[ast.cmpop], tuple[str, bool]] = {
    ast.Eq: ("==", False), ast.NotEq: ("!=", False), ast.LtE: ("<=", False),
    ast.Lt: ("<", False), ast.GtE: ("<=", True), ast.Gt: ("<", True),
}  # fmt: skip
_ARITHMETIC: dict[type[ast.operator], Callable[[Dim, Dim], Dim]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul,
    ast.FloorDiv: floor_divide, ast.Mod: modulo, ast.Pow: _power,
}  # fmt: skip
