"""Pointwise ops: one line each. The scalar function is reference, CPU kernel and GPU kernel."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

import numpy as np

from ir import scalar, symbolic
from ir.broadcasting import broadcast_shapes
from ir.dims import Dim, product
from ir.dtypes import HALVES, DType
from ir.registry import Attr, Call, Op, register
from ir.symbolic import as_object_array
from ir.types import TensorType

_HALF_TYPES = tuple(dtype.value for dtype in HALVES)


class Pointwise(Op):
    """Base of ops that compute each output element from one element of each input, broadcast."""

    flops_per_element = 1
    result_dtype: DType | None = None  # None: that of the first input
    #: The same function on elements that may be symbolic dims (see `ir.symbolic`), if there is one.
    on_dims: ClassVar[Callable[..., Any] | None] = None

    @classmethod
    def infer(cls, call: Call) -> Sequence[TensorType]:  # type: ignore[override]
        shapes = [kind.shape for kind in call.types if kind is not None]
        return [TensorType(cls.output_dtype(call), broadcast_shapes(call, *shapes))]

    @classmethod
    def output_dtype(cls, call: Call) -> DType:
        return cls.result_dtype or call.dtype(0)

    @classmethod
    def settings(cls, call: Call) -> dict[str, Any]:
        """Keyword arguments of the scalar function: the attributes of the node."""
        return {name: call.attribute(name) for name in cls.attributes}

    @classmethod
    def symbolic_function(cls, call: Call) -> Callable[..., Any]:
        """The function to run on symbolic elements; raises ValueError where there is none."""
        if cls.on_dims is None:
            raise ValueError(f"{cls.name} has no meaning for symbolic dims")
        return cls.on_dims

    @classmethod
    def reference(cls, call: Call, *inputs: Any) -> np.ndarray:  # type: ignore[override]
        settings = cls.settings(call)
        if any(x is not None and x.dtype == object for x in inputs):
            function = cls.symbolic_function(call)
            return as_object_array(
                np.frompyfunc(partial(function, **settings), len(inputs), 1)(*inputs)
            )
        assert cls.scalar is not None
        made = np.asarray(cls.scalar(*(x if x is None else widen(x) for x in inputs), **settings))
        return cls.finish(call, made, cls.output_dtype(call))

    @classmethod
    def finish(cls, call: Call, made: np.ndarray, dtype: DType) -> np.ndarray:
        """The result in the output's dtype: arithmetic may have been in a wider one."""
        return made.astype(dtype.value, copy=False)

    @classmethod
    def flops(cls, call: Call) -> Dim:  # type: ignore[override]
        return product(call.outputs[0].shape) * cls.flops_per_element


def widen(array: np.ndarray) -> np.ndarray:
    """float16 and bfloat16 as float32; anything else as it is."""
    return array.astype(np.float32) if array.dtype in _HALF_TYPES else array


def pointwise(
    name: str,
    function: Callable[..., Any],
    inputs: str = "X: T",
    *,
    types: str = "float",
    constraints: Mapping[str, str] | None = None,
    attributes: Mapping[str, Attr] | None = None,
    result: DType | None = None,
    flops: int = 1,
    on_dims: Callable[..., Any] | None = None,
    base: type[Pointwise] = Pointwise,
) -> type[Op]:
    """Defines and registers the pointwise op `name`.

    `inputs` is a comma-separated list of parameters; `types` names the dtype set of `T`, and
    `constraints` those of further type variables; `result` is the output dtype where it differs
    from the first input's; `flops` counts operations per element; `on_dims` does on symbolic dims
    what `function` does on numbers; `base` may refine `Pointwise`.
    """
    definition = type(
        name.rsplit(".", 1)[-1],
        (base,),
        {
            "name": name,
            "__doc__": function.__doc__ if function.__module__ == scalar.__name__ else None,
            "scalar": staticmethod(function),
            "inputs": tuple(part.strip() for part in inputs.split(",")),
            "outputs": (f"Y: {result or 'T'}",),
            "constraints": {"T": types, **(constraints or {})},
            "attributes": dict(attributes or {}),
            "result_dtype": result,
            "flops_per_element": flops,
            "symbolic": on_dims is not None or base.symbolic,
            "on_dims": on_dims and staticmethod(on_dims),
        },
    )
    return register(definition)


class _Commutative(Pointwise):
    commutative = True


class _Division(Pointwise):
    symbolic = True

    @classmethod
    def symbolic_function(cls, call: Call) -> Callable[..., Any]:
        return symbolic.divide if call.dtype(0).value.kind == "f" else symbolic.divide_integers


class OneWayBroadcast(Pointwise):
    """The second input is broadcast to the first, whose shape is the result's."""

    @classmethod
    def infer(cls, call: Call) -> Sequence[TensorType]:  # type: ignore[override]
        (found,) = super().infer(call)
        x = call.type(0)
        if found.rank != x.rank or any(
            type(a) is int and type(b) is int and a != b
            for a, b in zip(found.shape, x.shape, strict=True)
        ):
            call.fail(
                f"input {cls.input_name(1)!r} is {call.type(1)} and does not broadcast to "
                f"{cls.input_name(0)!r}, which is {x}"
            )
        return [found.with_shape(x.shape)]


