"""Division: `p // q`, `p % q`, and their forms that round up or must be exact.

`p // q` and `p % q` first divide by the leading term of `q` (polynomial long division over the
integers, Cox, Little, O'Shea, "Ideals, Varieties, and Algorithms", section 2.3), so only a reduced
remainder stays below `floor` or `mod`.
"""

from __future__ import annotations

from functools import lru_cache
from math import gcd

from ir.dims.bounds import at_least, is_non_negative, lower_bound, upper_bound
from ir.dims.expression import Dim, DimLike, make, make_atom, multiply, only_atom, terms_of
from ir.dims.limits import CACHE_SIZE, MAX_TERMS
from ir.dims.names import as_dim
from ir.dims.terms import Monomial, Terms, common_part, graded_order, without


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
    quotient, remainder = divide(p, q)
    return quotient if remainder == 0 else None


@lru_cache(CACHE_SIZE)
def floor_divide(a: Dim, b: Dim) -> Dim:
    """`a // b`, of which no more than needed stays below `floor`."""
    p, q, _ = _oriented(a, b)
    quotient, p = divide(p, q)
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
            for m, c in terms_of(p).items()
            if c == 1 and len(m) == 1 and m[0].kind == "floor" and isinstance(m[0].args[1], int)
        ]
        if len(nested) == 1:
            x, d = nested[0].args
            return quotient + (x + d * (p - make({(nested[0],): 1}))) // (d * q)
    constant = _constant_quotient(p, q)
    if constant is not None:
        return quotient + constant
    return quotient + make_atom("floor", _print_floor(p, q), (p, q))


@lru_cache(CACHE_SIZE)
def modulo(a: Dim, b: Dim) -> Dim:
    """`a % b`, with the sign of `b` as in Python."""
    p, q, sign = _oriented(a, b)
    p = divide(p, q)[1]
    if p == 0:
        return 0
    if isinstance(p, int) and isinstance(q, int):
        return sign * (p % q)
    if isinstance(q, int):
        for m, c in terms_of(p).items():  # c*mod(x, d) is congruent to c*x if q divides c*d
            if len(m) == 1 and m[0].kind == "mod" and isinstance(m[0].args[1], int):
                x, d = m[0].args
                if c * d % q == 0:
                    return sign * ((p + c * (x - make({m: 1}))) % q)
    small_p, small_q, factor, rest = _cancel(p, q)
    if small_q != q:
        return sign * (factor * (small_p % small_q) + rest)
    constant = _constant_quotient(p, q)
    if constant is not None:
        return sign * (p - q * constant)
    return sign * make_atom("mod", f"mod({p}, {q})", (p, q))


def _print_floor(p: Dim, q: Dim) -> str:
    over = f"({p})" if len(terms_of(p)) > 1 else str(p)
    simple = isinstance(q, int) or (only_atom(q) is not None)
    return f"floor({over}/{q if simple else f'({q})'})"


def divide(p: Dim, q: Dim) -> tuple[Dim, Dim]:
    """Polynomials `(s, r)` with `p == s*q + r`, no term of `r` reducible by the leading one of `q`.

    `q` has a positive leading coefficient. A division of too many steps is not begun: `(0, p)`.
    """
    divisor = terms_of(q)
    lead = min(divisor, key=graded_order)
    work, quotient, remainder = dict(terms_of(p)), Terms(), Terms()
    for _ in range(4 * MAX_TERMS):
        if not work:
            return make(quotient), make(remainder)
        monomial = min(work, key=graded_order)
        coefficient = work[monomial]
        factor = without(monomial, lead)
        times, rest = (0, coefficient) if factor is None else divmod(coefficient, divisor[lead])
        if factor is not None and times:
            quotient[factor] = times
            for m, c in divisor.items():
                target = tuple(sorted(m + factor))
                work[target] = work.get(target, 0) - times * c
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
    above, below = terms_of(p), terms_of(q)
    if isinstance(q, int):
        g = gcd(q, *(c for m, c in above.items() if m))
        return make({m: c // g for m, c in above.items()}), q // g, g, above.get((), 0) % g
    g = gcd(*above.values(), *below.values())
    shared: Monomial = min((*above, *below), key=len)
    for monomial in (*above, *below):
        shared = shared if not shared else common_part(shared, monomial)

    def reduced(terms: Terms) -> Dim:
        return make({without(m, shared) or (): c // g for m, c in terms.items()})

    return reduced(above), reduced(below), make({shared: g}), 0


def _oriented(p: Dim, q: Dim) -> tuple[Dim, Dim, int]:
    """`(p, q, 1)` or `(-p, -q, -1)`, such that the leading coefficient of `q` is positive."""
    if q == 0:
        raise ZeroDivisionError(f"dimension {p} is divided by 0")
    terms = terms_of(q)
    if terms[min(terms, key=graded_order)] > 0:
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
    if low is not None and low >= 0 and at_least(q, p, 1):
        return 0
    if high is not None and high < 0 and at_least(q, multiply(-1, p), 0):
        return -1
    return None
