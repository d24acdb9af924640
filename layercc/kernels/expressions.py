"""Expressions: pointwise arithmetic as plain data, for use inside kernels.

An expression is a nested tuple, so that it can be part of a kernel's key::

    inputs  = ("f32", "f32")                                   # data types
    steps   = (("add", (0, 1), (), "f32"),                     # value 2
               ("leaky_relu", (2,), (("alpha", 0.1),), "f32"))  # value 3
    outputs = (3,)
    expression = (inputs, steps, outputs)

A step is the name of a scalar function (`layercc.kernels.functions`), the values it takes (inputs
are numbered first, then steps; `ABSENT` for an optional operand that is not given), its keyword
arguments, and the data type of the result, to which it is converted. Numbers written in a function
take the data type of what they meet, so that f32 stays f32; so does the number made by the step
`("constant", (), (("value", 2.0),), dtype)`.

Every step is an op of its own: a result of f16 or bf16 is computed in f32 and rounded to its type
before another step reads it, and no product is fused with a sum unless `build` is told that the
expression is not a user's. So where an op takes several steps, what lies between is f32 or f64, and
the last step alone rounds. Integers of less than a byte (i4, u4, i2, u2) are stored one a byte,
computed in 8 bits, and keep their low bits at a cast.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any

from layercc.kernels.declaration import KernelKey
from layercc.kernels.element_types import ELEMENT_TYPES, SIZES, UNSIGNED
from layercc.kernels.functions import resolve, short_name

Step = tuple[str, tuple[int, ...], tuple[tuple[str, Any], ...], str]
Expression = tuple[tuple[str, ...], tuple[Step, ...], tuple[int, ...]]

#: The value number of an optional operand that is not given.
ABSENT = -1
#: Functions whose results are values of their operands' type: there is nothing to round.
_EXACT = frozenset(
    {"absolute", "ceil", "clip", "floor", "largest", "negative", "relu", "rint", "select", "sign",
     "smallest"}
)  # fmt: skip


class ExpressionBuilder:
    """An expression written step by step.

    Values are numbered: first the operands, then the results of steps.
    """

    def __init__(self, operands: int) -> None:
        self._operands = operands
        self._steps: list[Step] = []

    def __call__(self, function: str, *operands: int, dtype: str, **attributes: float) -> int:
        """Adds a step that applies a function of `ir.scalar`; the number of its value."""
        self._steps.append((function, operands, tuple(sorted(attributes.items())), dtype))
        return self._operands + len(self._steps) - 1

    def constant(self, value: float, dtype: str) -> int:
        """A number; its value's number."""
        return self("constant", dtype=dtype, value=value)

    @property
    def steps(self) -> tuple[Step, ...]:
        """The steps so far."""
        return tuple(self._steps)

    @property
    def flops(self) -> int:
        """Operations for one element."""
        return sum(name not in ("identity", "constant") for name, *_ in self._steps)

    def expression(self, inputs: Iterable[str], *values: int) -> Expression:
        """The expression of these values, of operands of the types `inputs`."""
        return (tuple(inputs), self.steps, values)


def passing(dtype: str) -> Expression:
    """The expression of one input that leaves it as it is."""
    return ((dtype,), (), (0,))


def conversion(source: str, target: str) -> Expression:
    """The expression of one input that converts it."""
    return ((source,), (("identity", (0,), (), target),), (1,))


def compute_dtype(dtype: str) -> str:
    """The type in which elements of `dtype` are computed: f32 for f16 and bf16."""
    return ELEMENT_TYPES[dtype].computed


def describe(expression: Expression) -> str:
    """The expression for a reader: `relu(add(a, b))`; several outputs in parentheses."""
    inputs, steps, outputs = expression
    texts = [chr(ord("a") + i) if i < 26 else f"x{i}" for i in range(len(inputs))]
    for name, operands, attributes, _ in steps:
        words = ["absent" if i == ABSENT else texts[i] for i in operands]
        words += [f"{key}={value}" for key, value in attributes]
        texts.append(f"{short_name(name)}({', '.join(words)})")
    made = [texts[i] for i in outputs]
    return made[0] if len(made) == 1 else f"({', '.join(made)})"


def readable(key: KernelKey) -> str:
    """The key with its expressions as `describe` writes them."""

    def text(value: Any) -> str:
        if _is_expression(value):
            return describe(value)
        if isinstance(value, tuple) and value and all(map(_is_expression, value)):
            return f"({', '.join(map(describe, value))})"
        return value if isinstance(value, str) else repr(value)

    return f"{key.family}[{', '.join(map(text, key.params))}]"


def _is_expression(value: object) -> bool:
    if not isinstance(value, tuple) or len(value) != 3:
        return False
    steps = value[1]
    return all(isinstance(part, tuple) for part in value) and all(
        isinstance(step, tuple) and len(step) == 4 for step in steps
    )


