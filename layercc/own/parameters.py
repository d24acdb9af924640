"""What the parameters of a user's function say: inputs, attributes, outputs.

Positional parameters without a default are inputs, and so is one whose default is None: an input
that may be left out. `*xs` is any number of inputs. Parameters with another default, and those
behind a `*`, are attributes: numbers, strings, truth values, and tuples of numbers or strings.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

from ir.diagnostics import LayerccError, Source
from ir.registry import Attr

#: Python's type of an attribute → its kind, as definitions of ops name it.
_KINDS: dict[Any, str] = {
    bool: "int", int: "int", float: "float", str: "string",
    tuple[int, ...]: "ints", tuple[float, ...]: "floats", tuple[str, ...]: "strings",
}  # fmt: skip


class OpDefinitionError(LayerccError, TypeError):
    """A function cannot become an op, or not the op that it is said to be."""


@dataclass(frozen=True)
class Input:
    """An input: a parameter of the function."""

    name: str
    optional: bool = False
    variadic: bool = False


@dataclass(frozen=True)
class Parameters:
    """The parameters of a function, sorted out; `flags` are the attributes that are true or false,
    which models hold as numbers."""

    inputs: tuple[Input, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Attr]
    flags: frozenset[str] = frozenset()
    order: tuple[str, ...] = field(default=(), repr=False)  # as the function has them, no outputs

    def settings(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Keyword arguments of the function, from attributes of a node or their defaults."""
        found = {}
        for name, spec in self.attributes.items():
            value = given.get(name, spec.default)
            if isinstance(value, bytes):
                value = value.decode()
            found[name] = bool(value) if name in self.flags else plain(value)
        return found


def plain(value: Any) -> Any:
    """An attribute as Python's own numbers, strings and tuples."""
    value = value.item() if hasattr(value, "item") and not hasattr(value, "__len__") else value
    return tuple(map(plain, value)) if isinstance(value, list | tuple) else value


def python_function(function: Any) -> Callable[..., Any]:
    """The Python function in what Numba made of it."""
    found: Callable[..., Any] = getattr(function, "py_func", function)
    return found


def source_of(function: Any) -> Source:
    """Where a function stands."""
    code = python_function(function).__code__
    return Source(code.co_filename, code.co_firstlineno)


def described(function: Any) -> str:
    """A function for a reader: its name, file and line."""
    return f"{python_function(function).__qualname__} ({source_of(function)})"


def fail(function: Any, message: str) -> NoReturn:
    """Raises OpDefinitionError that names the function."""
    raise OpDefinitionError(f"@lc.op on {described(function)}: {message}")


def parameters_of(function: Any, outputs: Sequence[str] = ()) -> Parameters:
    """The parameters of a function, of which `outputs` are what it writes.

    Raises OpDefinitionError for a signature that no op has.
    """
    own = python_function(function)
    if not inspect.isfunction(own):
        raise OpDefinitionError(f"@lc.op takes a function; {function!r} is none")
    found = list(inspect.signature(own).parameters.values())
    hints = _hints(own)
    missing = [name for name in outputs if name not in {each.name for each in found}]
    if missing:
        fail(
            function,
            f"it writes its results into parameters, and has none called {missing[0]!r}; "
            "`def f(x, out)` would fit, or outputs=(...) with their names",
        )
    inputs: list[Input] = []
    attributes: dict[str, Attr] = {}
    flags: set[str] = set()
    for each in found:
        if each.name in outputs:
            if each.default is not each.empty:
                fail(function, f"output {each.name!r} has a default")
            continue
        if each.kind is each.VAR_KEYWORD:
            fail(function, f"**{each.name} says no attributes; name each, with its default")
        if each.kind is each.VAR_POSITIONAL:
            inputs.append(Input(each.name, variadic=True))
        elif each.kind is not each.KEYWORD_ONLY and each.default is each.empty:
            inputs.append(Input(each.name))
        elif each.kind is not each.KEYWORD_ONLY and each.default is None:
            inputs.append(Input(each.name, optional=True))
        else:
            attributes[each.name] = _attribute(function, each, hints.get(each.name))
            if isinstance(each.default, bool) or hints.get(each.name) is bool:
                flags.add(each.name)
    if not inputs:
        fail(function, "it has no input; a positional parameter without a default is one")
    if any(item.variadic for item in inputs[:-1]) or (
        inputs[-1].variadic and any(item.optional for item in inputs)
    ):
        fail(function, f"*{inputs[-1].name} stands beside inputs that may be left out")
    order = tuple(each.name for each in found if each.name not in outputs)
    return Parameters(tuple(inputs), tuple(outputs), attributes, frozenset(flags), order)


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function)
    except (NameError, TypeError, AttributeError):  # names that only type checkers know
        return {}


def _attribute(function: Any, parameter: inspect.Parameter, hint: Any) -> Attr:
    default = parameter.default
    if default is parameter.empty:
        if hint not in _KINDS:
            fail(
                function,
                f"attribute {parameter.name!r} has neither a default nor an annotation that tells "
                f"its kind; {parameter.name}: float would fit",
            )
        return Attr(_KINDS[hint])
    if hint is float and type(default) is int:
        default = float(default)
    kind = _kind_of(default)
    if kind is None:
        fail(
            function,
            f"attribute {parameter.name!r} has the default {default!r}; a number, a string, True, "
            "False, or a tuple of numbers or strings would fit",
        )
    return Attr(kind, int(default) if isinstance(default, bool) else default)


def _kind_of(value: Any) -> str | None:
    if type(value) in _KINDS:
        return _KINDS[type(value)]
    if isinstance(value, tuple):
        kinds = {type(item) for item in value}
        for kind in (int, float, str):
            if kinds <= {kind}:
                return _KINDS[tuple[kind, ...]]  # type: ignore[valid-type]
    return None


def is_kind(value: Any, kind: str) -> bool:
    """Whether a value is an attribute of that kind."""
    return _kind_of(value) == kind or (value == () and kind in ("ints", "floats", "strings"))


def as_attributes(
    function: Any, parameters: Parameters, given: Mapping[str, Any]
) -> dict[str, Any]:
    """Attributes of a node, of keyword arguments. TypeError for one that there is not, or that is
    of another kind."""
    found: dict[str, Any] = {}
    for name, value in given.items():
        spec = parameters.attributes.get(name)
        if spec is None:
            known = ", ".join(parameters.attributes) or "none"
            raise TypeError(f"{described(function)} has no attribute {name!r}; it has {known}")
        value = plain(value)
        if isinstance(value, bool):
            value = int(value)
        if spec.kind == "float" and isinstance(value, int):
            value = float(value)
        if spec.kind == "floats" and isinstance(value, tuple):
            value = tuple(map(float, value))
        if not is_kind(value, spec.kind):
            raise TypeError(
                f"{described(function)}: attribute {name!r} is {value!r}; {spec.kind} would fit"
            )
        found[name] = value
    return found
