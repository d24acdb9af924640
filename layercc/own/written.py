"""A scalar function as a graph of ONNX's ops: for export, and to see what is wrong with it.

The function is called once on `Element`s, with the primitives in it replaced by what adds nodes.
Types follow NumPy's rules, as they do in kernels (`layercc.kernels.tracing`): a literal takes the
type of the other operand.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ir.dtypes import DTYPE_SETS, HALVES, DType, dtype_of
from ir.graph import Graph, Node, Value
from ir.types import TensorType
from layercc.kernels.replacing import Replacing, by_numpy

_FLOAT, _INT, _UNSIGNED = DTYPE_SETS["float"], DTYPE_SETS["int"], DTYPE_SETS["unsigned"]
#: Primitives that ONNX has as they are.
_OPS = {
    "absolute": "Abs", "acos": "Acos", "acosh": "Acosh", "asin": "Asin", "asinh": "Asinh",
    "atan": "Atan", "atanh": "Atanh", "ceil": "Ceil", "cos": "Cos", "cosh": "Cosh", "erf": "Erf",
    "divide": "Div", "exp": "Exp", "floor": "Floor", "isinf": "IsInf", "isnan": "IsNaN",
    "log": "Log", "maximum": "Max", "minimum": "Min", "rint": "Round", "sign": "Sign", "sin": "Sin",
    "sinh": "Sinh", "sqrt": "Sqrt", "tan": "Tan", "tanh": "Tanh",
}  # fmt: skip
_PREDICATES = {"isinf", "isnan"}
_ON_INTEGERS = {"absolute", "sign", "maximum", "minimum", "divide"}
_LOGIC = {"&": "And", "|": "Or", "^": "Xor"}
_BITS = {"&": "BitwiseAnd", "|": "BitwiseOr", "^": "BitwiseXor"}


class Inexpressible(Exception):
    """ONNX has no op for what the function does; or it branches on a value."""


class _Writer:
    """The nodes so far."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.constants: dict[str, np.ndarray] = {}

    def emit(self, op: str, dtype: DType, *operands: Element, **attributes: Any) -> Element:
        name = f"t{len(self.nodes)}"
        inputs = tuple(operand.name for operand in operands)
        self.nodes.append(Node(op, inputs, (name,), attributes))
        return Element(self, dtype, name)

    def constant(self, value: Any, dtype: DType) -> Element:
        with np.errstate(all="ignore"):
            array = np.asarray(value).astype(dtype.value)
        for name, known in self.constants.items():
            if known.dtype == array.dtype and known.tobytes() == array.tobytes():
                return Element(self, dtype, name)
        name = f"c{len(self.constants)}"
        self.constants[name] = array
        return Element(self, dtype, name)