class SameShape(Pointwise):
    """Inputs of one shape: no broadcasting."""

    @classmethod
    def infer(cls, call: Call) -> Sequence[TensorType]:  # type: ignore[override]
        (found,) = super().infer(call)
        for index, kind in enumerate(call.types):
            if kind is not None and (
                kind.rank != found.rank
                or any(a == 1 and b != 1 for a, b in zip(kind.shape, found.shape, strict=True))
            ):
                call.fail(f"input {index} is {kind}; the shape of {found} would fit")
        return [found]


_TWO = "A: T, B: T"
_MANY = "inputs: T*"
_BOOL = DType.bool

# arithmetic
pointwise("Add", scalar.add, _TWO, types="numeric", on_dims=symbolic.add, base=_Commutative)
pointwise("Sub", scalar.subtract, _TWO, types="numeric", on_dims=symbolic.subtract)
pointwise(
    "Mul", scalar.multiply, _TWO, types="numeric", on_dims=symbolic.multiply, base=_Commutative
)
pointwise("Div", scalar.divide, _TWO, types="numeric", base=_Division)
pointwise(
    "Mod", scalar.modulo, _TWO,
    types="numeric", attributes={"fmod": Attr("int", 0)}, on_dims=symbolic.modulo,
)  # fmt: skip
pointwise(
    "Pow", scalar.power, "X: T, Y: T1",
    types="numeric", constraints={"T1": "numeric"}, on_dims=symbolic.power, flops=10,
)  # fmt: skip
pointwise("Neg", scalar.negative, types="signed_numeric", on_dims=symbolic.negative)
pointwise("Abs", scalar.absolute, types="numeric", on_dims=symbolic.absolute)
pointwise("Sign", scalar.sign, types="numeric")
pointwise("Reciprocal", scalar.reciprocal)
pointwise("Sqrt", scalar.sqrt)
pointwise("Exp", scalar.exp, flops=10)
pointwise("Log", scalar.log, flops=10)
pointwise("Floor", scalar.floor, on_dims=symbolic.floor)
pointwise("Ceil", scalar.ceil, on_dims=symbolic.ceil)
pointwise("Round", scalar.rint)
pointwise("Sum", scalar.sum_of, _MANY)
pointwise("Mean", scalar.mean_of, _MANY)
pointwise("Max", scalar.largest, _MANY, types="numeric", on_dims=symbolic.largest)
pointwise("Min", scalar.smallest, _MANY, types="numeric", on_dims=symbolic.smallest)
pointwise(
    "Clip", scalar.clip, "X: T, min: T?, max: T?",
    types="numeric", on_dims=symbolic.clip, flops=2, base=OneWayBroadcast,
)  # fmt: skip

# functions of analysis
for _name in (
    "Sin", "Cos", "Tan", "Asin", "Acos", "Atan", "Sinh", "Cosh", "Tanh", "Asinh", "Acosh", "Atanh",
):  # fmt: skip
    pointwise(_name, getattr(scalar, _name.lower()), flops=10)
pointwise("Erf", scalar.erf, types="numeric", flops=10)

# comparison, logic, bits
pointwise("Equal", scalar.equal, _TWO, types="any", result=_BOOL, on_dims=symbolic.equal)
for _name, _function, _on_dims in (
    ("Greater", scalar.greater, symbolic.greater),
    ("GreaterOrEqual", scalar.greater_or_equal, symbolic.greater_or_equal),
    ("Less", scalar.less, symbolic.less),
    ("LessOrEqual", scalar.less_or_equal, symbolic.less_or_equal),
):
    pointwise(_name, _function, _TWO, types="numeric", result=_BOOL, on_dims=_on_dims)
pointwise("And", scalar.bitwise_and, _TWO, types="bool")
pointwise("Or", scalar.bitwise_or, _TWO, types="bool")
pointwise("Xor", scalar.bitwise_xor, _TWO, types="bool")
pointwise("Not", scalar.logical_not, types="bool")
pointwise("BitwiseAnd", scalar.bitwise_and, _TWO, types="int")
pointwise("BitwiseOr", scalar.bitwise_or, _TWO, types="int")
pointwise("BitwiseXor", scalar.bitwise_xor, _TWO, types="int")
pointwise("BitwiseNot", scalar.bitwise_not, types="int")
pointwise(
    "BitShift", scalar.bit_shift, "X: T, Y: T",
    types="int", attributes={"direction": Attr("string")},
)  # fmt: skip
pointwise("IsNaN", scalar.isnan, types="any_float", result=_BOOL)
pointwise(
    "IsInf", scalar.is_infinite,
    types="any_float", result=_BOOL,
    attributes={"detect_negative": Attr("int", 1), "detect_positive": Attr("int", 1)},
)  # fmt: skip


class _Selection(Pointwise):
    @classmethod
    def output_dtype(cls, call: Call) -> DType:
        return call.dtype(1)


pointwise(
    "Where", scalar.select, "condition: bool, X: T, Y: T",
    types="any", on_dims=symbolic.select, base=_Selection,
)  # fmt: skip
