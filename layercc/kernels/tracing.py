"""Scalar functions as straight-line code: called once on tracers, they are recorded on a tape.

A scalar function (`ir.scalar`, or a user's own) branches on nothing but attributes and absent
operands, both known here. Calling it on `Tracer`s, with each primitive (`exp`, `where`, ...) and
NumPy's and math's functions replaced by ones that record, gives a list of typed operations. Data
types follow NumPy's rules (NEP 50: a literal takes the type of the other operand), and integers
wrap.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from layercc.kernels.element_types import FLOATS, INTEGERS, SCALAR, SIZES
from layercc.kernels.math import primitive
from layercc.kernels.replacing import PRIMITIVES, Replacing

_NUMPY = {name: np.dtype(scalar) for name, scalar in SCALAR.items()}
_SHORT = {dtype: name for name, dtype in _NUMPY.items()}


class BranchOnValue(TypeError):
    """The function asks for the truth of a tracer: it cannot be traced."""


class Tape:
    """Typed operations in order, as lines of Python, and the names they use."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.names: dict[str, Any] = {}
        self._seen: dict[str, Tracer] = {}

    def emit(self, dtype: str, text: str) -> Tracer:
        """A tracer for the value of `text`; equal texts give one tracer."""
        if text not in self._seen:
            tracer = Tracer(self, dtype, f"t{len(self.lines)}")
            self.lines.append(f"{tracer.name} = {text}")
            self._seen[text] = tracer
        return self._seen[text]

    def name(self, hint: str, value: Any) -> str:
        """A name under which the lines can use `value`."""
        if self.names.setdefault(hint, value) is not value:
            return self.name(hint + "_", value)
        return hint

    def constant(self, value: Any, dtype: str) -> Tracer:
        """`value` as an element of `dtype`, by C's rules of conversion."""
        with np.errstate(all="ignore"):
            element = np.asarray(value).astype(_NUMPY[dtype])[()]
        hint = f"c{len(self.names)}"
        for known, other in self.names.items():
            if type(other) is type(element) and other.tobytes() == element.tobytes():
                hint, element = known, other
        return Tracer(self, dtype, self.name(hint, element), constant=True)

    def call(self, dtype: str, function: str, operand_dtype: str, *operands: Tracer) -> Tracer:
        """A primitive on operands of `operand_dtype`."""
        helper = primitive(function, operand_dtype)
        name = self.name(f"{function}_{operand_dtype}", helper)
        return self.emit(dtype, f"{name}({', '.join(tracer.name for tracer in operands)})")

    def wrap(self, dtype: str, text: str) -> Tracer:
        """`text`, whose type may be wider, as `dtype`."""
        return self.emit(dtype, text) if dtype in FLOATS else self.convert(dtype, text)

    def convert(self, dtype: str, text: str) -> Tracer:
        """`text`, of any type, as `dtype`."""
        return self.emit(dtype, f"{self.name(f'to_{dtype}', SCALAR[dtype])}({text})")


