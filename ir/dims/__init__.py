"""Tensor dimensions: Python ints, or symbolic integer expressions.

A `SymbolicDim` is a `str` whose text is the canonical printed form of an integer polynomial over
*atoms*: symbols (`N`, each an integer >= 0) and the functions `floor(p/q)`, `mod(p, q)`,
`max(a, b, ...)` and `min(a, b, ...)`. Equal polynomials therefore print, compare and hash alike,
and a dimension serialises as the string that it is. Arithmetic with ints and other dimensions
gives an int as soon as the result is constant.

A division is simplified as if its divisor were not zero: where it is zero the original expression
has no value. Text is untrusted: length, nesting, number of terms, degree and coefficients are
bounded, and whatever exceeds a bound raises ValueError.

The modules, each built on those before it: `limits`, `terms` (canonical form), `expression`
(the class and its ring operations), `names` (symbols), `bounds`, `division`, `aggregates`
(product, max, min), `evaluation`, `parser`, `comparison`, `unification`.
"""

from __future__ import annotations

from ir.dims.aggregates import max_dim, min_dim, product
from ir.dims.bounds import is_non_negative, lower_bound, upper_bound
from ir.dims.comparison import definitely_equal, may_equal
from ir.dims.division import ceil_div, exact_div, floor_divide, modulo
from ir.dims.evaluation import evaluate, substitute
from ir.dims.expression import Dim, DimLike, SymbolicDim, is_known
from ir.dims.limits import DimTooComplex
from ir.dims.names import as_dim, symbol, symbols
from ir.dims.parser import parse
from ir.dims.unification import unify

__all__ = [
    "Dim",
    "DimLike",
    "DimTooComplex",
    "SymbolicDim",
    "as_dim",
    "ceil_div",
    "definitely_equal",
    "evaluate",
    "exact_div",
    "is_known",
    "is_non_negative",
    "lower_bound",
    "max_dim",
    "may_equal",
    "min_dim",
    "parse",
    "product",
    "substitute",
    "symbol",
    "symbols",
    "unify",
    "upper_bound",
]

# What `SymbolicDim` needs of the modules that are built on it; all other imports go one way.
SymbolicDim._floor_divide = floor_divide
SymbolicDim._modulo = modulo
SymbolicDim._parse = parse