class Element:
    """One element of a tensor, as a scalar function sees it."""

    __hash__ = None  # type: ignore[assignment]
    __array_ufunc__ = None  # NumPy scalars leave the operators to us

    def __init__(self, writer: _Writer, dtype: DType, name: str) -> None:
        self.writer, self.dtype, self.name = writer, dtype, name

    def __bool__(self) -> bool:
        raise Inexpressible("it branches on a value")

    def cast(self, dtype: DType) -> Element:
        return self if dtype is self.dtype else self.writer.emit("Cast", dtype, self, to=dtype.onnx)

    def _with(self, other: Any) -> tuple[Element, Element]:
        """This element and another operand, in the type in which NumPy combines them."""
        dtype = _common(self, other)
        return _as_element(self, self.writer, dtype), _as_element(other, self.writer, dtype)

    def _arithmetic(self, op: str, other: Any, swap: bool = False) -> Element:
        a, b = self._with(other)
        if a.dtype is DType.bool:
            raise TypeError(f"{op} of truth values; &, | and ^ would fit")
        return self.writer.emit(op, a.dtype, *((b, a) if swap else (a, b)))

    def _bitwise(self, symbol: str, other: Any) -> Element:
        a, b = self._with(other)
        if a.dtype in _FLOAT:
            raise TypeError(f"{symbol} of {a.dtype}; integers or truth values would fit")
        table = _LOGIC if a.dtype is DType.bool else _BITS
        return self.writer.emit(table[symbol], a.dtype, a, b)

    def _compare(self, op: str, other: Any) -> Element:
        return self.writer.emit(op, DType.bool, *self._with(other))

    def _divided(self, other: Any, swap: bool = False) -> Element:
        dtype = _common(self, other)
        dtype = dtype if dtype in _FLOAT else DType.f64
        a, b = _as_element(self, self.writer, dtype), _as_element(other, self.writer, dtype)
        return self.writer.emit("Div", dtype, *((b, a) if swap else (a, b)))

    def __add__(self, other: Any) -> Element:
        return self._arithmetic("Add", other)

    def __sub__(self, other: Any) -> Element:
        return self._arithmetic("Sub", other)

    def __rsub__(self, other: Any) -> Element:
        return self._arithmetic("Sub", other, swap=True)

    def __mul__(self, other: Any) -> Element:
        return self._arithmetic("Mul", other)

    __radd__, __rmul__ = __add__, __mul__

    def __truediv__(self, other: Any) -> Element:
        return self._divided(other)

    def __rtruediv__(self, other: Any) -> Element:
        return self._divided(other, swap=True)

    def __floordiv__(self, other: Any) -> Element:
        a, b = self._with(other)
        rest = _remainder(a, b)
        return self.writer.emit("Div", a.dtype, a - rest, b)

    def __rfloordiv__(self, other: Any) -> Element:
        return _as_element(other, self.writer, _common(self, other)) // self

    def __mod__(self, other: Any) -> Element:
        return _remainder(*self._with(other))

    def __rmod__(self, other: Any) -> Element:
        a, b = self._with(other)
        return _remainder(b, a)

    def __pow__(self, other: Any) -> Element:
        return _power(self, other)

    def __rpow__(self, other: Any) -> Element:
        return _power(_as_element(other, self.writer, _common(self, other)), self)

    def __and__(self, other: Any) -> Element:
        return self._bitwise("&", other)

    def __or__(self, other: Any) -> Element:
        return self._bitwise("|", other)

    def __xor__(self, other: Any) -> Element:
        return self._bitwise("^", other)

    __rand__, __ror__, __rxor__ = __and__, __or__, __xor__

    def __lshift__(self, other: Any) -> Element:
        return self._shifted("LEFT", *self._with(other))

    def __rshift__(self, other: Any) -> Element:
        return self._shifted("RIGHT", *self._with(other))

    def __rlshift__(self, other: Any) -> Element:
        return self._shifted("LEFT", *reversed(self._with(other)))

    def __rrshift__(self, other: Any) -> Element:
        return self._shifted("RIGHT", *reversed(self._with(other)))

    def _shifted(self, direction: str, a: Element, b: Element) -> Element:
        if a.dtype not in _UNSIGNED:
            raise Inexpressible("BitShift is defined on unsigned integers")
        return self.writer.emit("BitShift", a.dtype, a, b, direction=direction)

    def __neg__(self) -> Element:
        return self.writer.emit("Neg", self.dtype, self) if self.dtype in _FLOAT else 0 - self

    def __pos__(self) -> Element:
        return self

    def __abs__(self) -> Element:
        return self.writer.emit("Abs", self.dtype, self)

    def __invert__(self) -> Element:
        op = "Not" if self.dtype is DType.bool else "BitwiseNot"
        return self.writer.emit(op, self.dtype, self)

    def __eq__(self, other: Any) -> Element:  # type: ignore[override]
        return self._compare("Equal", other)

    def __ne__(self, other: Any) -> Element:  # type: ignore[override]
        return ~self._compare("Equal", other)

    def __lt__(self, other: Any) -> Element:
        return self._compare("Less", other)

    def __le__(self, other: Any) -> Element:
        return self._compare("LessOrEqual", other)

    def __gt__(self, other: Any) -> Element:
        return self._compare("Greater", other)

    def __ge__(self, other: Any) -> Element:
        return self._compare("GreaterOrEqual", other)


def _common(*values: Any) -> DType:
    """The type in which NumPy would combine elements and literals."""
    found = [v.dtype.value if isinstance(v, Element) else v for v in values]
    return dtype_of(np.result_type(*found))


def _as_element(value: Any, writer: _Writer, dtype: DType) -> Element:
    return value.cast(dtype) if isinstance(value, Element) else writer.constant(value, dtype)


def _remainder(a: Element, b: Element) -> Element:
    if a.dtype not in _INT:
        raise Inexpressible("Mod with the divisor's sign is defined on integers")
    return a.writer.emit("Mod", a.dtype, a, b)