class Tracer:
    """What a scalar function is called on: a value on a tape, with the operators of Python."""

    __slots__ = ("constant", "dtype", "name", "tape")
    __hash__ = None  # type: ignore[assignment]
    __array_ufunc__ = None  # NumPy scalars leave the operators to us

    def __init__(self, tape: Tape, dtype: str, name: str, constant: bool = False) -> None:
        self.tape = tape
        self.dtype = dtype
        self.name = name
        self.constant = constant

    def __bool__(self) -> bool:
        raise BranchOnValue("a scalar function may not branch on a value; use where(...)")

    def cast(self, dtype: str) -> Tracer:
        """Converted as by NumPy's astype on x86: narrow integers are made from int32."""
        tape = self.tape
        if dtype == self.dtype:
            return self
        if dtype == "bool":
            return self != 0
        if self.dtype == "bool":
            one, zero = tape.constant(1, dtype), tape.constant(0, dtype)
            return tape.call(dtype, "where", dtype, self, one, zero)
        if self.dtype in FLOATS and dtype in INTEGERS and np.can_cast(_NUMPY[dtype], np.int64):
            signed = "i32" if SIZES[dtype] < 4 or dtype == "i32" else "i64"
            if dtype != signed:
                return self.cast(signed).cast(dtype)
        return tape.convert(dtype, self.name)

    def _arithmetic(self, operator: str, other: Any, swap: bool = False) -> Tracer:
        dtype = common_dtype(self, other)
        a, b = as_tracer(self, self.tape, dtype), as_tracer(other, self.tape, dtype)
        if swap:
            a, b = b, a
        if dtype == "bool" and operator not in "&|^":
            raise TypeError(f"no {operator!r} on bools")
        return self.tape.wrap(dtype, f"{a.name} {operator} {b.name}")

    def _compare(self, operator: str, other: Any) -> Tracer:
        dtype = common_dtype(self, other)
        a, b = as_tracer(self, self.tape, dtype), as_tracer(other, self.tape, dtype)
        return self.tape.emit("bool", f"{a.name} {operator} {b.name}")

    def __add__(self, other: Any) -> Tracer:
        return self._arithmetic("+", other)

    def __sub__(self, other: Any) -> Tracer:
        return self._arithmetic("-", other)

    def __mul__(self, other: Any) -> Tracer:
        return self._arithmetic("*", other)

    def __and__(self, other: Any) -> Tracer:
        return self._arithmetic("&", other)

    def __or__(self, other: Any) -> Tracer:
        return self._arithmetic("|", other)

    def __xor__(self, other: Any) -> Tracer:
        return self._arithmetic("^", other)

    def __lshift__(self, other: Any) -> Tracer:
        return self._arithmetic("<<", other)

    def __rshift__(self, other: Any) -> Tracer:
        return self._arithmetic(">>", other)

    __radd__, __rmul__, __rand__, __ror__, __rxor__ = __add__, __mul__, __and__, __or__, __xor__

    def __rsub__(self, other: Any) -> Tracer:
        return self._arithmetic("-", other, swap=True)

    def __rlshift__(self, other: Any) -> Tracer:
        return self._arithmetic("<<", other, swap=True)

    def __rrshift__(self, other: Any) -> Tracer:
        return self._arithmetic(">>", other, swap=True)

    def __truediv__(self, other: Any) -> Tracer:
        return _true_divide(self, other)

    def __rtruediv__(self, other: Any) -> Tracer:
        return _true_divide(other, self)

    def __floordiv__(self, other: Any) -> Tracer:
        return _same_type("floor_divide", self, other)

    def __rfloordiv__(self, other: Any) -> Tracer:
        return _same_type("floor_divide", other, self)

    def __mod__(self, other: Any) -> Tracer:
        return _same_type("remainder", self, other)

    def __rmod__(self, other: Any) -> Tracer:
        return _same_type("remainder", other, self)

    def __pow__(self, other: Any) -> Tracer:
        return _power(self, other)

    def __rpow__(self, other: Any) -> Tracer:
        dtype = common_dtype(self, other)
        return _power(as_tracer(other, self.tape, dtype), self)

    def __neg__(self) -> Tracer:
        if self.dtype in FLOATS:
            return self.tape.emit(self.dtype, f"-{self.name}")
        return 0 - self

    def __pos__(self) -> Tracer:
        return self

    def __invert__(self) -> Tracer:
        if self.dtype == "bool":
            return _same_type("logical_not", self)
        return self ^ -1 if self.dtype[0] == "i" else self ^ np.iinfo(_NUMPY[self.dtype]).max

    def __abs__(self) -> Tracer:
        return _same_type("absolute", self)

    def __eq__(self, other: Any) -> Tracer:  # type: ignore[override]
        return self._compare("==", other)

    def __ne__(self, other: Any) -> Tracer:  # type: ignore[override]
        return self._compare("!=", other)

    def __lt__(self, other: Any) -> Tracer:
        return self._compare("<", other)

    def __le__(self, other: Any) -> Tracer:
        return self._compare("<=", other)

    def __gt__(self, other: Any) -> Tracer:
        return self._compare(">", other)

    def __ge__(self, other: Any) -> Tracer:
        return self._compare(">=", other)


def common_dtype(*values: Any) -> str:
    """The type in which NumPy would combine tracers and literals."""
    found = [_NUMPY[v.dtype] if isinstance(v, Tracer) else v for v in values]
    dtype = _SHORT.get(np.result_type(*found))
    if dtype is None:
        raise TypeError(f"no compute type for {np.result_type(*found)}")
    return dtype


def as_tracer(value: Any, tape: Tape, dtype: str) -> Tracer:
    """A tracer or literal as a tracer of `dtype`."""
    return value.cast(dtype) if isinstance(value, Tracer) else tape.constant(value, dtype)


def _tape_of(values: tuple[Any, ...]) -> Tape:
    return next(value.tape for value in values if isinstance(value, Tracer))


# --- primitives on tracers

