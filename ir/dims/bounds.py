"""Integer bounds of a dimension over all values of its symbols, each an integer >= 0.

Needs no division of dimensions, so that division can be simplified by bounds.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from itertools import islice

from ir.dims.expression import Dim, DimLike, SymbolicDim, make, terms_of
from ir.dims.limits import CACHE_SIZE
from ir.dims.names import as_dim
from ir.dims.terms import Atom, Monomial


def lower_bound(dim: DimLike) -> int | None:
    """An integer that `dim` never falls below, with all symbols >= 0; None if none is known."""
    return _lower(as_dim(dim), 3)


def upper_bound(dim: DimLike) -> int | None:
    """An integer that `dim` never exceeds, with all symbols >= 0; None if none is known."""
    low = _lower(-as_dim(dim), 3)
    return None if low is None else -low


def is_non_negative(dim: DimLike) -> bool:
    """Whether `dim >= 0` can be shown, with all symbols >= 0."""
    low = lower_bound(dim)
    return low is not None and low >= 0


def at_least(a: Dim, b: Dim, margin: int) -> bool:
    """Whether `a - b >= margin` can be shown."""
    try:
        low = lower_bound(a - b)
    except ValueError:  # the difference is too large an expression
        return False
    return low is not None and low >= margin


@lru_cache(CACHE_SIZE)
def _lower(dim: Dim, effort: int) -> int | None:
    """Interval arithmetic, improved by replacing atoms with rational bounds of theirs."""
    if isinstance(dim, int):
        return dim
    bounds = [(c, _monomial_bounds(m)[0 if c > 0 else 1]) for m, c in terms_of(dim).items()]
    known = [c * bound for c, bound in bounds if bound is not None]
    best = sum(known) if len(known) == len(bounds) else None
    if effort:
        for cases, scale in islice(_relaxations(dim), 4):
            lows = [low for case in cases if (low := _lower(case, effort - 1)) is not None]
            if len(lows) == len(cases):
                low = -(-min(lows) // scale)
                best = low if best is None else max(best, low)
    return best


def _relaxations(dim: SymbolicDim) -> Iterator[tuple[list[Dim], int]]:
    """Pairs `(cases, s)` with `s*dim >= min(cases)`: one atom of `dim` replaced by bounds of it."""
    for monomial, coefficient in terms_of(dim).items():
        for position, atom in enumerate(monomial):
            others = monomial[:position] + monomial[position + 1 :]
            low = _monomial_bounds(others)[0]
            if atom.kind == "symbol" or low is None or low < 0:
                continue
            for bounds, scale in _atom_relaxations(atom, coefficient > 0):
                try:
                    rest = scale * (dim - make({monomial: coefficient}))
                    yield [rest + make({others: coefficient}) * bound for bound in bounds], scale
                except ValueError:  # too large an expression: do without
                    continue


def _atom_relaxations(atom: Atom, from_below: bool) -> Iterator[tuple[tuple[Dim, ...], int]]:
    """Pairs `(b, s)`: `atom >= min(b)/s` if `from_below`, otherwise `atom <= max(b)/s`."""
    if atom.kind in ("max", "min"):
        if from_below == (atom.kind == "min"):
            yield atom.args, 1
        else:
            for arg in atom.args:
                yield (arg,), 1
        return
    p, q = atom.args
    if atom.kind == "floor":
        if isinstance(q, int):
            yield ((p - q + 1 if from_below else p),), q
        elif not from_below and is_non_negative(q) and is_non_negative(p):
            yield (p,), 1
    elif not from_below and is_non_negative(q):
        yield (q - 1,), 1
        if is_non_negative(p):
            yield (p,), 1


def _monomial_bounds(monomial: Monomial) -> tuple[int | None, int | None]:
    low: int | None = 1
    high: int | None = 1
    for atom in monomial:
        atom_low, atom_high = _atom_bounds(atom)
        if atom_low is None or atom_low < 0:
            return (atom_low, atom_high) if len(monomial) == 1 else (None, None)
        assert low is not None
        low *= atom_low
        high = None if high is None or atom_high is None else high * atom_high
    return low, high


def _atom_bounds(atom: Atom) -> tuple[int | None, int | None]:
    if atom.kind == "symbol":
        return 0, None
    lows = [lower_bound(arg) for arg in atom.args]
    highs = [upper_bound(arg) for arg in atom.args]
    known_lows = [low for low in lows if low is not None]
    known_highs = [high for high in highs if high is not None]
    if atom.kind == "max":
        return max(known_lows, default=None), None if None in highs else max(known_highs)
    if atom.kind == "min":
        return None if None in lows else min(known_lows), min(known_highs, default=None)
    (low, divisor_low), (high, divisor_high) = lows, highs
    if divisor_low is None or divisor_low < 0:
        return None, None
    if atom.kind == "mod":
        ceilings = [] if divisor_high is None else [divisor_high - 1]
        if low is not None and low >= 0 and high is not None:
            ceilings.append(high)
        return 0, min(ceilings, default=None)
    divisor_low = max(divisor_low, 1)  # a divisor is not zero
    if isinstance(atom.args[1], int):
        return (None if low is None else low // divisor_low), (
            None if high is None else high // divisor_low
        )
    if low is None or low < 0:
        return low, None if high is None else max(high // divisor_low, 0)
    return 0, None if high is None else high // divisor_low
