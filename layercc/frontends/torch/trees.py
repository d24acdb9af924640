"""Places in trees of arguments and results, by the keys that pytree has for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def paths_of(spec: Any, top: Sequence[str] = ()) -> list[str]:
    """The path of each leaf of a tree: keys and positions, with dots between.

    `top` are names of the first items of the outermost tuple.
    """
    if spec.is_leaf():
        return [""]
    keys = [*top, *keys_of(spec)[len(top) :]]
    found = []
    for i in range(spec.num_children):
        found += [f"{keys[i]}.{path}".rstrip(".") for path in paths_of(spec.child(i))]
    return found


def keys_of(spec: Any) -> list[str]:
    """What the children of a node are called: keys or fields, as far as pytree knows; else their
    positions."""
    count, context = spec.num_children, spec.context
    parts = context if isinstance(context, list | tuple) else ()
    fields = getattr(context, "_fields", ())  # of a named tuple
    for names in (context, fields, *parts):
        if isinstance(names, list | tuple) and len(names) == count:
            of_dict = isinstance(spec.type, type) and issubclass(spec.type, dict)
            if of_dict or all(isinstance(name, str) for name in names):
                return [str(name) for name in names]
    return [str(i) for i in range(count)]
