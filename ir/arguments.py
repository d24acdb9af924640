"""What callers of the public API hand in, where its Python type is not what it has to be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ir.dtypes import dtype_of
from ir.graph import Graph, Node, Value
from ir.types import TensorType


def expect_graph(graph: Any, what: str = "graph") -> None:
    """Raises TypeError unless `graph` is a `Graph`, made of values, nodes and arrays."""
    expect(isinstance(graph, Graph), what, graph, "a Graph")
    name = f"graph {graph.name!r}:"
    for part in ("inputs", "outputs"):
        _expect_all(getattr(graph, part), _is_value, f"{name} {part}", "Value with a TensorType")
    _expect_all(graph.nodes, _is_node, f"{name} nodes", "Node that reads and makes names")
    for part in ("constants", "defaults"):
        arrays = getattr(graph, part)
        expect(
            isinstance(arrays, Mapping), f"{name} {part}", arrays, "a mapping of names to arrays"
        )
        for key, array in arrays.items():
            where = f"{name} {part}: {key!r}"
            expect(_is_array(array), where, array, "a NumPy array of an element type of tensors")
    for node in graph.nodes:
        for body in node.subgraphs():
            expect_graph(body)


def expect_mapping(given: Any, what: str, of: str) -> None:
    """Raises TypeError unless `given` is a mapping; `of` says of what."""
    expect(isinstance(given, Mapping), what, given, f"a mapping of {of}")


def expect(fits: bool, what: str, given: Any, fitting: str) -> None:
    """Raises TypeError that says what was given and what would fit, unless it fits."""
    if not fits:
        raise TypeError(f"{what}: {fitting} would fit; {described(given)} was given")


def described(given: Any) -> str:
    """A value by its Python type, with its text where that is short."""
    text = repr(given) if isinstance(given, (str, bytes, bool, int, float, type(None))) else ""
    name = type(given).__name__
    return f"{text} ({name})" if text and len(text) <= 40 else f"a {name}"


def _expect_all(items: Any, fits: Any, what: str, fitting: str) -> None:
    expect(isinstance(items, (list, tuple)), what, items, f"a list, each item a {fitting},")
    for index, item in enumerate(items):
        expect(fits(item), f"{what}[{index}]", item, f"a {fitting}")


def _is_value(item: Any) -> bool:
    return (
        isinstance(item, Value) and isinstance(item.name, str) and isinstance(item.type, TensorType)
    )


def _is_node(item: Any) -> bool:
    return (
        isinstance(item, Node)
        and isinstance(item.op, str)
        and isinstance(item.attributes, Mapping)
        and all(
            isinstance(names, (tuple, list)) and all(isinstance(n, str) for n in names)
            for names in (item.inputs, item.outputs)
        )
    )


def _is_array(item: Any) -> bool:
    try:
        return isinstance(item, np.ndarray) and bool(dtype_of(item))
    except TypeError:
        return False