@functools.cache
def build(expression: Expression, contract: bool = False) -> Callable[..., Any]:
    """A helper for kernels: scalars of the inputs' compute types in; the output, or a tuple, out.

    `contract` allows a product and a sum to become one fused multiply-add: only for expressions
    that are part of a kernel's own algorithm, never for ops that a user wrote.
    Raises AttributeError for a function that does not exist, and TypeError where one cannot be
    applied to its operands.
    """
    from layercc.kernels.helper import jit
    from layercc.kernels.tracing import Tape, Tracer, as_tracer

    inputs, steps, outputs = expression
    tape = Tape()
    dtypes = list(inputs)
    values: list[Any] = [
        Tracer(tape, compute_dtype(dtype), f"x{i}") for i, dtype in enumerate(inputs)
    ]
    unrounded: set[int] = set()  # of coded types; those that are stored are rounded there
    for name, operands, attributes, dtype in steps:
        if name == "constant":
            values.append(dict(attributes)["value"])
            dtypes.append(dtype)
            continue
        for index in unrounded.intersection(operands):
            values[index] = _rounded(tape, values[index], dtypes[index])
            unrounded.remove(index)
        given = [None if index == ABSENT else values[index] for index in operands]
        made = _apply(tape, name, given, dict(attributes), dtype)
        if ELEMENT_TYPES[dtype].coded:
            value = _single(tape, made)
            same = all(dtypes[index] in (dtype, "bool") for index in operands if index != ABSENT)
            if not (same and (name in _EXACT or name == "identity")):
                unrounded.add(len(values))
        else:
            value = as_tracer(made, tape, compute_dtype(dtype))
        if ELEMENT_TYPES[dtype].bits:
            value = _low_bits(value, dtype)
        values.append(value)
        dtypes.append(dtype)
    results = ", ".join(
        as_tracer(values[index], tape, compute_dtype(dtypes[index])).name for index in outputs
    )
    arguments = ", ".join(f"x{i}" for i in range(len(inputs)))
    lines = [f"def expression({arguments}):", *(f"    {line}" for line in tape.lines)]
    lines.append(f"    return {results}")
    exec("\n".join(lines), tape.names)
    return jit(tape.names["expression"], contract=contract)


def _apply(
    tape: Any, name: str, operands: list[Any], attributes: dict[str, Any], dtype: str
) -> Any:
    """The function on tracers: recorded, or where it branches on values, compiled by Numba."""
    from layercc.kernels.helper import jit
    from layercc.kernels.tracing import BranchOnValue, replacement

    function = resolve(name)
    try:
        return replacement(function)(*operands, **attributes)
    except BranchOnValue:
        compiled = jit(getattr(function, "py_func", function), contract=False)  # a user's own
        helper = tape.name(short_name(name).rpartition(".")[2], compiled)
        given = ["None" if operand is None else operand.name for operand in operands]
        given += [f"{key}={value!r}" for key, value in attributes.items()]
        return tape.convert(compute_dtype(dtype), f"{helper}({', '.join(given)})")


def _single(tape: Any, value: Any) -> Any:
    """A tracer or literal as f32, from where one more rounding gives the right coded element."""
    from layercc.kernels.narrowing import TO_ODD
    from layercc.kernels.tracing import Tracer, as_tracer

    helper = TO_ODD.get(value.dtype) if isinstance(value, Tracer) else None
    if helper is None:
        return as_tracer(value, tape, "f32")
    return tape.emit("f32", f"{tape.name(helper.__name__, helper)}({value.name})")


def _rounded(tape: Any, value: Any, dtype: str) -> Any:
    decode, encode = _codec(dtype)
    to_bits = tape.name(f"{dtype}_from_f32", encode)
    from_bits = tape.name(f"f32_from_{dtype}", decode)
    return tape.emit("f32", f"{from_bits}({to_bits}({value.name}))")


def _codec(dtype: str) -> tuple[Any, Any]:
    """The helpers that make f32 of a coded element, and the other way round."""
    from layercc.kernels import intrinsics

    return getattr(intrinsics, f"f32_from_{dtype}"), getattr(intrinsics, f"{dtype}_from_f32")


def _low_bits(value: Any, dtype: str) -> Any:
    """A value of the stored type as one of the bits of `dtype`, with its sign."""
    row = ELEMENT_TYPES[dtype]
    if row.stored in UNSIGNED.values():
        return value & (2**row.bits - 1)
    above = 8 * SIZES[row.stored] - row.bits
    return (value << above) >> above


def decoder(dtype: str) -> Any:
    """A helper that makes the compute value of a stored one; None where they are the same."""
    from layercc.kernels.helper import jit

    row = ELEMENT_TYPES[dtype]

    def truth(stored: Any) -> Any:
        return stored != 0

    if row.coded:
        return _codec(dtype)[0]
    if row.bits:
        # ml_dtypes leaves the bits above those of the number as they happen to be
        return build(conversion(row.stored, dtype))
    return jit(truth) if row.computed == "bool" else None


def encoder(dtype: str) -> Any:
    """A helper that rounds a compute value to a stored one; None where they are the same."""
    return _codec(dtype)[1] if ELEMENT_TYPES[dtype].coded else None


@functools.cache
def load(dtype: str) -> Callable[..., Any]:
    """A helper `load(pointer, index)`: an element of `dtype` in its compute type."""
    from layercc.kernels.helper import jit

    decode = decoder(dtype)

    def load_plain(pointer: Any, index: Any) -> Any:
        return pointer[index]

    def load_decoded(pointer: Any, index: Any) -> Any:
        return decode(pointer[index])

    return jit(load_plain if decode is None else load_decoded)


@functools.cache
def store(dtype: str) -> Callable[..., Any]:
    """A helper `store(pointer, index, value)`: rounds a compute value to an element of `dtype`."""
    from layercc.kernels.helper import jit

    encode = encoder(dtype)

    def store_plain(pointer: Any, index: Any, value: Any) -> None:
        pointer[index] = value

    def store_encoded(pointer: Any, index: Any, value: Any) -> None:
        pointer[index] = encode(value)

    return jit(store_plain if encode is None else store_encoded)
