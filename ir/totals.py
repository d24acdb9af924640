"""What the nodes of a graph cost: parameters, floating-point operations, activation memory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ir.dims import Dim
from ir.dtypes import DTYPE_SETS, DType, dtype_of
from ir.graph import Graph, Node
from ir.inference import Inference, call_for
from ir.registry import OpError
from ir.types import TensorType

#: Constants of these dtypes are shapes, axes and indices: no parameters.
_NO_PARAMETERS = DTYPE_SETS["index"] | {DType.bool}


@dataclass(frozen=True, slots=True)
class LayerRow:
    """One row of a report. None where it could not be found out.

    `parameters` counts the constants that this node is the first to read.
    """

    name: str
    op: str
    outputs: tuple[TensorType | None, ...]
    parameters: int
    flops: Dim | None
    activation_bytes: Dim | None

    def to_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "op": self.op,
            "outputs": [None if kind is None else type_dict(kind) for kind in self.outputs],
            "parameters": self.parameters,
            "flops": self.flops,
            "activation_bytes": self.activation_bytes,
        }


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over a graph. `peak_activation_bytes`: the most that is alive at once if nodes run in
    order, none in place; None unless all dims are known."""

    parameters: int
    parameter_bytes: int
    flops: Dim | None
    activation_bytes: Dim | None
    peak_activation_bytes: int | None

    def to_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


def type_dict(kind: TensorType) -> dict[str, Any]:
    """A type as JSON: dims are integers or expressions; no shape where the rank is open."""
    return {"dtype": str(kind.dtype), "shape": list(kind.shape) if kind.ranked else None}


def layers(graph: Graph, inference: Inference) -> list[LayerRow]:
    """A row for each node of the outermost graph, in order."""
    counted: set[str] = set()
    rows = []
    for node in graph.nodes:
        own = [name for name in dict.fromkeys(node.reads()) if name not in counted]
        counted.update(own)
        weights = [graph.constants[name] for name in own if name in graph.constants]
        parameters = sum(array.size for array in weights if _holds_parameters(array))
        types = tuple(inference.types.get(name) for name in node.outputs if name)
        nbytes = None if None in types else total(kind.nbytes for kind in types if kind)
        rows.append(
            LayerRow(node.name, node.op, types, parameters, _flops(node, inference), nbytes)
        )
    return rows


def totals(graph: Graph, inference: Inference, rows: list[LayerRow]) -> Totals:
    read = {name for node in graph.nodes for name in node.reads()}.union(graph.output_names)
    weights = [
        array
        for name, array in graph.constants.items()
        if name in read and _holds_parameters(array)
    ]
    return Totals(
        sum(array.size for array in weights),
        sum(array.nbytes for array in weights),
        total(row.flops for row in rows),
        total(row.activation_bytes for row in rows),
        peak_activation_bytes(graph, inference.types),
    )


def _holds_parameters(array: np.ndarray) -> bool:
    return dtype_of(array) not in _NO_PARAMETERS


def total(amounts: Iterable[Dim | None]) -> Dim | None:
    """The sum, or None if a part is unknown or the expression grows beyond bounds."""
    result: Dim = 0
    try:
        for part in amounts:
            if part is None:
                return None
            result = result + part
    except ValueError:  # too many terms (`ir.dims`)
        return None
    return result


def peak_activation_bytes(graph: Graph, types: Mapping[str, TensorType]) -> int | None:
    """The most bytes of inputs and node outputs alive at once, over `nodes` in their order."""
    last_use = {name: i for i, node in enumerate(graph.nodes) for name in node.reads()}
    end = len(graph.nodes)
    last_use.update(dict.fromkeys([*graph.output_names, *graph.input_names], end))
    sizes: dict[str, int] = {}
    for name in [*graph.input_names, *(n for node in graph.nodes for n in node.outputs if n)]:
        nbytes = types[name].nbytes if name in types else None
        if not isinstance(nbytes, int):
            return None
        sizes[name] = nbytes
    dying: dict[int, list[str]] = {}
    for name in sizes:
        dying.setdefault(last_use.get(name, -1), []).append(name)
    alive = peak = sum(sizes[name] for name in graph.input_names)
    for index, node in enumerate(graph.nodes):
        made = [name for name in node.outputs if name]
        alive += sum(sizes[name] for name in made)
        peak = max(peak, alive)
        unread = [name for name in made if name not in last_use]
        alive -= sum(sizes[name] for name in [*dying.get(index, []), *unread])
    return peak


def _flops(node: Node, inference: Inference) -> Dim | None:
    names = [name for name in (*node.inputs, *node.outputs) if name]
    if any(name not in inference.types for name in names):
        return None
    try:
        call = call_for(node, inference.types, inference.values)
        return call.op.cost(call).flops
    except (LookupError, OpError, ValueError):
        return None  # unknown op or output; no cost for these dims; a huge expression
