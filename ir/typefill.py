"""Fills in the types that a hand-written text form leaves out."""

from __future__ import annotations

from dataclasses import replace

from ir.dims import symbol
from ir.dtypes import DType
from ir.graph import Graph, Node, Value
from ir.inference import Inference, extend, infer
from ir.types import TensorType

#: Stands for a type that is left out, until `fill_types` has run. Compared by identity.
UNTYPED = TensorType(DType.f32, (symbol("untyped"),))


def fill_types(graph: Graph, outer: Inference | None = None) -> None:
    """Infers what is missing of types in `graph` and its subgraphs; types given are kept.

    `outer` is what is known of the values of the enclosing graph. Inputs of a fused group's body
    get the types of the node's inputs. What cannot be inferred stays missing.
    """
    if _complete(graph):
        return
    known = _known_before(graph, outer or Inference())
    for node in graph.nodes:
        for subgraph in node.subgraphs():
            if not _complete(subgraph):
                _take_types_of_inputs(node, subgraph, known)
                fill_types(subgraph, known)
        extend(known, [node])
    found = known.types
    for name in _defined(graph) & found.keys():
        graph.types.setdefault(name, found[name])
    graph.outputs = [
        Value(v.name, graph.types.get(v.name, found.get(v.name, UNTYPED)))
        if v.type is UNTYPED
        else v
        for v in graph.outputs
    ]


def _complete(graph: Graph) -> bool:
    names = {name for node in graph.nodes for name in node.outputs if name}
    values = graph.inputs + graph.outputs
    return (
        names <= graph.types.keys()
        and all(value.type is not UNTYPED for value in values)
        and all(_complete(body) for node in graph.nodes for body in node.subgraphs())
    )


def _defined(graph: Graph) -> set[str]:
    made = {name for node in graph.nodes for name in node.outputs if name}
    return made.union(graph.input_names, graph.constants)


def _known_before(graph: Graph, outer: Inference) -> Inference:
    """What is known before the first node of a graph that may read `outer` values."""
    inputs = [value for value in graph.inputs if value.type is not UNTYPED]
    read = graph.free_names()
    seen = [Value(name, outer.types[name]) for name in read if name in outer.types]
    values = {name: outer.values[name] for name in read if name in outer.values}
    return infer(replace(graph, inputs=seen + inputs, nodes=[]), values=values)


def _take_types_of_inputs(node: Node, body: Graph, known: Inference) -> None:
    if len(body.inputs) != len(node.inputs):
        return
    for index, (value, name) in enumerate(zip(body.inputs, node.inputs, strict=True)):
        if value.type is UNTYPED and name in known.types:
            body.inputs[index] = Value(value.name, known.types[name])
            body.types[value.name] = known.types[name]
