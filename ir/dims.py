"""Tensor dimensions: Python ints, or symbolic integer expressions.

A `SymbolicDim` is a `str` whose text is the canonical printed form of an integer polynomial over
*atoms*: symbols (`N`, each an integer >= 0) and the functions `floor(p/q)`, `mod(p, q)`,
`max(a, b, ...)` and `min(a, b, ...)`. Equal polynomials therefore print, compare and hash alike,
and a dimension serialises as the string that it is. Arithmetic with ints and other dimensions
gives an int as soon as the result is constant.

Canonical form. Monomials are sorted tuples of atoms in graded lexicographic order. `p // q` and
`p % q` first divide by the leading term of `q` (polynomial long division over the integers, Cox,
Little, O'Shea, "Ideals, Varieties, and Algorithms", section 2.3), so only a reduced remainder
stays below `floor` or `mod`. Identities that tie *different* atoms together, as in
`N - floor(N/2) == floor((N + 1)/2)`, are left to `definitely_equal`.

A division is simplified as if its divisor were not zero: where it is zero the original expression
has no value. Text is untrusted: length, nesting, number of terms, degree and coefficients are
bounded, and whatever exceeds a bound raises ValueError.
"""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import groupby, islice
from math import gcd
from typing import Any, NoReturn, SupportsIndex, TypeAlias

MAX_TEXT = 1000
MAX_TERMS = 64
MAX_DEGREE = 32
MAX_ATOM_DEPTH = 16
MAX_NESTING = 48
MAX_BITS = 256
_CACHE = 4096


class _Atom(str):
    """A symbol or function application; its text identifies it."""

    __slots__ = ("args", "depth", "kind")
    kind: str
    args: tuple[Dim, ...]
    depth: int


Monomial: TypeAlias = tuple[_Atom, ...]  # sorted, an atom repeated as often as its power
Terms: TypeAlias = dict[Monomial, int]  # no zero coefficients; never changed once stored


class SymbolicDim(str):
    """An immutable integer expression that is also its own canonical text."""

    __slots__ = ("_terms",)
    _terms: Terms

    def __new__(cls, text: str) -> SymbolicDim:
        """Parse `text`; ValueError if it is no expression or has a constant value."""
        dim = parse(text)
        if isinstance(dim, int):
            raise ValueError(f"{text!r} is the constant {dim}, not a symbolic dimension")
        return dim

    def __add__(self, other: int | SymbolicDim) -> Dim:  # type: ignore[override]
        return _apply(_add, self, other)

    def __radd__(self, other: int | SymbolicDim) -> Dim:
        return _apply(_add, self, other)

    def __sub__(self, other: int | SymbolicDim) -> Dim:
        return _apply(_subtract, self, other)

    def __rsub__(self, other: int | SymbolicDim) -> Dim:
        return _apply(lambda a, b: _subtract(b, a), self, other)

    def __mul__(self, other: int | SymbolicDim) -> Dim:  # type: ignore[override]
        return _apply(_multiply, self, other)

    def __rmul__(self, other: int | SymbolicDim) -> Dim:  # type: ignore[override]
        return _apply(_multiply, self, other)

    def __floordiv__(self, other: int | SymbolicDim) -> Dim:
        return _apply(_floor_divide, self, other)

    def __rfloordiv__(self, other: int | SymbolicDim) -> Dim:
        return _apply(lambda a, b: _floor_divide(b, a), self, other)

    def __mod__(self, other: int | SymbolicDim) -> Dim:  # type: ignore[override]
        return _apply(_modulo, self, other)

    def __rmod__(self, other: int | SymbolicDim) -> Dim:
        if isinstance(other, str) and not isinstance(other, SymbolicDim):
            return NotImplemented  # "%s" % dim is text formatting
        return _apply(lambda a, b: _modulo(b, a), self, other)

    def __neg__(self) -> SymbolicDim:
        return _multiply(-1, self)  # type: ignore[return-value]

    def __pos__(self) -> SymbolicDim:
        return self

    def __pow__(self, exponent: int) -> Dim:
        if not 0 <= operator.index(exponent) <= MAX_DEGREE:
            raise ValueError(f"{self}: power {exponent} is not in 0..{MAX_DEGREE}")
        return product([self] * exponent)

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
        return parse, (str(self),)

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


