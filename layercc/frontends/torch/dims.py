"""Dims of PyTorch (SymPy expressions over symbols) as dims of the IR."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

import sympy

from ir.dims import Dim, floor_divide, max_dim, min_dim, modulo
from layercc.frontends.torch.registry import Refused

#: Floats in expressions of dims (`floor(N * 1.5)`) count as fractions of at most this denominator.
LARGEST_DENOMINATOR = 1 << 10


def expression_of(size: Any) -> Any:
    """The SymPy expression of a SymInt; an int, or an expression, as it is."""
    if isinstance(size, sympy.Expr):
        return size
    node = getattr(size, "node", None)
    return int(size) if node is None else node.expr


def as_dim(size: Any, symbols: Mapping[Any, Dim]) -> Dim:
    """A size (int, SymInt or SymPy expression) as a dim, its symbols replaced.

    Raises Refused for a symbol whose value comes from data, or a function that dims do not have.
    """
    if isinstance(size, int):
        return int(size)
    expression = expression_of(size)
    if isinstance(expression, int):
        return expression
    return _converted(expression, symbols)


def _converted(e: Any, symbols: Mapping[Any, Dim]) -> Dim:
    if isinstance(e, sympy.Symbol):
        if e not in symbols:
            raise Refused(f"the size {e} is known only once data has been read")
        return symbols[e]
    if isinstance(e, sympy.Integer):
        return int(e)
    kind = type(e).__name__
    if kind in _ROUNDED:
        return _floor_of(e.args[0], symbols, up=kind == "CeilToInt")
    if kind not in _FUNCTIONS:
        raise Refused(f"the size {e} is no expression of +, -, *, //, %, max and min")
    if isinstance(e, sympy.Pow) and not (e.exp.is_Integer and e.exp >= 0):
        raise Refused(f"the size {e} is no polynomial")
    args = [int(e.exp) if e.is_Pow and i else _converted(a, symbols) for i, a in enumerate(e.args)]
    return _FUNCTIONS[kind](*args)


def _floor_of(e: Any, symbols: Mapping[Any, Dim], up: bool) -> Dim:
    """Floor, or ceiling, of a real expression that is a rational multiple of an integer one."""
    above, below = _fraction(e, symbols)
    return -floor_divide(-above, below) if up else floor_divide(above, below)


def _fraction(e: Any, symbols: Mapping[Any, Dim]) -> tuple[Dim, int]:
    """Numerator and denominator."""
    kind = type(e).__name__
    if isinstance(e, sympy.Float | sympy.Rational):
        exact = Fraction(float(e)) if isinstance(e, sympy.Float) else Fraction(int(e.p), int(e.q))
        near = exact.limit_denominator(LARGEST_DENOMINATOR)
        if near != exact and float(near) != float(exact):
            raise Refused(f"the size has the factor {float(exact)}, which is no small fraction")
        return near.numerator, near.denominator
    if kind == "ToFloat":
        return _converted(e.args[0], symbols), 1
    if kind in ("IntTrueDiv", "FloatTrueDiv"):
        (a, b), (c, d) = (_fraction(arg, symbols) for arg in e.args)
        if not isinstance(c, int) or c <= 0:
            raise Refused(f"the size has the divisor {e.args[1]}, which is not known")
        return a * d, b * c
    if isinstance(e, sympy.Mul):
        above, below = 1, 1
        for arg in e.args:
            a, b = _fraction(arg, symbols)
            above, below = above * a, below * b  # type: ignore[assignment]
        return above, below
    return _converted(e, symbols), 1


def _sum(*dims: Dim) -> Dim:
    total: Dim = 0
    for dim in dims:
        total = total + dim
    return total


def _product(*dims: Dim) -> Dim:
    result: Dim = 1
    for dim in dims:
        result = result * dim
    return result


_ROUNDED = ("FloorToInt", "TruncToInt", "CeilToInt", "floor")
_FUNCTIONS: dict[str, Callable[..., Dim]] = {
    "Add": _sum,
    "Mul": _product,
    "Pow": lambda base, exponent: base**exponent,
    "PowByNatural": lambda base, exponent: base**exponent,
    "FloorDiv": floor_divide,
    "CleanDiv": floor_divide,
    "CeilDiv": lambda a, b: -floor_divide(-a, b),
    "Mod": modulo,
    "PythonMod": modulo,
    "Max": max_dim,
    "Min": min_dim,
}
