"""Dataclasses from JSON data that may be damaged."""

from __future__ import annotations

import dataclasses
import types
import typing
from typing import Any

from ir.diagnostics import InputError

_NOT_FINITE = {"inf": float("inf"), "-inf": float("-inf"), "nan": float("nan")}
_NAMES = {float: "a number", int: "an integer", str: "a text", type(None): "null"}


def read(kind: Any, data: Any, where: str) -> Any:
    """A value of `kind` (a dataclass, `list[...]`, `dict[str, ...]`, float, int, str, or a union
    with None) from JSON data; keys that the dataclass lacks are passed over.

    Raises InputError, which says where in the data what would fit.
    """
    if dataclasses.is_dataclass(kind):
        return _record(kind, _checked(data, dict, where, "an object"), where)
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        return _one_of(arguments, data, where)
    if origin is list:
        items = _checked(data, list, where, "a list")
        return [read(arguments[0], item, f"{where}[{i}]") for i, item in enumerate(items)]
    if origin is dict:
        items = _checked(data, dict, where, "an object")
        return {key: read(arguments[1], item, f"{where}.{key}") for key, item in items.items()}
    if kind is float:
        if isinstance(data, str) and data in _NOT_FINITE:
            return _NOT_FINITE[data]
        if isinstance(data, int) and not isinstance(data, bool) and abs(data) < 1 << 1023:
            return float(data)
    if not isinstance(data, kind) or isinstance(data, bool):
        raise _wrong(data, where, _NAMES[kind])
    return data


def _record(kind: Any, data: dict[str, Any], where: str) -> Any:
    hints = typing.get_type_hints(kind)
    given = {}
    for field in dataclasses.fields(kind):
        if field.name in data:
            given[field.name] = read(hints[field.name], data[field.name], f"{where}: {field.name}")
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise InputError(f"{where}: {field.name!r} is missing")
    return kind(**given)


def _one_of(kinds: tuple[Any, ...], data: Any, where: str) -> Any:
    if data is None and type(None) in kinds:
        return None
    rest = [kind for kind in kinds if kind is not type(None)]
    # text and numbers are told apart by themselves; there is no union of two larger kinds
    fitting = [kind for kind in rest if isinstance(kind, type) and isinstance(data, kind)]
    return read((fitting or rest)[0], data, where)


def _checked(data: Any, kind: type, where: str, what: str) -> Any:
    if not isinstance(data, kind):
        raise _wrong(data, where, what)
    return data


def _wrong(data: Any, where: str, what: str) -> InputError:
    text = repr(data)
    shown = text if len(text) < 60 else text[:57] + "..."
    return InputError(f"{where}: {what} would fit; {shown} is there")
