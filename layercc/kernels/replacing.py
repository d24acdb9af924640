"""Scalar functions with the primitives in them replaced.

A function of `ir.scalar`, or a user's own, names primitives (`exp`, `where`), NumPy's functions and
those of `math` as globals. Called through a `Replacing`, it finds something else there: what
records them, or what computes them on whole arrays.
"""

from __future__ import annotations

import math
import types
from collections.abc import Callable
from typing import Any

import numpy as np

from ir import primitives

#: Primitive → NumPy's function.
PRIMITIVES: dict[str, Callable[..., Any]] = {
    name: value
    for name, value in vars(primitives).items()
    if callable(value) and not isinstance(value, type) and name[0] != "_"
}
_MATH_NAMES = {"fabs": "absolute", "pow": "power"}


class Replacing:
    """`primitive` tells what stands for the primitive of a name."""

    def __init__(self, primitive: Callable[[str], Callable[..., Any]]) -> None:
        self._primitive = primitive
        self._made: dict[Any, Any] = {}

    def __call__(self, value: Any) -> Any:
        """What stands for the global `value` of a scalar function, or for the function itself."""
        value = getattr(value, "py_func", value)  # of a Numba function
        if isinstance(value, types.ModuleType) and value in (math, np):
            if value not in self._made:
                items = {name: self(item) for name, item in vars(value).items()}
                self._made[value] = types.SimpleNamespace(**items)
            return self._made[value]
        for name, known in PRIMITIVES.items():
            if value is known:
                return self._primitive(name)
        if isinstance(value, types.BuiltinFunctionType) and value.__module__ == "math":
            name = _MATH_NAMES.get(value.__name__, value.__name__)
            return self._primitive(name) if name in PRIMITIVES else value
        if isinstance(value, types.FunctionType) and not value.__module__.startswith("numpy"):
            return self._function(value)
        return value

    def _function(self, function: types.FunctionType) -> Callable[..., Any]:
        """`function` with its globals and closure replaced."""
        if function in self._made:
            made: Callable[..., Any] = self._made[function]
            return made
        made = self._made[function] = _copied(function, self)
        return made


def _copied(function: types.FunctionType, replaced: Callable[[Any], Any]) -> Callable[..., Any]:
    names: dict[str, Any] = {"__builtins__": function.__globals__.get("__builtins__")}
    made = types.FunctionType(
        function.__code__, names, function.__name__, function.__defaults__,
        tuple(types.CellType(replaced(c.cell_contents)) for c in function.__closure__ or ()),
    )  # fmt: skip
    made.__kwdefaults__ = function.__kwdefaults__
    for name in function.__code__.co_names:
        if name in function.__globals__ and name != function.__name__:
            names[name] = replaced(function.__globals__[name])
    names[function.__name__] = made
    return made


def by_numpy(name: str) -> Callable[..., Any]:
    """The primitive on arrays and numbers."""
    return PRIMITIVES[name]


#: Functions on whole arrays: `math.exp` takes them, too.
on_arrays = Replacing(by_numpy)