# --- construction and printing


def _order(monomial: Monomial) -> tuple[int, Monomial]:
    """Sort key of graded lexicographic order, leading monomial first."""
    return -len(monomial), monomial


def _print_terms(terms: Terms) -> str:
    monomials = sorted(terms, key=_order)
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


def _make(terms: Terms) -> Dim:
    """The dimension with these terms, within bounds; an int if it is constant."""
    terms = {m: c for m, c in terms.items() if c}
    if any(abs(c).bit_length() > MAX_BITS for c in terms.values()):
        raise ValueError(f"dimension has a coefficient of more than {MAX_BITS} bits")
    if not terms or (len(terms) == 1 and () in terms):
        return terms.get((), 0)
    if len(terms) > MAX_TERMS:
        raise ValueError(f"dimension has {len(terms)} terms, more than {MAX_TERMS}")
    if any(len(m) > MAX_DEGREE for m in terms):
        raise ValueError(f"dimension has a degree above {MAX_DEGREE}")
    text = _print_terms(terms)
    if len(text) > MAX_TEXT:
        raise ValueError(f"dimension is longer than {MAX_TEXT} characters: {text[:60]}...")
    dim = str.__new__(SymbolicDim, text)
    dim._terms = terms
    return dim


def _make_atom(kind: str, text: str, args: tuple[Dim, ...] = ()) -> SymbolicDim:
    atom = _Atom(text)
    atom.kind, atom.args = kind, args
    atom.depth = 1 + max((a.depth for arg in args for m in _terms(arg) for a in m), default=0)
    if atom.depth > MAX_ATOM_DEPTH:
        raise ValueError(f"dimension nests functions deeper than {MAX_ATOM_DEPTH}: {text[:60]}...")
    return _make({(atom,): 1})  # type: ignore[return-value]


def _print_floor(p: Dim, q: Dim) -> str:
    over = f"({p})" if len(_terms(p)) > 1 else str(p)
    simple = isinstance(q, int) or (_only_atom(q) is not None)
    return f"floor({over}/{q if simple else f'({q})'})"


def _terms(dim: Dim) -> Terms:
    if isinstance(dim, SymbolicDim):
        return dim._terms
    return {(): dim} if dim else {}


def _only_atom(dim: Dim) -> _Atom | None:
    """The atom that is the whole of `dim`, if it is one."""
    (monomial, coefficient), *rest = _terms(dim).items() or [((), 0)]
    return monomial[0] if not rest and coefficient == 1 and len(monomial) == 1 else None


def as_dim(value: DimLike | SupportsIndex) -> Dim:
    """An int, a dimension, or the `symbol` for plain text; TypeError for anything else."""
    if isinstance(value, SymbolicDim):
        return value
    return symbol(value) if isinstance(value, str) else operator.index(value)


# --- arithmetic


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


@lru_cache(_CACHE)
def _add(a: Dim, b: Dim) -> Dim:
    result = dict(_terms(a))
    for monomial, coefficient in _terms(b).items():
        result[monomial] = result.get(monomial, 0) + coefficient
    return _make(result)


@lru_cache(_CACHE)
def _subtract(a: Dim, b: Dim) -> Dim:
    return _add(a, _multiply(-1, b))


@lru_cache(_CACHE)
def _multiply(a: Dim, b: Dim) -> Dim:
    result: Terms = {}
    for m, c in _terms(a).items():
        for n, d in _terms(b).items():
            monomial = tuple(sorted(m + n))
            result[monomial] = result.get(monomial, 0) + c * d
    return _make(result)


def _without(monomial: Monomial, part: Monomial) -> Monomial | None:
    """`monomial / part`, or None if it does not divide."""
    rest = list(monomial)
    for atom in part:
        if atom not in rest:
            return None
        rest.remove(atom)
    return tuple(rest)


