"""Pointwise ops of a scalar function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from ir.diagnostics import Source
from ir.dtypes import DType
from ir.graph import Graph
from ir.ops.pointwise import Pointwise, widen
from ir.registry import Call, OpError
from ir.types import TensorType
from layercc.kernels.replacing import on_arrays
from layercc.own.parameters import (
    Parameters,
    described,
    is_kind,
    plain,
    python_function,
    source_of,
)
from layercc.own.rules import DtypeRule, result_dtypes
from layercc.own.written import Inexpressible, written_out


class OwnPointwise(Pointwise):
    """Base of pointwise ops that users define."""

    lowered_as = "own:pointwise"
    parameters: ClassVar[Parameters]
    dtype_rule: ClassVar[DtypeRule] = None
    _written: ClassVar[dict[Any, Graph | None]]

    @classmethod
    def infer(cls, call: Call) -> list[TensorType]:  # type: ignore[override]
        check_attributes(call, cls.parameters)
        found = list(super().infer(call))
        cls.body(call)  # what is wrong with the function is known before a kernel is built
        return found

    @classmethod
    def output_dtype(cls, call: Call) -> DType:
        (found,) = result_dtypes(cls.scalar, cls.parameters, cls.dtype_rule, call, 1)
        return found

    @classmethod
    def settings(cls, call: Call) -> dict[str, Any]:
        return cls.parameters.settings(call.attributes)

    @classmethod
    def reference(cls, call: Call, *inputs: Any) -> np.ndarray:  # type: ignore[override]
        settings = cls.settings(call)
        arrays = [x if x is None else widen(x) for x in inputs]
        shape = np.broadcast_shapes(*(x.shape for x in arrays if x is not None))
        made = _on_arrays(on_arrays(cls.scalar), arrays, settings, shape)
        return np.broadcast_to(made, shape).astype(cls.output_dtype(call).value)

    @classmethod
    def body(cls, call: Call) -> Graph | None:  # type: ignore[override]
        """The function in ONNX's ops; None where ONNX has no words for it."""
        kinds = tuple(kind and TensorType(kind.dtype, kind.shape) for kind in call.types)
        settings = cls.settings(call)
        key = kinds, tuple(settings.items())
        if key not in cls._written:
            (result,) = super().infer(call)
            assert cls.scalar is not None
            try:
                made = written_out(python_function(cls.scalar), kinds, settings, result)
            except Inexpressible:
                made = None
            except Exception as error:  # whatever a user's function raises on a scalar
                where = _line_in(cls.scalar, error)
                raise OpError(
                    f"{described(cls.scalar)} is no function of scalars: {where}"
                    f"{type(error).__name__}: {error}. Operators, functions of math and NumPy's on "
                    "single elements would fit; a function of layers has composite=True, one of "
                    "arrays has shape=",
                    "bad-function",
                ) from error
            if len(cls._written) > 64:
                cls._written.clear()
            cls._written[key] = made
        return cls._written[key]


def check_attributes(call: Call, parameters: Parameters) -> None:
    """Fails for an attribute that the op does not have, or that is of another kind."""
    for name, value in call.attributes.items():
        if name not in call.op.attributes:
            known = ", ".join(call.op.attributes) or "none"
            call.fail(f"there is no attribute {name!r}; the op has {known}", "bad-attribute")
        kind = parameters.attributes[name].kind
        if not is_kind(plain(value), kind):
            call.fail(f"attribute {name!r} is {value!r}; {kind} would fit", "bad-attribute")


def _on_arrays(
    function: Callable[..., Any], arrays: list[Any], settings: dict[str, Any], shape: Any
) -> Any:
    """A scalar function of all elements: of the arrays at once, or where it branches one by one."""
    try:
        return function(*arrays, **settings)
    except (TypeError, ValueError):
        pass  # it asks for the truth of an array, or calls what takes one number
    given = [None if x is None else np.broadcast_to(x, shape).flat for x in arrays]
    count = int(np.prod(shape, dtype=np.int64))
    made = [
        function(*(None if x is None else x[i] for x in given), **settings) for i in range(count)
    ]
    return np.array(made).reshape(shape) if made else np.zeros(shape)


def _line_in(function: Any, error: Exception) -> str:
    """The line of the function's file at which an error came up."""
    file, found = python_function(function).__code__.co_filename, None
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == file:
            found = trace.tb_lineno
        trace = trace.tb_next
    return "" if found is None else f"line {found}: "


def pointwise_class(
    name: str,
    function: Callable[..., Any],
    parameters: Parameters,
    declared: tuple[str, ...],
    constraints: dict[str, str],
    dtype: DtypeRule,
    since: int,
) -> type[OwnPointwise]:
    """The op of a scalar function."""
    origin: Source = source_of(function)
    return type(
        name.rpartition(".")[2],
        (OwnPointwise,),
        {
            "name": name,
            "__doc__": function.__doc__,
            "scalar": staticmethod(python_function(function)),
            "inputs": declared,
            "outputs": ("Y: any",),
            "constraints": constraints,
            "attributes": dict(parameters.attributes),
            "parameters": parameters,
            "dtype_rule": staticmethod(dtype) if callable(dtype) else dtype,
            "origin": origin,
            "since": since,
            "_written": {},
        },
    )
