"""Ops of a function that Numba compiles, which writes its results into arrays."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np

from ir.array_function import ArrayFunction
from ir.dims import may_equal
from ir.dtypes import DTYPE_SETS
from ir.registry import Call, OpError
from ir.types import TensorType
from layercc.own.parameters import Parameters, described, fail, python_function, source_of
from layercc.own.pointwise import check_attributes
from layercc.own.rules import DtypeRule, ShapeRule, result_dtypes, result_shapes

#: Element types of arrays that Numba has as the kernels do.
_ARRAYS = DTYPE_SETS["array"]


def _known() -> str:
    return ", ".join(sorted(map(str, _ARRAYS)))


class OwnArrays(ArrayFunction):
    """Base of ops of arrays that users define."""

    parameters: ClassVar[Parameters]
    dtype_rule: ClassVar[DtypeRule] = None
    shape_rule: ClassVar[ShapeRule]

    @classmethod
    def infer(cls, call: Call) -> Sequence[TensorType]:  # type: ignore[override]
        check_attributes(call, cls.parameters)
        shapes = result_shapes(cls.function, cls.parameters, cls.shape_rule, call)
        dtypes = result_dtypes(cls.function, cls.parameters, cls.dtype_rule, call, len(shapes))
        for dtype in dtypes:
            if dtype not in _ARRAYS:
                call.fail(f"an output would be {dtype}; {_known()} would fit", "bad-dtype")
        found = [TensorType(dtype, shape) for dtype, shape in zip(dtypes, shapes, strict=True)]
        cls.check_split(call, found)
        return found

    @classmethod
    def check_split(cls, call: Call, outputs: Sequence[TensorType]) -> None:
        """Fails where what is split along its first axis has none, or others differ."""
        kinds = {f"x{i}": kind for i, kind in enumerate(call.types)}
        kinds |= {f"y{i}": kind for i, kind in enumerate(outputs)}
        first = None
        for each in sorted(cls.split):
            kind = kinds.get(each)
            if kind is None:
                continue
            if not kind.rank:
                call.fail(f"{cls._label(each)} is {kind}; parallel= needs a first axis")
            if first is not None and not may_equal(first[1].shape[0], kind.shape[0]):
                call.fail(
                    f"parallel= splits {cls._label(first[0])}, {first[1]}, and "
                    f"{cls._label(each)}, {kind}, whose first dims differ"
                )
            first = first or (each, kind)

    @classmethod
    def _label(cls, place: str) -> str:
        index = int(place[1:])
        names = [item.name for item in cls.parameters.inputs]
        return repr(names[index] if place[0] == "x" else cls.parameters.outputs[index])

    @classmethod
    def settings(cls, call: Call) -> dict[str, Any]:
        return cls.parameters.settings(call.attributes)

    @classmethod
    def reference(cls, call: Call, *inputs: Any) -> tuple[np.ndarray, ...]:  # type: ignore[override]
        outputs = [
            np.zeros(kind.shape, kind.dtype.value)  # type: ignore[type-var]
            for kind in cls.infer(call)
        ]
        named: dict[str, Any] = dict(cls.settings(call))
        for i, x in enumerate(inputs):
            named[f"x{i}"] = _read_only(x)
        named |= {f"y{i}": y for i, y in enumerate(outputs)}
        try:
            _compiled(cls.function)(*(named.get(each) for each in cls.arguments))
        except Exception as error:  # whatever a user's function raises
            text = f"{described(cls.function)} raised {type(error).__name__}: {error}"
            raise OpError(text, "raised") from error
        return tuple(outputs)


def _read_only(x: Any) -> Any:
    if x is None:
        return None
    view = np.ascontiguousarray(x).reshape(np.shape(x)).view()
    view.flags.writeable = False
    return view


@functools.cache
def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, compiled so that it checks indices."""
    import numba

    made: Callable[..., Any] = numba.njit(boundscheck=True, error_model="numpy")(function)
    return made


def arrays_class(
    name: str,
    function: Callable[..., Any],
    parameters: Parameters,
    declared: tuple[str, ...],
    constraints: dict[str, str],
    dtype: DtypeRule,
    shape: ShapeRule,
    parallel: tuple[str, ...],
    since: int,
) -> type[OwnArrays]:
    """The op of a function of arrays. Raises OpDefinitionError for options that do not fit it."""
    plain = python_function(function)
    inputs = [item.name for item in parameters.inputs]
    if parameters.inputs[-1].variadic:
        fail(function, f"*{inputs[-1]}: Numba compiles a function of a known number of arrays")
    found = inspect.signature(plain).parameters
    if keyword := [p.name for p in found.values() if p.kind is p.KEYWORD_ONLY]:
        fail(function, f"Numba knows no parameters behind a *: {keyword[0]!r}")
    for text in (
        *constraints.values(),
        *(each.partition(": ")[2].rstrip("?") for each in declared),
    ):
        if text in DTYPE_SETS and not DTYPE_SETS[text] <= _ARRAYS:
            fail(
                function, f"types={text!r} has more than arrays can hold here, which is {_known()}"
            )
    if isinstance(shape, str) and shape not in inputs:
        fail(function, f"shape={shape!r} names no input; it has {', '.join(inputs)}")
    places = {item: f"x{i}" for i, item in enumerate(inputs)}
    places |= {item: f"y{i}" for i, item in enumerate(parameters.outputs)}
    if unknown := [item for item in parallel if item not in places]:
        fail(function, f"parallel= names {unknown[0]!r}, which is no input or output")
    if parallel and not set(parallel) >= set(parameters.outputs):
        fail(function, "parallel= names not all outputs; parts of a result would be written twice")
    return type(
        name.rpartition(".")[2],
        (OwnArrays,),
        {
            "name": name,
            "__doc__": function.__doc__,
            "function": staticmethod(plain),
            "arguments": tuple(places.get(each, each) for each in found),
            "split": frozenset(places[item] for item in parallel),
            "inputs": declared,
            "outputs": tuple(f"{item}: any" for item in parameters.outputs),
            "constraints": constraints,
            "attributes": dict(parameters.attributes),
            "parameters": parameters,
            "dtype_rule": staticmethod(dtype) if callable(dtype) else dtype,
            "shape_rule": staticmethod(shape) if callable(shape) else shape,
            "origin": source_of(function),
            "since": since,
        },
    )