def _divide(p: Dim, q: Dim) -> tuple[Dim, Dim]:
    """Polynomials `(s, r)` with `p == s*q + r`, no term of `r` reducible by the leading one of `q`.

    `q` has a positive leading coefficient. A division of too many steps is not begun: `(0, p)`.
    """
    divisor = _terms(q)
    lead = min(divisor, key=_order)
    work, quotient, remainder = dict(_terms(p)), Terms(), Terms()
    for _ in range(4 * MAX_TERMS):
        if not work:
            return _make(quotient), _make(remainder)
        monomial = min(work, key=_order)
        coefficient = work[monomial]
        factor = _without(monomial, lead)
        times, rest = (0, coefficient) if factor is None else divmod(coefficient, divisor[lead])
        if factor is not None and times:
            quotient[factor] = times
            for m, c in divisor.items():
                product_ = tuple(sorted(m + factor))
                work[product_] = work.get(product_, 0) - times * c
        work.pop(monomial)
        work = {m: c for m, c in work.items() if c}
        if rest:
            remainder[monomial] = rest
    return 0, p


def _cancel(p: Dim, q: Dim) -> tuple[Dim, Dim, Dim, int]:
    """`(p', q', g, r)` with `p // q == p' // q'` and `p % q == g*(p' % q') + r`.

    From `floor((g*x + r)/(g*q)) == floor((x + floor(r/g))/q)` for integers, and by dividing both
    sides by what all their terms share.
    """
    above, below = _terms(p), _terms(q)
    if isinstance(q, int):
        g = gcd(q, *(c for m, c in above.items() if m))
        return _make({m: c // g for m, c in above.items()}), q // g, g, above.get((), 0) % g
    g = gcd(*above.values(), *below.values())
    shared: Monomial = min((*above, *below), key=len)
    for monomial in (*above, *below):
        shared = shared if not shared else _common(shared, monomial)

    def reduced(terms: Terms) -> Dim:
        return _make({_without(m, shared) or (): c // g for m, c in terms.items()})

    return reduced(above), reduced(below), _make({shared: g}), 0


def _common(a: Monomial, b: Monomial) -> Monomial:
    rest, common = list(b), []
    for atom in a:
        if atom in rest:
            rest.remove(atom)
            common.append(atom)
    return tuple(common)


def _oriented(p: Dim, q: Dim) -> tuple[Dim, Dim, int]:
    """`(p, q, 1)` or `(-p, -q, -1)`, such that the leading coefficient of `q` is positive."""
    if q == 0:
        raise ZeroDivisionError(f"dimension {p} is divided by 0")
    terms = _terms(q)
    if terms[min(terms, key=_order)] > 0:
        return p, q, 1
    return -p, -q, -1


def _constant_quotient(p: Dim, q: Dim) -> int | None:
    """`p // q` if bounds of `p` and `q` show it to be one integer."""
    low, high = lower_bound(p), upper_bound(p)
    if isinstance(q, int):
        same = low is not None and high is not None and low // q == high // q
        return low // q if same and low is not None else None
    if not is_non_negative(q):
        return None
    if low is not None and low >= 0 and _at_least(q, p, 1):
        return 0
    if high is not None and high < 0 and _at_least(q, _multiply(-1, p), 0):
        return -1
    return None


@lru_cache(_CACHE)
def _floor_divide(a: Dim, b: Dim) -> Dim:
    p, q, _ = _oriented(a, b)
    quotient, p = _divide(p, q)
    if p == 0:
        return quotient
    if isinstance(p, int) and isinstance(q, int):
        return quotient + p // q
    small_p, small_q, _, _ = _cancel(p, q)
    if small_q != q:
        return quotient + small_p // small_q
    if isinstance(q, int):
        # floor((floor(x/d) + k)/q) == floor((x + d*k)/(d*q))
        nested = [
            m[0]
            for m, c in _terms(p).items()
            if c == 1 and len(m) == 1 and m[0].kind == "floor" and isinstance(m[0].args[1], int)
        ]
        if len(nested) == 1:
            x, d = nested[0].args
            return quotient + (x + d * (p - _make({(nested[0],): 1}))) // (d * q)
    constant = _constant_quotient(p, q)
    if constant is not None:
        return quotient + constant
    return quotient + _make_atom("floor", _print_floor(p, q), (p, q))


@lru_cache(_CACHE)
def _modulo(a: Dim, b: Dim) -> Dim:
    p, q, sign = _oriented(a, b)
    p = _divide(p, q)[1]
    if p == 0:
        return 0
    if isinstance(p, int) and isinstance(q, int):
        return sign * (p % q)
    if isinstance(q, int):
        for m, c in _terms(p).items():  # c*mod(x, d) is congruent to c*x if q divides c*d
            if len(m) == 1 and m[0].kind == "mod" and isinstance(m[0].args[1], int):
                x, d = m[0].args
                if c * d % q == 0:
                    return sign * ((p + c * (x - _make({m: 1}))) % q)
    small_p, small_q, factor, rest = _cancel(p, q)
    if small_q != q:
        return sign * (factor * (small_p % small_q) + rest)
    constant = _constant_quotient(p, q)
    if constant is not None:
        return sign * (p - q * constant)
    return sign * _make_atom("mod", f"mod({p}, {q})", (p, q))


@lru_cache(_CACHE)
def _extremum(kind: str, dims: tuple[Dim, ...]) -> Dim:
    """`max` or `min`: flattened, sorted, without arguments that another one surely dominates."""
    flat: list[Dim] = []
    for dim in dims:
        atom = _only_atom(dim)
        flat.extend(atom.args if atom is not None and atom.kind == kind else [dim])

    def dominates(a: Dim, b: Dim) -> bool:
        return _at_least(a, b, 0) if kind == "max" else _at_least(b, a, 0)

    kept: list[Dim] = []
    for dim in sorted(set(flat), key=lambda d: (isinstance(d, int), str(d))):
        if not any(dominates(other, dim) for other in kept):
            kept = [other for other in kept if not dominates(dim, other)] + [dim]
    if len(kept) == 1:
        return kept[0]
    return _make_atom(kind, f"{kind}({', '.join(map(str, kept))})", tuple(kept))


def max_dim(*dims: DimLike) -> Dim:
    """The largest of one or more dimensions."""
    return _extremum("max", tuple(as_dim(d) for d in dims))


def min_dim(*dims: DimLike) -> Dim:
    """The smallest of one or more dimensions."""
    return _extremum("min", tuple(as_dim(d) for d in dims))


def ceil_div(a: DimLike, b: DimLike) -> Dim:
    """`a / b` rounded up; prints as `floor((a + b - 1)/b)` where `b` is surely not negative."""
    a, b = as_dim(a), as_dim(b)
    return (a + b - 1) // b if is_non_negative(b) else -(-a // b)


def exact_div(a: DimLike, b: DimLike) -> Dim | None:
    """The polynomial `c` with `a == b*c`, or None if there is none or `b` is 0.

    A symbolic `b` counts as not zero: `exact_div(4*N, N)` is 4.
    """
    a, b = as_dim(a), as_dim(b)
    if b == 0:
        return None
    p, q, _ = _oriented(a, b)
    quotient, remainder = _divide(p, q)
    return quotient if remainder == 0 else None


def product(dims: Iterable[DimLike]) -> Dim:
    """The product of all `dims`; 1 if there are none."""
    result: Dim = 1
    for dim in dims:
        result = result * as_dim(dim)
    return result


# --- bounds and comparison


def _at_least(a: Dim, b: Dim, margin: int) -> bool:
    """Whether `a - b >= margin` can be shown."""
    try:
        low = lower_bound(a - b)
    except ValueError:  # the difference is too large an expression
        return False
    return low is not None and low >= margin


def lower_bound(dim: DimLike) -> int | None:
    """An integer that `dim` never falls below, with all symbols >= 0; None if none is known."""
    return _lower(as_dim(dim), 3)


def upper_bound(dim: DimLike) -> int | None:
    """An integer that `dim` never exceeds, with all symbols >= 0; None if none is known."""
    low = _lower(-as_dim(dim), 3)
    return None if low is None else -low


@lru_cache(_CACHE)
def _lower(dim: Dim, effort: int) -> int | None:
    """Interval arithmetic, improved by replacing atoms with rational bounds of theirs."""
    if isinstance(dim, int):
        return dim
    bounds = [(c, _monomial_bounds(m)[0 if c > 0 else 1]) for m, c in dim._terms.items()]
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
    for monomial, coefficient in dim._terms.items():
        for position, atom in enumerate(monomial):
            others = monomial[:position] + monomial[position + 1 :]
            low = _monomial_bounds(others)[0]
            if atom.kind == "symbol" or low is None or low < 0:
                continue
            for bounds, scale in _atom_relaxations(atom, coefficient > 0):
                try:
                    rest = scale * (dim - _make({monomial: coefficient}))
                    yield [rest + _make({others: coefficient}) * bound for bound in bounds], scale
                except ValueError:  # too large an expression: do without
                    continue


def _atom_relaxations(atom: _Atom, from_below: bool) -> Iterator[tuple[tuple[Dim, ...], int]]:
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


def _atom_bounds(atom: _Atom) -> tuple[int | None, int | None]:
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


def is_known(dim: DimLike) -> bool:
    """Whether `dim` is an integer rather than an expression."""
    return not isinstance(dim, str)


def is_non_negative(dim: DimLike) -> bool:
    """Whether `dim >= 0` can be shown, with all symbols >= 0."""
    low = lower_bound(dim)
    return low is not None and low >= 0


def _difference(a: DimLike, b: DimLike) -> Dim | None:
    """`a - b`, rewritten so that more equal expressions cancel; None if it grows too large."""
    try:
        return _fold(as_dim(a) - as_dim(b), lambda atom: _make({(atom,): 1}), _related)
    except (ValueError, ZeroDivisionError):
        return None


def _related(kind: str, args: Sequence[Dim]) -> Dim:
    """`mod` through `floor`; of `floor(p/q)` and `-floor((q - 1 - p)/q)`, equals, the shorter."""
    if kind == "mod":
        p, q = args
        return p - q * _related("floor", args)
    if kind == "floor" and isinstance(args[1], int) and args[1] > 0:
        q = args[1]
        quotient, p = _divide(args[0], q)
        mirror_quotient, mirror = _divide(q - 1 - p, q)
        if (len(str(mirror)), str(mirror)) < (len(str(p)), str(p)):
            return quotient - mirror_quotient - mirror // q
    return _calculate(kind, args)


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
    divisor = gcd(*(c for m, c in difference._terms.items() if m))  # 2*N + 1 is never 0
    return difference._terms.get((), 0) % divisor == 0


# --- symbols and their values


def _quote(name: str) -> str:
    return json.dumps(name, ensure_ascii=not name.isprintable())


def _make_symbol(name: str) -> SymbolicDim:
    return _make_atom("symbol", name if _NAME.fullmatch(name) else _quote(name))


@lru_cache(_CACHE)
def symbol(name: str) -> SymbolicDim:
    """The symbol or expression that an ONNX `dim_param` text stands for.

    Identifiers are symbols, text that `parse` reads as an expression is that expression, and any
    other text ("batch size", "?", "-1") is an opaque symbol, printed in JSON quotes: distinct
    texts stay distinct, and `parse` reads the quoted form. ValueError if the text is too long.
    """
    if len(name) > MAX_TEXT:
        raise ValueError(f"dimension name is longer than {MAX_TEXT} characters: {name[:60]}...")
    if _NAME.fullmatch(name):
        return _make_symbol(name)
    try:
        dim = parse(name)
    except ValueError:
        return _make_symbol(name)
    return dim if isinstance(dim, SymbolicDim) else _make_symbol(name)


def symbols(dim: DimLike) -> frozenset[str]:
    """The symbols in `dim`, as printed (names that are no identifiers are in quotes)."""
    found: set[str] = set()
    pending = [as_dim(dim)]
    while pending:
        for monomial in _terms(pending.pop()):
            for atom in monomial:
                if atom.kind == "symbol":
                    found.add(str(atom))
                pending.extend(atom.args)
    return frozenset(found)


def _calculate(kind: str, args: Sequence[Dim]) -> Dim:
    if kind == "floor":
        return args[0] // args[1]
    if kind == "mod":
        return args[0] % args[1]
    if all(isinstance(arg, int) for arg in args):
        return max(args) if kind == "max" else min(args)
    return _extremum(kind, tuple(args))


def _fold(
    dim: Dim,
    value: Callable[[_Atom], Dim],
    calculate: Callable[[str, Sequence[Dim]], Dim] = _calculate,
) -> Dim:
    """Compute `dim` afresh from the `value` of each symbol."""
    result: Dim = 0
    for monomial, coefficient in _terms(dim).items():
        term: Dim = coefficient
        for atom in monomial:
            if atom.kind == "symbol":
                factor = value(atom)
            else:
                factor = calculate(atom.kind, [_fold(arg, value, calculate) for arg in atom.args])
            term = term * factor
        result = result + term
    return result


def _lookup(mapping: Mapping[str, Any], name: str) -> Any:
    """The entry of a symbol by its printed name or, for a quoted one, its bare name."""
    if name in mapping:
        return mapping[name]
    return mapping.get(json.loads(name)) if name.startswith('"') else None


def evaluate(dim: DimLike, bindings: Mapping[str, int]) -> int:
    """The value of `dim`, given that of each symbol.

    Raises KeyError naming a symbol without a value, ZeroDivisionError if a divisor is 0.
    """

    def value(atom: _Atom) -> int:
        found = _lookup(bindings, atom)
        if found is None:
            raise KeyError(f"no value for symbol {atom} in dimension {dim}")
        return operator.index(found)

    return _fold(as_dim(dim), value)  # type: ignore[return-value]


def substitute(dim: DimLike, mapping: Mapping[str, DimLike]) -> Dim:
    """`dim` with symbols replaced, all at once, by the dimensions in `mapping`."""

    def value(atom: _Atom) -> Dim:
        found = _lookup(mapping, atom)
        return _make({(atom,): 1}) if found is None else as_dim(found)

    return _fold(as_dim(dim), value)


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
    (monomial, coefficient), *rest = ((m, c) for m, c in left._terms.items() if m)
    if rest or len(monomial) != 1 or monomial[0].kind != "symbol":
        return False
    value, remainder = divmod(size - left._terms.get((), 0), coefficient)
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
    atom = _only_atom(dim)
    if atom is not None and atom.kind == "symbol":
        return ""
    values = {name: _lookup(found, name) for name in sorted(symbols(dim))}
    shown = ", ".join(f"{name} = {v}" for name, v in values.items() if v is not None)
    return f" (with {shown})" if shown else ""


# --- parsing

_NAME = re.compile(r"[^\W\d]\w*")
_TOKEN = re.compile(
    r'\s*(?:(?P<number>[0-9]+)|(?P<name>[^\W\d]\w*)|(?P<quoted>"(?:[^"\\]|\\.)*")'
    r"|(?P<operator>\*\*|//|[-+*/%(),]))"
)


@lru_cache(_CACHE)
def parse(text: str) -> Dim:
    """Read an int or an expression: the printed form, and Python's or SymPy's spelling of it.

    A division must be exact or inside `floor` or `ceil`. Raises ValueError for anything else,
    and for text or expressions that exceed the bounds of this module.
    """
    if len(text) > MAX_TEXT:
        raise ValueError(f"dimension is longer than {MAX_TEXT} characters: {text[:60]}...")
    try:
        return _Parser(text).parse()
    except ZeroDivisionError as error:
        raise ValueError(f"dimension {text!r} divides by zero") from error


_Quotient: TypeAlias = tuple[Dim, Dim]  # numerator and denominator


class _Parser:
    """Recursive descent with Python's precedence."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens: list[tuple[str, str]] = []
        self.position = self.nesting = 0
        end = len(text.rstrip())
        start = 0
        while start < end:
            match = _TOKEN.match(text, start, end)
            if match is None or match.lastgroup is None:
                raise self.error(f"unexpected {text[start:].strip()[:20]!r}")
            self.tokens.append((match.lastgroup, match[match.lastgroup]))
            start = match.end()

    def error(self, problem: str) -> ValueError:
        return ValueError(f"cannot read dimension {self.text!r}: {problem}")

    def parse(self) -> Dim:
        dim = self.whole(self.sum())
        if self.position < len(self.tokens):
            raise self.error(f"unexpected {self.tokens[self.position][1]!r}")
        return dim

    def whole(self, value: _Quotient) -> Dim:
        quotient = exact_div(*value)
        if quotient is None:
            raise self.error(f"({value[0]})/({value[1]}) is not an integer expression")
        return quotient

    def accept(self, *operators: str) -> str | None:
        if self.position < len(self.tokens):
            kind, token = self.tokens[self.position]
            if kind == "operator" and token in operators:
                self.position += 1
                return token
        return None

    def expect(self, token: str) -> None:
        if not self.accept(token):
            raise self.error(f"{token!r} is missing")

    def sum(self) -> _Quotient:
        over, under = self.term()
        while sign := self.accept("+", "-"):
            p, q = self.term()
            p = p if sign == "+" else -p
            over, under = (over + p, q) if q == under else (over * q + p * under, under * q)
        return over, under

    def term(self) -> _Quotient:
        over, under = self.signed()
        while sign := self.accept("*", "/", "//", "%"):
            p, q = self.signed()
            if sign == "*":
                over, under = over * p, under * q
            elif p == 0:
                raise self.error("division by zero")
            elif sign == "/":
                over, under = over * q, under * p
            elif sign == "//":
                over, under = (over * q) // (under * p), 1
            else:
                over, under = self.whole((over, under)) % self.whole((p, q)), 1
        return over, under

    def signed(self) -> _Quotient:
        negative = False
        while sign := self.accept("+", "-"):
            negative ^= sign == "-"
        over, under = self.power()
        return (-over if negative else over), under

    def power(self) -> _Quotient:
        base = self.primary()
        if not self.accept("**"):
            return base
        kind, token = self.take()
        if kind != "number" or len(token) > 2 or int(token) > MAX_DEGREE:
            raise self.error(f"power {token!r} is not an integer up to {MAX_DEGREE}")
        result = product([self.whole(base)] * int(token))
        if isinstance(result, int) and result.bit_length() > MAX_BITS:
            raise self.error(f"a number has more than {MAX_BITS} bits")
        return result, 1

    def take(self) -> tuple[str, str]:
        if self.position == len(self.tokens):
            raise self.error("it ends too early")
        self.position += 1
        return self.tokens[self.position - 1]

    def primary(self) -> _Quotient:
        kind, token = self.take()
        if kind == "number":
            if len(token) > MAX_BITS // 3:
                raise self.error(f"a number has more than {MAX_BITS // 3} digits")
            return int(token), 1
        if kind == "quoted":
            return _make_symbol(json.loads(token)), 1
        if kind == "name":
            return self.call(token) if self.accept("(") else (_make_symbol(token), 1)
        if token != "(":
            raise self.error(f"unexpected {token!r}")
        values = self.arguments()
        if len(values) != 1:
            raise self.error("unexpected ','")
        return values[0]

    def arguments(self) -> list[_Quotient]:
        """What stands between parentheses, the opening one having been read."""
        self.nesting += 1
        if self.nesting > MAX_NESTING:
            raise self.error(f"parentheses nest deeper than {MAX_NESTING}")
        values = [self.sum()]
        while self.accept(","):
            values.append(self.sum())
        self.expect(")")
        self.nesting -= 1
        return values

    def call(self, name: str) -> _Quotient:
        function = name.lower() if name in ("Max", "Min", "Mod") else name
        values = self.arguments()
        expected = {"floor": 1, "ceil": 1, "ceiling": 1, "mod": 2}.get(function)
        if expected is None and function not in ("max", "min"):
            raise self.error(f"unknown function {name!r}")
        if expected not in (None, len(values)):
            raise self.error(f"{name!r} takes {expected} arguments, not {len(values)}")
        if function == "floor":
            return values[0][0] // values[0][1], 1
        if function in ("ceil", "ceiling"):
            return -(-values[0][0] // values[0][1]), 1
        return _calculate(function, [self.whole(value) for value in values]), 1
