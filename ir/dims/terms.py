"""Atoms, monomials, terms: the canonical form of an integer polynomial, and how it prints.

Monomials are sorted tuples of atoms, compared in graded lexicographic order (Cox, Little, O'Shea,
"Ideals, Varieties, and Algorithms", section 2.2).
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from ir.dims.expression import Dim


class Atom(str):
    """A symbol or function application; its text identifies it."""

    __slots__ = ("args", "depth", "kind")
    kind: str
    args: tuple[Dim, ...]
    depth: int


Monomial: TypeAlias = tuple[Atom, ...]  # sorted, an atom repeated as often as its power
Terms: TypeAlias = dict[Monomial, int]  # no zero coefficients; never changed once stored


def graded_order(monomial: Monomial) -> tuple[int, Monomial]:
    """Sort key of graded lexicographic order, leading monomial first."""
    return -len(monomial), monomial


def without(monomial: Monomial, part: Monomial) -> Monomial | None:
    """`monomial / part`, or None if it does not divide."""
    rest = list(monomial)
    for atom in part:
        if atom not in rest:
            return None
        rest.remove(atom)
    return tuple(rest)


def common_part(a: Monomial, b: Monomial) -> Monomial:
    """The greatest common divisor of two monomials."""
    rest, common = list(b), []
    for atom in a:
        if atom in rest:
            rest.remove(atom)
            common.append(atom)
    return tuple(common)


def print_terms(terms: Terms) -> str:
    """The canonical text, `2*N**2 - N + 1`, of at least one term."""
    monomials = sorted(terms, key=graded_order)
    if terms[monomials[0]] < 0:  # `1 - N` rather than `-N + 1`
        first = next((i for i, m in enumerate(monomials) if terms[m] > 0), 0)
        monomials.insert(0, monomials.pop(first))
    text = ""
    for monomial in monomials:
        coefficient = terms[monomial]
        factors = [str(abs(coefficient))] if abs(coefficient) != 1 or not monomial else []
        for atom, group in groupby(monomial):
            power = len(list(group))
            factors.append(f"{atom}**{power}" if power > 1 else atom)
        sign = ("-" if coefficient < 0 else "") if not text else " - " if coefficient < 0 else " + "
        text += sign + "*".join(factors)
    return text
