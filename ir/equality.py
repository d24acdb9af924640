"""Whether two graphs are the same: structure, attributes, constants to the bit."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from ir.graph import Graph, Node


def graphs_equal(a: Graph, b: Graph) -> bool:
    """Whether `graph_differences` finds nothing."""
    return next(graph_differences(a, b), None) is None


def graph_differences(a: Graph, b: Graph) -> Iterator[str]:
    """Every difference, in words. The order of nodes counts, that of constants does not.

    Types of inner values are compared where both graphs know them. Sources are not compared.
    """
    for what in ("name", "inputs", "outputs"):
        mine, other = getattr(a, what), getattr(b, what)
        if mine != other:
            yield f"{what}: {_show(mine)} against {_show(other)}"
    yield from _array_differences("constant", a.constants, b.constants)
    yield from _array_differences("default", a.defaults, b.defaults)
    for name, kind in a.types.items():
        if name in b.types and b.types[name] != kind:
            yield f"type of {name!r}: {kind} against {b.types[name]}"
    if len(a.nodes) != len(b.nodes):
        yield f"number of nodes: {len(a.nodes)} against {len(b.nodes)}"
    for mine, other in zip(a.nodes, b.nodes, strict=False):
        yield from _node_differences(mine, other)


def _array_differences(
    what: str, a: Mapping[str, np.ndarray], b: Mapping[str, np.ndarray]
) -> Iterator[str]:
    for name in dict.fromkeys([*a, *b]):
        if name not in a or name not in b:
            yield f"{what} {name!r} is only in the {'first' if name in a else 'second'}"
        elif not _same(a[name], b[name]):
            yield f"{what} {name!r}: {_show(a[name])} against {_show(b[name])}"


def _node_differences(a: Node, b: Node) -> Iterator[str]:
    for what in ("op", "name", "inputs", "outputs"):
        mine, other = getattr(a, what), getattr(b, what)
        if mine != other:
            yield f"{a}: {what}: {_show(mine)} against {_show(other)}"
    for key in dict.fromkeys([*a.attributes, *b.attributes]):
        where = f"{a}: attribute {key!r}"
        if key not in a.attributes or key not in b.attributes:
            yield f"{where} is only in the {'first' if key in a.attributes else 'second'}"
            continue
        mine, other = a.attributes[key], b.attributes[key]
        if isinstance(mine, Graph) and isinstance(other, Graph):
            yield from (f"{where}: {text}" for text in graph_differences(mine, other))
        elif not _same(mine, other):
            yield f"{where}: {_show(mine)} against {_show(other)}"


def _same(a: Any, b: Any) -> bool:
    """Equality in which a NaN is equal to itself, 0.0 differs from -0.0, and 1 from 1.0."""
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if isinstance(a, (tuple, list)) and isinstance(b, (tuple, list)):
        return len(a) == len(b) and all(map(_same, a, b))
    if isinstance(a, float) and isinstance(b, float):
        if math.isnan(a) or math.isnan(b):
            return math.isnan(a) and math.isnan(b)
        return a == b and math.copysign(1, a) == math.copysign(1, b)
    return isinstance(a, float) == isinstance(b, float) and bool(a == b)


def _show(value: Any) -> str:
    if isinstance(value, np.ndarray):
        text = f"{value.dtype}{list(value.shape)}"
        return f"{text} {value.tolist()}" if value.size <= 16 else text
    if isinstance(value, (list, tuple)):
        return "(" + ", ".join(map(_show, value)) + ")"
    return str(value)
