"""Computes equal things once.

Matches nodes with the same op, inputs and attributes as an earlier one; makes later readers read
the earlier node's outputs. Sound for deterministic ops: equal calls give equal results.
Small constants with equal contents become one, too.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np

from ir.graph import Graph, Node
from layercc.passes.editor import GraphEditor, definition
from layercc.passes.infrastructure import graph_pass


@graph_pass("simplify")
def eliminate_common_subexpressions(graph: Graph) -> Graph:
    """Compute equal things once."""
    seen: dict[Hashable, Node] = {}
    editor = GraphEditor(graph)
    editor.share_constants()
    for node in editor.walk():
        key = _signature(node)
        if key is None:
            continue
        first = seen.setdefault(key, node)
        if first is node:
            continue
        pairs = list(zip(first.outputs, node.outputs, strict=True))
        if not any(editor.is_output(a) and editor.is_output(b) for a, b in pairs):
            editor.replace(node, first.outputs)
            if any(editor.is_output(b) for _, b in pairs):
                seen[key] = node  # the first one's outputs took the names of this one's
    return editor.finish()


def _signature(node: Node) -> Hashable:
    """What two nodes share when they compute the same; None for nodes that stand alone."""
    op = definition(node)
    if op is None or not op.deterministic or any(node.subgraphs()):
        return None
    attributes = tuple(sorted((name, _frozen(value)) for name, value in node.attributes.items()))
    present = tuple(map(bool, node.outputs))
    return node.op, node.inputs, attributes, present


def _frozen(value: Any) -> Hashable:
    if isinstance(value, np.ndarray):
        return str(value.dtype), value.shape, value.tobytes()
    if isinstance(value, (list, tuple)):
        return tuple(map(_frozen, value))
    return type(value).__name__, value
