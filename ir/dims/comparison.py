"""Equality of dimensions, as far as it can be shown or ruled out.

Identities that tie *different* atoms together, as in `N - floor(N/2) == floor((N + 1)/2)`, are
not part of the canonical form: they count here.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import gcd

from ir.dims.bounds import lower_bound, upper_bound
from ir.dims.division import divide
from ir.dims.evaluation import calculate, fold
from ir.dims.expression import Dim, DimLike, make, terms_of
from ir.dims.names import as_dim


def definitely_equal(a: DimLike, b: DimLike) -> bool:
    """Whether `a == b` for all values of the symbols can be shown."""
    return as_dim(a) == as_dim(b) or _difference(a, b) == 0


def may_equal(a: DimLike, b: DimLike) -> bool:
    """False only if no values of the symbols make `a` and `b` equal, as far as can be shown."""
    difference = _difference(a, b)
    if difference is None:
        return True
    if isinstance(difference, int):
        return difference == 0
    low, high = lower_bound(difference), upper_bound(difference)
    if (low is not None and low > 0) or (high is not None and high < 0):
        return False
    divisor = gcd(*(c for m, c in terms_of(difference).items() if m))  # 2*N + 1 is never 0
    return terms_of(difference).get((), 0) % divisor == 0


def _difference(a: DimLike, b: DimLike) -> Dim | None:
    """`a - b`, rewritten so that more equal expressions cancel; None if it grows too large."""
    try:
        return fold(as_dim(a) - as_dim(b), lambda atom: make({(atom,): 1}), _related)
    except (ValueError, ZeroDivisionError):
        return None


def _related(kind: str, args: Sequence[Dim]) -> Dim:
    """`mod` through `floor`; of `floor(p/q)` and `-floor((q - 1 - p)/q)`, equals, the shorter."""
    if kind == "mod":
        p, q = args
        return p - q * _related("floor", args)
    if kind == "floor" and isinstance(args[1], int) and args[1] > 0:
        q = args[1]
        quotient, p = divide(args[0], q)
        mirror_quotient, mirror = divide(q - 1 - p, q)
        if (len(str(mirror)), str(mirror)) < (len(str(p)), str(p)):
            return quotient - mirror_quotient - mirror // q
    return calculate(kind, args)
