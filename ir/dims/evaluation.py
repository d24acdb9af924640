"""Values in place of symbols: integers give an integer, dimensions another dimension."""

from __future__ import annotations

import json
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ir.dims.aggregates import extremum
from ir.dims.expression import Dim, DimLike, make, terms_of
from ir.dims.names import as_dim
from ir.dims.terms import Atom


def evaluate(dim: DimLike, bindings: Mapping[str, int]) -> int:
    """The value of `dim`, given that of each symbol.

    Raises KeyError naming a symbol without a value, ZeroDivisionError if a divisor is 0.
    """

    def value(atom: Atom) -> int:
        found = lookup(bindings, atom)
        if found is None:
            raise KeyError(f"no value for symbol {atom} in dimension {dim}")
        return operator.index(found)

    return fold(as_dim(dim), value)  # type: ignore[return-value]


def substitute(dim: DimLike, mapping: Mapping[str, DimLike]) -> Dim:
    """`dim` with symbols replaced, all at once, by the dimensions in `mapping`."""

    def value(atom: Atom) -> Dim:
        found = lookup(mapping, atom)
        return make({(atom,): 1}) if found is None else as_dim(found)

    return fold(as_dim(dim), value)


def calculate(kind: str, args: Sequence[Dim]) -> Dim:
    """The function that an atom of this kind stands for, of `args`."""
    if kind == "floor":
        return args[0] // args[1]
    if kind == "mod":
        return args[0] % args[1]
    if all(isinstance(arg, int) for arg in args):
        return max(args) if kind == "max" else min(args)
    return extremum(kind, tuple(args))


def fold(
    dim: Dim,
    value: Callable[[Atom], Dim],
    apply: Callable[[str, Sequence[Dim]], Dim] = calculate,
) -> Dim:
    """Compute `dim` afresh from the `value` of each symbol, applying functions by `apply`."""
    result: Dim = 0
    for monomial, coefficient in terms_of(dim).items():
        term: Dim = coefficient
        for atom in monomial:
            if atom.kind == "symbol":
                factor = value(atom)
            else:
                factor = apply(atom.kind, [fold(arg, value, apply) for arg in atom.args])
            term = term * factor
        result = result + term
    return result


def lookup(mapping: Mapping[str, Any], name: str) -> Any:
    """The entry of a symbol by its printed name or, for a quoted one, its bare name."""
    if name in mapping:
        return mapping[name]
    return mapping.get(json.loads(name)) if name.startswith('"') else None