def _power(a: Any, b: Any) -> Element:
    writer = next(v.writer for v in (a, b) if isinstance(v, Element))
    if not isinstance(a, Element):
        a = writer.constant(a, _common(a, b))
    if not isinstance(b, Element):
        kind = DType.f64 if isinstance(b, float) and a.dtype not in _FLOAT else a.dtype
        b = writer.constant(b, kind)
    return writer.emit("Pow", a.dtype, a, b)


def _where(condition: Any, a: Any, b: Any) -> Element:
    writer = next(v.writer for v in (condition, a, b) if isinstance(v, Element))
    dtype = _common(a, b)
    test = _as_element(condition, writer, DType.bool)
    chosen = _as_element(a, writer, dtype), _as_element(b, writer, dtype)
    return writer.emit("Where", dtype, test, *chosen)


def _logical_not(x: Element) -> Element:
    return ~(x if x.dtype is DType.bool else x != 0)


def _fmod(a: Any, b: Any) -> Element:
    one = a if isinstance(a, Element) else b
    dtype = _common(a, b)
    x, y = _as_element(a, one.writer, dtype), _as_element(b, one.writer, dtype)
    return one.writer.emit("Mod", dtype, x, y, fmod=1)


def _plain(name: str, *values: Any) -> Element:
    """A primitive whose operands have one type, which is the result's but for predicates."""
    if name not in _OPS:
        raise Inexpressible(f"there is no op for {name}")
    writer = next(v.writer for v in values if isinstance(v, Element))
    dtype = _common(*values)
    if dtype not in _FLOAT and name in ("floor", "ceil", "rint"):
        return _as_element(values[0], writer, dtype)
    if dtype not in _FLOAT and name not in _ON_INTEGERS:
        dtype = DType.f64
    operands = [_as_element(value, writer, dtype) for value in values]
    return writer.emit(_OPS[name], DType.bool if name in _PREDICATES else dtype, *operands)


_SPECIAL: dict[str, Callable[..., Element]] = {
    "where": _where, "power": _power, "logical_not": _logical_not, "fmod": _fmod,
    "remainder": lambda a, b: a % b,
}  # fmt: skip


def _written(name: str) -> Callable[..., Any]:
    special = _SPECIAL.get(name)

    def call(*values: Any) -> Any:
        if not any(isinstance(value, Element) for value in values):
            return by_numpy(name)(*values)
        return special(*values) if special else _plain(name, *values)

    return call


_writing = Replacing(_written)


def written_out(
    function: Callable[..., Any],
    kinds: Sequence[TensorType | None],
    settings: Mapping[str, Any],
    result: TensorType,
) -> Graph:
    """The graph that computes a scalar function of tensors; halves are widened first.

    Raises Inexpressible where ONNX has no words for it; and whatever the function itself raises.
    """
    writer = _Writer()
    graph = Graph(function.__name__)
    given: list[Element | None] = []
    for i, kind in enumerate(kinds):
        if kind is None:
            given.append(None)
            continue
        graph.inputs.append(Value(f"x{i}", kind))
        element = Element(writer, kind.dtype, f"x{i}")
        given.append(element.cast(DType.f32) if kind.dtype in HALVES else element)
    made = _writing(function)(*given, **settings)
    if isinstance(made, Element):
        made = made.cast(result.dtype)
    elif isinstance(made, bool | int | float | np.generic):
        raise Inexpressible("it gives the same number for all elements")
    else:
        raise TypeError(f"it returns {type(made).__name__}; one number would fit")
    if made.name in graph.input_names or made.name in writer.constants:
        made = writer.emit("Identity", result.dtype, made)
    graph.nodes, read = _needed(writer.nodes, made.name)
    if not read.issuperset(graph.input_names):
        raise Inexpressible("it does not read all of its inputs, whose shapes count")
    graph.constants = {name: array for name, array in writer.constants.items() if name in read}
    graph.outputs = [Value(made.name, result)]
    return graph


def _needed(nodes: Sequence[Node], wanted: str) -> tuple[list[Node], set[str]]:
    """The nodes behind a value, and all that they read."""
    needed, read = [], {wanted}
    for node in reversed(nodes):
        if read.intersection(node.outputs):
            needed.append(node)
            read.update(node.inputs)
    return needed[::-1], read
