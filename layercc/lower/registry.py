"""Which function lowers which op. One registration for each op, beside the code that does it."""

from __future__ import annotations

from collections.abc import Callable

from ir.graph import Node
from layercc.lower.context import Context

Lowering = Callable[[Context, Node], None]

_LOWERINGS: dict[str, Lowering] = {}


def lowering(*names: str) -> Callable[[Lowering], Lowering]:
    """Decorator: the function emits the kernel calls of these ops.

    A fused group is named by its kind: `layercc.Fused:contraction`.
    """

    def register(function: Lowering) -> Lowering:
        for name in names:
            if name in _LOWERINGS:
                raise ValueError(f"op {name} has two lowerings")
            _LOWERINGS[name] = function
        return function

    return register


def lowering_name(node: Node) -> str:
    """The name under which the lowering of `node` is registered."""
    kind = node.attributes.get("kind")
    return f"{node.op}:{kind}" if node.op == "layercc.Fused" else node.op


def find_lowering(node: Node) -> Lowering | None:
    """The lowering of a node's op, or None."""
    return _LOWERINGS.get(lowering_name(node))


def lowered_ops() -> list[str]:
    """Names of all ops that have a lowering, sorted."""
    return sorted(_LOWERINGS)
