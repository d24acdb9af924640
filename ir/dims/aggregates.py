"""Functions of any number of dimensions: product, maximum, minimum."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from ir.dims.bounds import at_least
from ir.dims.expression import Dim, DimLike, make_atom, only_atom
from ir.dims.limits import CACHE_SIZE
from ir.dims.names import as_dim


def product(dims: Iterable[DimLike]) -> Dim:
    """The product of all `dims`; 1 if there are none."""
    result: Dim = 1
    for dim in dims:
        result = result * as_dim(dim)
    return result


def max_dim(*dims: DimLike) -> Dim:
    """The largest of one or more dimensions."""
    return extremum("max", tuple(as_dim(d) for d in dims))


def min_dim(*dims: DimLike) -> Dim:
    """The smallest of one or more dimensions."""
    return extremum("min", tuple(as_dim(d) for d in dims))


@lru_cache(CACHE_SIZE)
def extremum(kind: str, dims: tuple[Dim, ...]) -> Dim:
    """`max` or `min`: flattened, sorted, without arguments that another one surely dominates."""
    flat: list[Dim] = []
    for dim in dims:
        atom = only_atom(dim)
        flat.extend(atom.args if atom is not None and atom.kind == kind else [dim])

    def dominates(a: Dim, b: Dim) -> bool:
        return at_least(a, b, 0) if kind == "max" else at_least(b, a, 0)

    kept: list[Dim] = []
    for dim in sorted(set(flat), key=lambda d: (isinstance(d, int), str(d))):
        if not any(dominates(other, dim) for other in kept):
            kept = [other for other in kept if not dominates(dim, other)] + [dim]
    if len(kept) == 1:
        return kept[0]
    return make_atom(kind, f"{kind}({', '.join(map(str, kept))})", tuple(kept))
