"""Inputs that may be left out: the defaults of a graph, taken as constants where they are."""

from __future__ import annotations

from collections.abc import Container

from ir.graph import Graph


def bind_defaults(graph: Graph, given: Container[str] = ()) -> Graph:
    """The graph in which every input that has a default is a constant, but for those `given`.

    Those become inputs like all others; so the result has no defaults. A graph without any is
    returned as it is.
    """
    if not graph.defaults:
        return graph
    bound = {name: array for name, array in graph.defaults.items() if name not in given}
    result = graph.copy()
    result.inputs = [value for value in graph.inputs if value.name not in bound]
    result.constants = {**graph.constants, **bound}
    result.defaults = {}
    result.types = {}  # less was known of what the defaults decide
    return result
