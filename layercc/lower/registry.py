"""Which function lowers which op. One registration for each op, beside the code that does it.

Files of this folder are found by being there. They are imported one after another, until one lowers
the op that is asked for, so a model imports few of them beyond those that it needs.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Callable
from pathlib import Path

from ir.graph import Node
from ir.registry import find_op
from layercc.lower.context import Context

Lowering = Callable[[Context, Node], None]

_LOWERINGS: dict[str, Lowering] = {}
_PACKAGE = __name__.rpartition(".")[0]
#: Files that lower what most models have; they are imported first.
_COMMON = ("pointwise", "movement", "convolution", "matmul", "pooling", "softmax", "normalization")


def lowering(*names: str) -> Callable[[Lowering], Lowering]:
    """Decorator: the function emits the kernel calls of these ops.

    A fused group is named by its kind: `layercc.Fused:contraction`. Raises ValueError for an op
    that has one already.
    """

    def register(function: Lowering) -> Lowering:
        if not function.__module__.startswith(f"{_PACKAGE}."):
            lowered_ops()  # so that all that there are have registered
        for name in names:
            if name in _LOWERINGS:
                raise ValueError(f"op {name} has two lowerings")
            _LOWERINGS[name] = function
        return function

    return register


def lowering_name(node: Node) -> str:
    """The name under which the lowering of `node` is registered."""
    if node.op == "layercc.Fused":
        return f"{node.op}:{node.attributes.get('kind')}"
    op = find_op(node.op)
    return node.op if op is None else op.lowered_as or node.op


def find_lowering(node: Node) -> Lowering | None:
    """The lowering of a node's op, or None."""
    name = lowering_name(node)
    for module in _files():
        if name in _LOWERINGS:
            break
        importlib.import_module(module)
    return _LOWERINGS.get(name)


def lowered_ops() -> list[str]:
    """Names of all ops that have a lowering, sorted."""
    for module in _files():
        importlib.import_module(module)
    return sorted(_LOWERINGS)


@functools.cache
def _files() -> tuple[str, ...]:
    """The modules of this folder, the common ones first."""
    names = [module.name for module in pkgutil.iter_modules([str(Path(__file__).parent)])]
    ordered = [*_COMMON, *(name for name in names if name not in _COMMON)]
    return tuple(f"{_PACKAGE}.{name}" for name in ordered)
