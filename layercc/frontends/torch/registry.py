"""Which ATen ops have a translation, and what a translation is.

A translation is a function of a `Translator` and of the op's arguments, as the op's schema names
and orders them. Tensors come as `Tensor`, integers that depend on shapes as dims. It adds nodes
through the translator and returns what the op does: a tensor, a tuple, or None for an op that is
for its effect alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

Translation = Callable[..., Any]
F = TypeVar("F", bound=Translation)

#: Overload, `aten.add.Tensor`, → its translation.
TRANSLATIONS: dict[str, Translation] = {}

#: Ops that compute nothing: sizes, and checks that an export makes of what it has assumed.
IGNORED = frozenset(
    {
        "aten.sym_size.int",
        "aten._assert_scalar.default",
        "aten._assert_tensor_metadata.default",
        "aten._assert_async.msg",
        "aten.sym_constrain_range_for_size.default",
        "aten.sym_constrain_range.default",
    }
)


class Refused(Exception):
    """Raised by a translation for arguments that it cannot express; the text says which and why."""


def translates(*overloads: str) -> Callable[[F], F]:
    """Registers a function as the translation of ATen overloads: `add.Tensor`, `relu` (default)."""

    def register(function: F) -> F:
        for overload in overloads:
            enter(overload, function)
        return function

    return register


def enter(overload: str, function: Translation) -> None:
    """Enters one translation. ValueError if the overload has one."""
    name = full_name(overload)
    if name in TRANSLATIONS:
        raise ValueError(f"{name} has two translations")
    TRANSLATIONS[name] = function


def full_name(overload: str) -> str:
    """`relu` → `aten.relu.default`, `add.Tensor` → `aten.add.Tensor`."""
    parts = overload.split(".")
    return f"aten.{overload}" + ("" if len(parts) > 1 else ".default")
