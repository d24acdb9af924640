"""Scalar functions by name, as expressions and the keys of kernels hold them.

A function of `ir.scalar` goes by its name. Any other is ``"module:qualified.name#digest"``, where
the digest is of its code and of all that the code uses: edited, it is another function, and kernels
of it are other kernels, in this process and in the cache on disk. A function without source in a
file, or that uses what cannot be digested, goes by ``"module:qualified.name~number"``, a number
that no other function of this process has; kernels of it are not cached. This process finds a
function that it named, wherever it is; another one finds it if it is a module's.
"""

from __future__ import annotations

import dis
import hashlib
import inspect
import itertools
import os
import sys
import time
import types
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from weakref import WeakKeyDictionary, WeakValueDictionary

import numpy as np

_MARK = "#"
_NUMBERED = "~"
_DIGITS = 16
_STARTED = time.time()
_names: WeakKeyDictionary[Callable[..., Any], str] = WeakKeyDictionary()
_functions: WeakValueDictionary[str, Callable[..., Any]] = WeakValueDictionary()
_numbers = itertools.count(1)


class Undigestable(Exception):
    """What a function uses has no digest that tells whether it changed."""


def name_of(function: Callable[..., Any]) -> str:
    """The name of a function that is not of `ir.scalar`."""
    if function not in _names:
        name = f"{function.__module__}:{function.__qualname__}"
        try:
            digest = hashlib.sha256("\0".join(_parts(function, set())).encode()).hexdigest()
            name += _MARK + digest[:_DIGITS]
        except Undigestable:
            name += f"{_NUMBERED}{next(_numbers)}"
        _names[function] = name
        _functions.setdefault(name, getattr(function, "py_func", function))
    return _names[function]


def resolve(name: str) -> Callable[..., Any]:
    """The scalar function of this name.

    Raises AttributeError where there is none, LookupError where it was edited since it was named.
    """
    if (known := _functions.get(name)) is not None:
        return known
    place, _, digest = name.partition(_MARK)
    module_name, _, path = place.rpartition(":")
    if not module_name:
        from ir import scalar as module
    else:
        __import__(module_name)
        module = sys.modules[module_name]
    found: Any = module
    for part in path.split("."):
        found = getattr(found, part)
    if digest and name_of(found) != name:
        raise LookupError(f"function {place} is not what it was when it was named")
    return found


def short_name(name: str) -> str:
    """The name for a reader: without module and digest."""
    return name.partition(_MARK)[0].partition(_NUMBERED)[0].rpartition(":")[2]


def users_functions(parameter: Any) -> list[str]:
    """Names of functions, other than those of `ir.scalar`, in a parameter of a kernel's key."""
    if isinstance(parameter, tuple):
        return [name for part in parameter for name in users_functions(part)]
    marked = isinstance(parameter, str) and (_MARK in parameter or _NUMBERED in parameter)
    return [parameter] if marked and ":" in parameter else []


def described(name: str) -> str:
    """A function that was named, for a reader: with its file and line."""
    code = getattr(resolve(name), "py_func", resolve(name)).__code__
    return f"{short_name(name)} ({code.co_filename}:{code.co_firstlineno})"


def is_digested(parameter: Any) -> bool:
    """Whether all functions named in a parameter of a kernel's key have digests."""
    if isinstance(parameter, tuple):
        return all(map(is_digested, parameter))
    return not isinstance(parameter, str) or ":" not in parameter or _MARK in parameter


def _parts(function: Any, seen: set[int]) -> Iterator[str]:
    """What the meaning of a function hangs on, as text."""
    function = getattr(function, "py_func", function)  # of a function compiled by Numba
    if not isinstance(function, types.FunctionType):
        raise Undigestable
    if id(function) in seen:
        return
    seen.add(id(function))
    source = inspect.getsourcefile(function)
    if source is None or not os.path.exists(source):
        raise Undigestable
    yield from _code(function.__code__)
    yield from _values(function.__defaults__ or (), seen)
    yield from _values((function.__kwdefaults__ or {}).values(), seen)
    for cell in function.__closure__ or ():
        yield from _value(cell.cell_contents, seen)
    for name in sorted(_names_in(function.__code__) & function.__globals__.keys()):
        yield name
        yield from _value(function.__globals__[name], seen)


def _names_in(code: types.CodeType) -> set[str]:
    nested = [_names_in(constant) for constant in code.co_consts if _nested(constant)]
    return set(code.co_names).union(*nested)


def _code(code: types.CodeType) -> Iterator[str]:
    yield from (i.opname + i.argrepr for i in dis.get_instructions(code) if not _nested(i.argval))
    for constant in code.co_consts:
        if _nested(constant):
            yield from _code(constant)


def _nested(value: Any) -> bool:
    return isinstance(value, types.CodeType)


def _values(values: Iterable[Any], seen: set[int]) -> Iterator[str]:
    for value in values:
        yield from _value(value, seen)


def _value(value: Any, seen: set[int]) -> Iterator[str]:
    if isinstance(value, bool | int | float | complex | str | bytes | type(None)):
        yield repr(value)
    elif isinstance(value, tuple):
        yield "("
        yield from _values(value, seen)
        yield ")"
    elif isinstance(value, np.generic | np.ndarray):
        yield f"{value.dtype} {value.shape} {value.tobytes().hex()}"
    elif isinstance(value, types.ModuleType):
        yield _module(value.__name__)
    elif isinstance(value, types.FunctionType) or hasattr(value, "py_func"):
        yield from _parts(value, seen)
    elif isinstance(value, type | types.BuiltinFunctionType | np.ufunc):
        name = getattr(value, "__qualname__", value.__name__)
        yield f"{name} of {_module(getattr(value, '__module__', None) or 'numpy')}"
    else:
        raise Undigestable


def _module(name: str) -> str:
    """A module: by its version, or by its file where it is none of a library."""
    module = sys.modules.get(name)
    package = sys.modules.get(name.partition(".")[0])
    version = getattr(package, "__version__", None)
    file = getattr(module, "__file__", None)
    if name.partition(".")[0] in sys.stdlib_module_names and name != "__main__":
        return name
    if version is not None:
        return f"{name} {version}"
    if file is None or os.stat(file).st_mtime > _STARTED:  # it may not be what was imported
        raise Undigestable
    with open(file, "rb") as stream:
        return f"{name} {hashlib.sha256(stream.read()).hexdigest()}"
