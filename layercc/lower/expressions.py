"""Pointwise nodes as an expression (`layercc.kernels.expressions`) and the list of its operands."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ir import scalar
from ir.diagnostics import UnsupportedError
from ir.graph import Node
from ir.inference import call_for
from ir.registry import find_op
from ir.types import TensorType
from layercc.kernels.element_types import ELEMENT_TYPES
from layercc.kernels.expressions import ABSENT, Expression, Step
from layercc.kernels.functions import name_of

#: Exponents for which `pow` becomes products, a division or a root.
_SIMPLE_EXPONENTS = frozenset({-1.0, -0.5, 0.0, 0.5, 1.0, 2.0, 3.0, 4.0})

Values = Callable[[str], "np.ndarray | None"]


def is_pointwise(op: str) -> bool:
    """Whether nodes of this op can be part of an expression."""
    found = find_op(op)
    return found is not None and found.scalar is not None


def expression_of(
    nodes: Iterable[Node],
    types: Mapping[str, TensorType],
    given: Sequence[str],
    outputs: Sequence[str],
    values: Values | None = None,
) -> tuple[Expression, list[str]]:
    """The expression that pointwise `nodes`, in topological order, compute; and its operands.

    `types` knows every value that the nodes read or write. The expression's inputs are the values
    `given`, then the operands: other values that the nodes read, in order of first use. `values`
    tells constants, which may be written into the expression where that makes it much cheaper.
    Raises UnsupportedError for an element type that kernels do not have.
    """
    nodes = list(nodes)
    made = {name for node in nodes for name in node.outputs}
    reads = [name for node in nodes for name in _operands(node) if name]
    literals = _exponents(nodes, values) if values else {}
    operands = [
        name
        for name in dict.fromkeys(reads)
        if name not in made and name not in given and name not in literals
    ]
    number = {name: i for i, name in enumerate([*given, *operands])}
    steps: list[Step] = []
    count = len(number)
    for name, value in literals.items():
        number[name] = count + len(steps)
        steps.append(("constant", (), (("value", value),), _dtype(types[name])))
    for node in nodes:
        call = call_for(node, types)
        function = function_name(node.op)
        settings = _plain(call.op.settings(call))  # type: ignore[attr-defined]
        indices = tuple(number[name] if name else ABSENT for name in _operands(node))
        dtype = _dtype(types[node.outputs[0]], node)
        number[node.outputs[0]] = count + len(steps)
        steps.append((function, indices, settings, dtype))
    inputs = tuple(_dtype(types[name]) for name in [*given, *operands])
    return (inputs, tuple(steps), tuple(number[name] for name in outputs)), operands


def function_name(op: str) -> str:
    """How an expression refers to the scalar function of `op`."""
    definition = find_op(op)
    function = None if definition is None else definition.scalar
    if function is None:
        raise UnsupportedError(f"op {op} has no scalar function")
    return _built_in().get(function) or name_of(function)


@functools.cache
def _built_in() -> dict[Callable[..., Any], str]:
    """The functions of `ir.scalar`, and their names."""
    return {
        value: name
        for name, value in reversed(vars(scalar).items())  # of two names, the first
        if callable(value) and not name.startswith("_")
    }


def _operands(node: Node) -> tuple[str, ...]:
    """The inputs whose elements the node reads (of CastLike's second only the type matters)."""
    return node.inputs[:1] if function_name(node.op) == "identity" else node.inputs


def _exponents(nodes: list[Node], values: Values) -> dict[str, float]:
    """Constants that are nothing but simple exponents of Pow, with their values."""
    exponents = {node.inputs[1] for node in nodes if function_name(node.op) == "power"}
    others = {
        name
        for node in nodes
        for i, name in enumerate(_operands(node))
        if i != 1 or function_name(node.op) != "power"
    }
    found = {}
    for name in sorted(exponents - others):
        value = values(name)
        if value is not None and value.size == 1 and float(value.item()) in _SIMPLE_EXPONENTS:
            found[name] = float(value.item())
    return found


def _plain(settings: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    """Keyword arguments as sorted pairs of plain data."""
    return tuple(
        (name, value.item() if isinstance(value, np.generic) else value)
        for name, value in sorted(settings.items())
        if value is not None
    )


def _dtype(kind: TensorType, node: Node | None = None) -> str:
    dtype = str(kind.dtype)
    if dtype not in ELEMENT_TYPES:
        where = f"{node}: " if node else ""
        raise UnsupportedError(f"{where}no kernels for elements of type {dtype}")
    return dtype
