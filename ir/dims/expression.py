"""`SymbolicDim`: a string with terms, made by `make`, and its ring operations `+`, `-`, `*`."""

from __future__ import annotations

import operator
from collections.abc import Callable
from functools import lru_cache
from typing import Any, ClassVar, NoReturn, TypeAlias

from ir.dims.limits import (
    CACHE_SIZE,
    MAX_ATOM_DEPTH,
    MAX_BITS,
    MAX_DEGREE,
    MAX_TERMS,
    MAX_TEXT,
    DimTooComplex,
)
from ir.dims.terms import Atom, Terms, print_terms


class SymbolicDim(str):
    """An immutable integer expression that is also its own canonical text."""

    __slots__ = ("_terms",)
    _terms: Terms

    # Division is built on bounds and bounds on this class, so `//`, `%` and the reading of text
    # belong to modules that import this one. `ir/dims/__init__.py` sets these three.
    _floor_divide: ClassVar[Callable[[Dim, Dim], Dim]]
    _modulo: ClassVar[Callable[[Dim, Dim], Dim]]
    _parse: ClassVar[Callable[[str], Dim]]

    def __new__(cls, text: str) -> SymbolicDim:
        """Parse `text`; ValueError if it is no expression or has a constant value."""
        dim = SymbolicDim._parse(text)
        if isinstance(dim, int):
            raise ValueError(f"{text!r} is the constant {dim}, not a symbolic dimension")
        return dim

    def __add__(self, other: int | SymbolicDim) -> Dim:  # type: ignore[override]
        return _apply(add, self, other)

    def __radd__(self, other: int | SymbolicDim) -> Dim:
        return _apply(add, self, other)

    def __sub__(self, other: int | SymbolicDim) -> Dim:
        return _apply(subtract, self, other)

    def __rsub__(self, other: int | SymbolicDim) -> Dim:
        return _apply(lambda a, b: subtract(b, a), self, other)

    def __mul__(self, other: int | SymbolicDim) -> Dim:  # type: ignore[override]
        return _apply(multiply, self, other)

    def __rmul__(self, other: int | SymbolicDim) -> Dim:  # type: ignore[override]
        return _apply(multiply, self, other)

    def __floordiv__(self, other: int | SymbolicDim) -> Dim:
        return _apply(SymbolicDim._floor_divide, self, other)

    def __rfloordiv__(self, other: int | SymbolicDim) -> Dim:
        return _apply(lambda a, b: SymbolicDim._floor_divide(b, a), self, other)

    def __mod__(self, other: int | SymbolicDim) -> Dim:  # type: ignore[override]
        return _apply(SymbolicDim._modulo, self, other)

    def __rmod__(self, other: int | SymbolicDim) -> Dim:
        if isinstance(other, str) and not isinstance(other, SymbolicDim):
            return NotImplemented  # "%s" % dim is text formatting
        return _apply(lambda a, b: SymbolicDim._modulo(b, a), self, other)

    def __neg__(self) -> SymbolicDim:
        return multiply(-1, self)  # type: ignore[return-value]

    def __pos__(self) -> SymbolicDim:
        return self

    def __pow__(self, exponent: int) -> Dim:
        if not 0 <= operator.index(exponent) <= MAX_DEGREE:
            raise ValueError(f"{self}: power {exponent} is not in 0..{MAX_DEGREE}")
        result: Dim = 1
        for _ in range(exponent):
            result = multiply(result, self)
        return result

    def _unordered(self, other: object) -> NoReturn:
        # Without this, str would compare dimensions alphabetically.
        raise TypeError(
            f"cannot order {self} and {other}: use is_non_negative(a - b), or sort with key=str"
        )

    __lt__ = __le__ = __gt__ = __ge__ = _unordered

    def __int__(self) -> NoReturn:
        raise TypeError(f"symbolic dimension {self} has no integer value: evaluate() it first")

    def __float__(self) -> NoReturn:
        raise TypeError(f"symbolic dimension {self} has no numeric value: evaluate() it first")

    def __repr__(self) -> str:
        return f"SymbolicDim({str(self)!r})"

    def __copy__(self) -> SymbolicDim:
        return self

    def __deepcopy__(self, memo: dict[int, object]) -> SymbolicDim:
        return self

    def __reduce__(self) -> tuple[Callable[[str], Dim], tuple[str]]:
        return SymbolicDim._parse, (str(self),)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        """Take part in NumPy ufuncs as an object; NumPy would otherwise see a plain string."""
        import numpy as np  # NumPy is the caller, so this costs nothing

        def as_object(value: Any) -> Any:
            if not isinstance(value, SymbolicDim):
                return value
            box = np.empty((), dtype=object)
            box[()] = value
            return box

        return getattr(ufunc, method)(*map(as_object, inputs), **kwargs)


