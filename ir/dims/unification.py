"""Symbol values from the sizes that arrive: `[N, 2*N + 1]` and `[3, 7]` give `N = 3`."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence

from ir.dims.comparison import may_equal
from ir.dims.evaluation import lookup, substitute
from ir.dims.expression import Dim, DimLike, only_atom, terms_of
from ir.dims.names import as_dim, symbols


def unify(
    pattern: Sequence[DimLike], sizes: Sequence[int], bindings: dict[str, int] | None = None
) -> dict[str, int]:
    """Find the symbol values that make the declared dims `pattern` equal to `sizes`.

    Adds what it finds to `bindings` (left alone upon an error) and returns them. An expression
    linear in its one unbound symbol is solved, in whichever order the axes come. What
    cannot be solved (`floor(N/2)` alone) is accepted if it may equal its size.
    Raises ValueError with the axis, the expected and the actual size upon a conflict.
    """
    if len(pattern) != len(sizes):
        raise ValueError(
            f"expected {len(pattern)} axes ({', '.join(map(str, pattern))}), "
            f"got {len(sizes)} ({', '.join(map(str, sizes))})"
        )
    bindings = {} if bindings is None else bindings
    found = dict(bindings)
    pending = [
        (axis, as_dim(dim), operator.index(size))
        for axis, (dim, size) in enumerate(zip(pattern, sizes, strict=True))
    ]
    before = len(pending) + 1
    while pending and len(pending) < before:
        before = len(pending)
        pending = [entry for entry in pending if not _bind(*entry, found)]
    for axis, dim, size in pending:
        left = _substitute_found(axis, dim, found)
        if not may_equal(left, size):
            raise ValueError(f"axis {axis}: {dim} can not be {size}{_given(dim, found)}")
    bindings.update(found)
    return bindings


def _bind(axis: int, dim: Dim, size: int, found: dict[str, int]) -> bool:
    """Check `dim == size` or add the one symbol value that makes it so; False: not decided."""
    left = _substitute_found(axis, dim, found)
    if isinstance(left, int):
        if left != size:
            shown = str(dim) if left == dim else f"{dim} = {left}"
            raise ValueError(f"axis {axis}: expected {shown}{_given(dim, found)}, got {size}")
        return True
    (monomial, coefficient), *rest = ((m, c) for m, c in terms_of(left).items() if m)
    if rest or len(monomial) != 1 or monomial[0].kind != "symbol":
        return False
    value, remainder = divmod(size - terms_of(left).get((), 0), coefficient)
    name = str(monomial[0])
    if remainder or value < 0:
        raise ValueError(
            f"axis {axis}: no integer {name} >= 0 makes {dim} equal to {size}{_given(dim, found)}"
        )
    found[name] = value
    return True


def _substitute_found(axis: int, dim: Dim, found: dict[str, int]) -> Dim:
    try:
        return substitute(dim, found)
    except ZeroDivisionError:
        raise ValueError(f"axis {axis}: {dim} divides by 0{_given(dim, found)}") from None


def _given(dim: Dim, found: Mapping[str, int]) -> str:
    atom = only_atom(dim)
    if atom is not None and atom.kind == "symbol":
        return ""
    values = {name: lookup(found, name) for name in sorted(symbols(dim))}
    shown = ", ".join(f"{name} = {v}" for name, v in values.items() if v is not None)
    return f" (with {shown})" if shown else ""