_PREDICATES = frozenset({"isnan", "isinf", "logical_not"})
_ON_INTEGERS = frozenset(
    {"floor", "ceil", "rint", "absolute", "sign", "minimum", "maximum", "divide", "fmod",
     "remainder", "floor_divide"}
)  # fmt: skip


def _same_type(name: str, *values: Any) -> Tracer:
    """A primitive whose operands have one type, which is the result's but for predicates."""
    tape = _tape_of(values)
    dtype = common_dtype(*values)
    if dtype not in FLOATS and name not in _ON_INTEGERS | _PREDICATES:
        dtype = "f64"
    tracers = [as_tracer(value, tape, dtype) for value in values]
    return tape.call("bool" if name in _PREDICATES else dtype, name, dtype, *tracers)


def _true_divide(a: Any, b: Any) -> Tracer:
    tape = _tape_of((a, b))
    dtype = common_dtype(a, b)
    dtype = dtype if dtype in FLOATS else "f64"
    x, y = as_tracer(a, tape, dtype), as_tracer(b, tape, dtype)
    return tape.emit(dtype, f"{x.name} / {y.name}")


def _extremum(name: str, a: Any, b: Any) -> Tracer:
    """Minimum or maximum. With a literal that is not NaN, one comparison is enough."""
    if not isinstance(a, Tracer):
        a, b = b, a
    if isinstance(b, Tracer) or b != b or (dtype := common_dtype(a, b)) == "bool":
        return _same_type(name, a, b)
    x, limit = as_tracer(a, a.tape, dtype), as_tracer(b, a.tape, dtype)
    beyond = limit < x if name == "minimum" else limit > x
    return a.tape.call(dtype, "where", dtype, beyond, limit, x)


def _where(condition: Any, a: Any, b: Any) -> Tracer:
    tape = _tape_of((condition, a, b))
    dtype = common_dtype(a, b)
    return tape.call(
        dtype, "where", dtype,
        as_tracer(condition, tape, "bool"), as_tracer(a, tape, dtype), as_tracer(b, tape, dtype),
    )  # fmt: skip


def _power(a: Any, b: Any) -> Tracer:
    """`a ** b` in the type of `a`; small literal exponents become products and roots."""
    tape = _tape_of((a, b))
    if not isinstance(a, Tracer):
        a = tape.constant(a, common_dtype(a, b))
    if a.dtype in FLOATS:
        if not isinstance(b, Tracer) and (simple := _simple_power(a, float(b))) is not None:
            return simple
        return tape.call(a.dtype, "power", a.dtype, a, as_tracer(b, tape, "f64"))
    if isinstance(b, float) or (isinstance(b, Tracer) and b.dtype in FLOATS):
        wide = tape.call("f64", "power", "f64", a.cast("f64"), as_tracer(b, tape, "f64"))
        return wide.cast(a.dtype)
    return tape.call(a.dtype, "power", a.dtype, a, as_tracer(b, tape, a.dtype))


def _simple_power(x: Tracer, exponent: float) -> Tracer | None:
    if exponent == 0.0:
        return x.tape.constant(1, x.dtype)
    if exponent in (1.0, 2.0, 3.0, 4.0):
        square = x * x
        return {1.0: x, 2.0: square, 3.0: square * x, 4.0: square * square}[exponent]
    if exponent == -1.0:
        return _true_divide(1, x)
    if exponent in (0.5, -0.5):  # pow makes +0 of -0, and takes -inf as +inf
        root = _where(x == -math.inf, math.inf, _same_type("sqrt", x + 0))
        return root if exponent > 0 else _true_divide(1, root)
    return None


def _erf(x: Tracer) -> Tracer:
    return _same_type("erf", x).cast(x.dtype)


_TRACED: dict[str, Callable[..., Any]] = {
    "where": _where,
    "power": _power,
    "minimum": functools.partial(_extremum, "minimum"),
    "maximum": functools.partial(_extremum, "maximum"),
    "erf": _erf,
}


@functools.cache
def traced(name: str) -> Callable[..., Any]:
    """The primitive `name`: recorded on tracers, computed by NumPy on numbers alone."""
    record = _TRACED.get(name) or functools.partial(_same_type, name)

    def call(*values: Any) -> Any:
        if any(isinstance(value, Tracer) for value in values):
            return record(*values)
        return PRIMITIVES[name](*values)

    return call


#: What stands for the global of a scalar function, or for the function, while it is traced.
replacement = Replacing(traced)
