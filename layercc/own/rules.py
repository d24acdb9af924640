"""Rules of a user's op: element types, and shapes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ir.dims import Dim, SymbolicDim
from ir.dtypes import DTYPE_SETS, DType, dtype_of
from ir.registry import Call
from layercc.own.parameters import Parameters, described, fail

#: A name of `DTYPE_SETS` or of an element type, for all inputs or for each by name.
Types = str | Mapping[str, str]
#: An element type, the name of an input that has it, or a function of the inputs' element types
#: (their short names, `"f32"`) and the attributes; for several outputs a sequence of these.
DtypeRule = Any
#: A function of the inputs' shapes and the attributes, or the name of an input of that shape.
ShapeRule = str | Callable[..., Any]


def constraints_of(
    function: Any, parameters: Parameters, types: Types
) -> tuple[tuple[str, ...], dict[str, str]]:
    """The declarations of inputs in an op's signature, and the constraints of type variables.

    Inputs that `types` does not name share one element type, of the set named by "".
    """
    by_name = {"": types} if isinstance(types, str) else {"": "float", **types}
    for name, kinds in by_name.items():
        if kinds not in DTYPE_SETS:
            known = ", ".join(sorted(name for name in DTYPE_SETS if name not in DType.__members__))
            fail(
                function,
                f"types={kinds!r} is no set of element types; {known}, or an element type "
                "such as f32 would fit",
            )
        if name and name not in [item.name for item in parameters.inputs]:
            fail(function, f"types names {name!r}, which is no input")
    declared = []
    for item in parameters.inputs:
        mark = "*" if item.variadic else "?" if item.optional else ""
        declared.append(f"{item.name}: {by_name.get(item.name, 'T')}{mark}")
    return tuple(declared), {"T": by_name[""]}


def result_dtypes(
    function: Any, parameters: Parameters, rule: DtypeRule, call: Call, count: int
) -> list[DType]:
    """Element types of `count` outputs. Fails through `call` where the rule gives none."""
    if callable(rule):
        given = [None if kind is None else str(kind.dtype) for kind in call.types]
        rule = _ruled(call, "dtype", function, rule, given, parameters.settings(call.attributes))
    rules = [rule] * count if rule is None or isinstance(rule, str | DType) else list(rule)
    if len(rules) != count:
        call.fail(f"dtype of {described(function)} tells {len(rules)} types for {count} outputs")
    names = [item.name for item in parameters.inputs]
    found = []
    for each in rules:
        if each is None or each in names:
            index = 0 if each is None else names.index(each)
            found.append(call.type(index).dtype)
            continue
        try:
            found.append(dtype_of(each))
        except TypeError:
            call.fail(
                f"dtype of {described(function)} is {each!r}, neither an element type nor an input",
                "bad-dtype",
            )
    return found


def result_shapes(
    function: Any, parameters: Parameters, rule: ShapeRule, call: Call
) -> list[tuple[Dim, ...]]:
    """Shapes of the outputs. Fails through `call` where the rule refuses the shapes, or gives what
    is no shape."""
    names = [item.name for item in parameters.inputs]
    count = len(parameters.outputs)
    if isinstance(rule, str):
        return [call.shape(names.index(rule))] * count
    given = [None if kind is None else kind.shape for kind in call.types]
    made = _ruled(call, "shape", function, rule, given, parameters.settings(call.attributes))
    several = isinstance(made, tuple | list) and all(isinstance(s, tuple | list) for s in made)
    shapes = list(made) if several and made else [made]
    if len(shapes) != count:
        call.fail(f"shape of {described(rule)} tells {len(shapes)} shapes for {count} outputs")
    for shape in shapes:
        if not isinstance(shape, tuple | list) or not all(map(_is_dim, shape)):
            call.fail(
                f"shape of {described(rule)} gives {shape!r}; a tuple of dims would fit, or for "
                "several outputs a tuple of those"
            )
    return [tuple(map(_dim, shape)) for shape in shapes]


def _is_dim(dim: Any) -> bool:
    return isinstance(dim, SymbolicDim) or (hasattr(dim, "__index__") and not isinstance(dim, bool))


def _dim(dim: Any) -> Dim:
    return dim if isinstance(dim, SymbolicDim) else int(dim)


def _ruled(
    call: Call, what: str, function: Any, rule: Any, given: Sequence[Any], settings: Any
) -> Any:
    """What a rule of a user's makes of the inputs, and of attributes that it takes."""
    taken = inspect.signature(rule).parameters
    if any(each.kind is each.VAR_KEYWORD for each in taken.values()):
        known = dict(settings)
    else:
        known = {name: value for name, value in settings.items() if name in taken}
    try:
        return rule(*given, **known)
    except Exception as error:  # whatever a user's rule raises says that the inputs do not fit
        call.fail(f"{what} of {described(function)} refuses them: {_text(error)}")


def _text(error: Exception) -> str:
    """An error's message; behind its kind, where it is none that says something by itself."""
    text = str(error)
    return text if isinstance(error, ValueError) and text else f"{type(error).__name__}: {text}"
