"""Parts of a graph: what makes some of its values from some others."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import numpy as np

from ir.dtypes import DType, dtype_of
from ir.graph import Graph, Node, Value
from ir.inference import Inference, infer
from ir.naming import Names
from ir.renaming import rename_reads
from ir.types import TensorType
from layercc.passes.fusion import FUSED

#: Name of a value → the name of the input that stands for it.
Inputs = dict[str, str]


def extract(
    graph: Graph, given: Mapping[str, np.ndarray], wanted: Collection[str]
) -> tuple[Graph, Inputs]:
    """The graph that computes `wanted` values from `given` ones, at the shapes of these.

    Whoever reads a given value reads an input instead. A value both given and wanted is computed
    by its own node. No more is known of
    types than those of its inputs and outputs.
    """
    names = Names(graph.value_names())
    inputs: Inputs = {}
    nodes = needed(graph.nodes, wanted, given)
    read = {name for node in nodes for name in node.reads()} | set(wanted)
    made = {name for node in graph.nodes for name in node.outputs}
    for name in given:
        if name in read:
            inputs[name] = names.fresh(f"{name}.given") if name in made else name
    result = Graph(graph.name, [], [], [rename_reads(node, inputs) for node in nodes])
    for name, port in inputs.items():
        result.inputs.append(Value(port, TensorType(dtype_of(given[name]), given[name].shape)))
    result.constants = {
        name: array
        for name, array in (graph.defaults | graph.constants).items()
        if name in read and name not in given
    }
    result.outputs = _types(graph, result, wanted)
    return result, inputs


def needed(nodes: Iterable[Node], wanted: Collection[str], given: Collection[str]) -> list[Node]:
    """The nodes that make `wanted` values, and what those read that is not given."""
    want, found = set(wanted), []
    for node in reversed(list(nodes)):
        if not want.isdisjoint(node.outputs):
            found.append(node)
            want.update(name for name in node.reads() if name not in given)
    return found[::-1]


def frontier(graph: Graph, wanted: Collection[str], known: Collection[str]) -> list[str]:
    """Which `known` values some values are computed from, going back no further than to these."""
    want = set(wanted)
    seen: dict[str, None] = {}
    for node in reversed(graph.nodes):
        if want.isdisjoint(node.outputs):
            continue
        for name in node.reads():
            if name in known:
                seen[name] = None
            else:
                want.add(name)
    return list(seen)


def _types(graph: Graph, part: Graph, wanted: Iterable[str]) -> list[Value]:
    """The wanted values with their types as far as they are known."""
    found = infer(part).types
    declared = graph.types | {value.name: value.type for value in graph.outputs}
    kinds = {name: found.get(name) or declared.get(name) for name in wanted}
    unknown = TensorType.open_rank(DType.f32)
    return [
        Value(name, kind if name in found else TensorType.open_rank((kind or unknown).dtype))
        for name, kind in ((name, kind or unknown) for name, kind in kinds.items())
    ]


def described(node: Node) -> str:
    """A node for a reader; a fused group with what it is made of."""
    inner = [each.op for body in node.subgraphs() for each in body.nodes]
    return f"{node} (fused: {', '.join(inner)})" if node.op == FUSED else str(node)


def concrete(graph: Graph, inputs: Mapping[str, np.ndarray]) -> Inference:
    """What is known of a graph at these inputs; values of small integers among them."""
    shapes = {name: array.shape for name, array in inputs.items()}
    values = {n: a for n, a in inputs.items() if a.dtype.kind in "iub" and a.size <= 64}
    return infer(graph, shapes, values)
