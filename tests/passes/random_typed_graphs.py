"""Random graphs in which floats of one type and integers of all widths meet, by seed.

For tests that hold compiled graphs to the interpreter. Integers must come out the same to the last
bit, so none is made of a float that was rounded on the way: only of an input. Divisors, shifts and
run-time indices are in range by construction.
"""

from __future__ import annotations

import random

import numpy as np

from ir.dtypes import DTYPE_SETS, ONNX_DTYPES, DType
from ir.graph import Graph, Value
from ir.types import TensorType
from tests.passes.random_builder import Builder, Step
from tests.passes.random_graphs import STEPS, conv

FLOATS = (DType.f32, DType.f16, DType.bf16, DType.f64)
SIGNED = frozenset({DType.i8, DType.i16, DType.i32, DType.i64})
UNSIGNED = frozenset({DType.u8, DType.u16, DType.u32, DType.u64})
INTEGERS = SIGNED | UNSIGNED
#: Types that MatMul, sums and products are defined on.
WIDE = frozenset({DType.i32, DType.i64, DType.u32, DType.u64})
BOOL = frozenset({DType.bool})
_CODES = {kind: code for code, kind in ONNX_DTYPES.items()}
_IN_ORDER = sorted(INTEGERS, key=str)


class TypedBuilder(Builder):
    """A builder with an integer input `n` beside the floats `x`, of the same shape."""

    def __init__(self, random: random.Random) -> None:
        super().__init__(random, random.choice(FLOATS))
        kind = TensorType(random.choice(_IN_ORDER), self.types["x"].shape)
        self.graph.inputs.append(Value("n", kind))
        self.types["n"] = kind
        self.moved = frozenset({self.kind}) | INTEGERS | BOOL

    def number(self, kind: DType, value: int) -> str:
        return self.constant((), kind.value, value)

    def integers(self, kinds: frozenset[DType] = INTEGERS) -> str:
        """A value of one of these integer types; cast to one if there is none yet."""
        found = self.recent(kinds)
        if found is not None:
            return found
        wanted = self.random.choice(sorted(kinds, key=str))
        return self.add("Cast", "n", to=_CODES[wanted])

    def small(self, x: str, modulus: int) -> str:
        """Integers 0 to `modulus` - 1 made of `x`."""
        return self.add("Mod", x, self.number(self.types[x].dtype, modulus))


def _binary(b: TypedBuilder) -> None:
    x = b.integers()
    op = b.random.choice(["Add", "Sub", "Mul", "Max", "Min", "BitwiseAnd", "BitwiseOr"])
    b.add(op, x, b.alike(x))


def _by_constant(b: TypedBuilder) -> None:
    x = b.integers()
    kind = b.types[x].dtype
    row = b.rng.integers(1, 9, b.types[x].shape[-1:])
    op = b.random.choice(["Div", "Mod", "BitwiseXor", "Sub", "Mul"])
    b.add(op, x, b.constant(row.shape, kind.value, row))


def _unary(b: TypedBuilder) -> None:
    op = b.random.choice(["Abs", "Neg", "BitwiseNot", "Sign", "Clip"])
    x = b.integers(SIGNED if op == "Neg" else INTEGERS)
    kind = b.types[x].dtype
    bounds = [b.number(kind, 2), b.number(kind, 90)] if op == "Clip" else []
    b.add(op, x, *bounds)


def _shift(b: TypedBuilder) -> None:
    x = b.integers(UNSIGNED)
    by = b.number(b.types[x].dtype, b.random.randint(0, 7))
    b.add("BitShift", x, by, direction=b.random.choice(["LEFT", "RIGHT"]))


def _cast(b: TypedBuilder) -> None:
    b.add("Cast", b.integers(), to=_CODES[b.random.choice(_IN_ORDER)])


def _choose(b: TypedBuilder) -> None:
    """Integers, or floats, as a comparison of integers says."""
    x = b.integers()
    held = b.add(b.random.choice(["Less", "GreaterOrEqual", "Equal"]), x, b.alike(x))
    if b.flag():
        held = b.add("Not", held)
    shape = b.types[x].shape
    floats = [n for n, t in b.types.items() if t.dtype is b.kind and t.shape == shape]
    y = b.random.choice(floats) if floats and b.flag() else x
    b.add("Where", held, y, b.alike(y))


def _to_bool_and_back(b: TypedBuilder) -> None:
    x = b.add("Cast", b.integers(), to=_CODES[DType.bool])
    b.add("Cast", b.add("Xor", x, b.alike(x)), to=_CODES[b.random.choice(_IN_ORDER)])


