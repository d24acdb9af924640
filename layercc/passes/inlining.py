"""Subgraphs become part of the graph around them."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

from ir.graph import Graph
from ir.renaming import rename


def inline(
    result: Graph,
    body: Graph,
    taken: set[str],
    given: Mapping[str, str] | None = None,
    suffix: str = "",
) -> list[str]:
    """Appends the nodes and constants of `body` to `result`; returns the names of its outputs.

    Their values get names that are not `taken`, and now are. `given` names the values of `result`
    that stand for the inputs of `body`; `suffix` goes behind names to tell copies apart. Nodes keep
    their own names.
    """
    made = [name for item in body.nodes for name in item.outputs if name]
    names = {name: unique(name + suffix, taken) for name in [*made, *body.constants]}
    names.update(given or {})
    result.constants |= {names[name]: array for name, array in body.constants.items()}
    result.nodes += [rename(item, names) for item in body.nodes]
    return [names.get(name, name) for name in body.output_names]


def unique(name: str, taken: set[str]) -> str:
    """A name like `name` that is not `taken` yet, and now is."""
    for suffix in itertools.count(1):
        fresh = f"{name}.{suffix}"
        if fresh not in taken:
            taken.add(fresh)
            return fresh
    raise AssertionError