Dim: TypeAlias = int | SymbolicDim
DimLike: TypeAlias = int | str


def terms_of(dim: Dim) -> Terms:
    """The terms whose sum is `dim`; none for 0."""
    if isinstance(dim, SymbolicDim):
        return dim._terms
    return {(): dim} if dim else {}


def only_atom(dim: Dim) -> Atom | None:
    """The atom that is the whole of `dim`, if it is one."""
    (monomial, coefficient), *rest = terms_of(dim).items() or [((), 0)]
    return monomial[0] if not rest and coefficient == 1 and len(monomial) == 1 else None


def is_known(dim: DimLike) -> bool:
    """Whether `dim` is an integer rather than an expression."""
    return not isinstance(dim, str)


def make(terms: Terms) -> Dim:
    """The dimension with these terms, within bounds; an int if it is constant."""
    terms = {m: c for m, c in terms.items() if c}
    if any(abs(c).bit_length() > MAX_BITS for c in terms.values()):
        raise DimTooComplex(f"dimension has a coefficient of more than {MAX_BITS} bits")
    if not terms or (len(terms) == 1 and () in terms):
        return terms.get((), 0)
    if len(terms) > MAX_TERMS:
        raise DimTooComplex(f"dimension has {len(terms)} terms, more than {MAX_TERMS}")
    if any(len(m) > MAX_DEGREE for m in terms):
        raise DimTooComplex(f"dimension has a degree above {MAX_DEGREE}")
    text = print_terms(terms)
    if len(text) > MAX_TEXT:
        raise DimTooComplex(f"dimension is longer than {MAX_TEXT} characters: {text[:60]}...")
    dim = str.__new__(SymbolicDim, text)
    dim._terms = terms
    return dim


def make_atom(kind: str, text: str, args: tuple[Dim, ...] = ()) -> SymbolicDim:
    """The dimension that is one atom; `kind` is symbol, floor, mod, max or min."""
    atom = Atom(text)
    atom.kind, atom.args = kind, args
    atom.depth = 1 + max((a.depth for arg in args for m in terms_of(arg) for a in m), default=0)
    if atom.depth > MAX_ATOM_DEPTH:
        raise DimTooComplex(
            f"dimension nests functions deeper than {MAX_ATOM_DEPTH}: {text[:60]}..."
        )
    return make({(atom,): 1})  # type: ignore[return-value]


@lru_cache(CACHE_SIZE)
def add(a: Dim, b: Dim) -> Dim:
    result = dict(terms_of(a))
    for monomial, coefficient in terms_of(b).items():
        result[monomial] = result.get(monomial, 0) + coefficient
    return make(result)


@lru_cache(CACHE_SIZE)
def subtract(a: Dim, b: Dim) -> Dim:
    return add(a, multiply(-1, b))


@lru_cache(CACHE_SIZE)
def multiply(a: Dim, b: Dim) -> Dim:
    result: Terms = {}
    for m, c in terms_of(a).items():
        for n, d in terms_of(b).items():
            monomial = tuple(sorted(m + n))
            result[monomial] = result.get(monomial, 0) + c * d
    return make(result)


def _apply(function: Callable[[Dim, Dim], Dim], dim: SymbolicDim, other: object) -> Dim:
    if type(other) is int or isinstance(other, SymbolicDim):
        return function(dim, other)
    if isinstance(other, str):  # str would concatenate
        raise TypeError(f"cannot combine dimension {dim} with text {other!r}: use symbol() first")
    try:
        value = operator.index(other)  # type: ignore[arg-type]
    except TypeError:
        return NotImplemented  # type: ignore[no-any-return]
    return function(dim, value)