def _reduce(b: TypedBuilder) -> None:
    op = b.random.choice(["ReduceSum", "ReduceMax", "ReduceMin", "ReduceProd", "ArgMax"])
    x = b.integers(WIDE)
    axis = b.random.randint(0, b.types[x].rank - 1)
    if op == "ArgMax":
        b.add(op, x, axis=axis, select_last_index=b.random.randint(0, 1))
    else:
        b.add(op, x, b.indices(axis))


def _cumulate(b: TypedBuilder) -> None:
    kinds = frozenset({DType.i32, DType.i64}) | ({b.kind} & {DType.f32, DType.f64})
    x = b.recent(kinds) or b.integers(frozenset({DType.i64}))
    axis = b.constant((), "int64", b.random.randint(0, b.types[x].rank - 1))
    b.add("CumSum", x, axis, exclusive=b.random.randint(0, 1), reverse=b.random.randint(0, 1))


def _matmul(b: TypedBuilder) -> None:
    x = b.integers(WIDE)
    last = b.types[x].shape[-1]
    kind = b.types[x].dtype
    low = -9 if kind in SIGNED else 0
    weight = b.rng.integers(low, 9, (last, 3)) * b.rng.choice([1, 40_000], (last, 3))
    b.add("MatMul", x, b.constant(weight.shape, kind.value, weight))


def _multiply_bytes(b: TypedBuilder) -> None:
    x = b.integers(frozenset({DType.u8, DType.i8}))
    weight = b.rng.integers(-128, 128, (b.types[x].shape[-1], 5))
    b.add("MatMulInteger", x, b.constant(weight.shape, "int8", weight))


def _to_float(b: TypedBuilder) -> None:
    b.add("Cast", b.small(b.integers(), 5), to=_CODES[b.kind])


def _from_float(b: TypedBuilder) -> None:
    to = b.random.choice(_IN_ORDER)
    b.add("Cast", b.add("Abs", "x") if to in UNSIGNED else "x", to=_CODES[to])


def _quantize(b: TypedBuilder) -> None:
    scale = b.constant((), b.kind.value, 0.0625)
    zero = b.constant((), b.random.choice(["uint8", "int8"]), 3)
    quantized = b.add("QuantizeLinear", "x", scale, zero)
    b.add("DequantizeLinear", quantized, scale, zero)


def _gather(b: TypedBuilder) -> None:
    x = b.any_value()
    axis = b.random.randint(0, b.types[x].rank - 1)
    size = b.types[x].shape[axis]
    if size:
        many = b.add("Reshape", b.small(b.integers(frozenset({DType.i64})), size), b.indices(-1))
        b.add("Gather", x, b.add("Slice", many, b.indices(0), b.indices(4)), axis=axis)


def _narrow_and_widen(b: TypedBuilder) -> None:
    """Floats by way of another type, and back."""
    other = b.random.choice(FLOATS)
    b.add("Cast", b.add("Cast", b.value(), to=_CODES[other]), to=_CODES[b.kind])


def _top(b: TypedBuilder) -> None:
    x = b.integers(frozenset({DType.i32, DType.i64, DType.u8, DType.f32}) & DTYPE_SETS["int"])
    b.add("TopK", x, b.indices(1), outputs=2, axis=-1)


TYPED_STEPS: tuple[Step, ...] = (  # type: ignore[assignment]
    _binary, _binary, _by_constant, _unary, _shift, _cast, _cast, _choose, _to_bool_and_back,
    _reduce, _cumulate, _matmul, _multiply_bytes, _to_float, _from_float, _quantize, _gather,
    _narrow_and_widen, _top,
)  # fmt: skip


def typed_graph(seed: int, max_steps: int = 10) -> Graph:
    """The graph of a seed: floats of one type, integers of several, up to `max_steps` steps."""
    builder = TypedBuilder(random.Random(seed))
    conv(builder)
    for _ in range(builder.random.randint(1, max_steps - 1)):
        builder.grow(STEPS if builder.flag() else TYPED_STEPS)
    return builder.finish()


def typed_inputs(graph: Graph, seed: int) -> dict[str, np.ndarray]:
    """Normal floats; integers over all of their range, half of them small."""
    rng = np.random.default_rng(seed)
    inputs = {}
    for value in graph.inputs:
        kind = value.dtype.value
        if value.dtype in INTEGERS:
            info = np.iinfo(kind)
            wild = rng.integers(info.min, info.max, value.shape, kind, endpoint=True)
            mild = rng.integers(0, 20, value.shape).astype(kind)
            inputs[value.name] = np.where(rng.random(value.shape) < 0.5, wild, mild)
        else:
            inputs[value.name] = rng.standard_normal(value.shape).astype(kind)
    return inputs
