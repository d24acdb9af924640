"""The graph that plans are made of, and what must be known before one can be made.

Some models compute shapes or choose branches from the *values* of integer inputs (a target shape, a
length, a flag). Such a model is specialized: optimized anew for each set of values of these inputs.
What no such value decides is left to NumPy (`layercc.session.partition`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from ir.control_flow import CONTROL_FLOW
from ir.dims import symbols
from ir.dtypes import DTYPE_SETS
from ir.graph import Graph, Node, Value
from ir.inference import Inference
from ir.naming import Names
from ir.renaming import rename
from layercc.lower.registry import find_lowering
from layercc.passes import SIMPLIFY, Pass, preparation, run_passes
from layercc.target import Target

#: Element types of inputs that a model may be specialized on.
DECIDING = DTYPE_SETS["int"] | DTYPE_SETS["bool"]


@dataclass(frozen=True)
class Optimized:
    """A graph, optimized as far as this can be done without the shapes of a call.

    It is `finished`; or it is `simplified` only, since shapes tell whether a plan can run it: some
    nodes have no kernels and need not run if their values are known, or some dims do not follow
    from those of the inputs; or, with neither, there is control flow in it, or there are nodes that
    have no types but at shapes and values of a call. `preparation` are the passes for the target.
    """

    graph: Graph
    simplified: bool
    finished: bool
    preparation: tuple[Pass, ...]

    def finish(self) -> Optimized:
        """What is simplified, finished."""
        return replace(self, graph=run_passes(self.graph, self.preparation), finished=True)

    def at_shapes(self, inference: Inference) -> Graph:
        """The graph optimized for the input shapes that `inference` was made at."""
        graph = self.graph.copy()
        graph.inputs = [Value(v.name, inference.types[v.name]) for v in graph.inputs]
        graph.types = inference.types
        return run_passes(graph, (*SIMPLIFY, *self.preparation))


def optimize(graph: Graph, inference: Inference, target: Target) -> Optimized:
    """Optimizes a graph, the types of which `inference` knows."""
    graph = graph.copy()
    graph.types = inference.types
    passes = preparation(target.multiplies_halves)
    if inference.errors:  # passes need all types
        return Optimized(graph, False, False, passes)
    graph = run_passes(graph, SIMPLIFY)
    if any(node.op in CONTROL_FLOW for node in graph.nodes):
        return Optimized(graph, False, False, passes)
    made = Optimized(graph, True, False, passes)
    if any(find_lowering(node) is None for node in graph.nodes) or _has_open_dims(graph):
        return made
    return made.finish()


def _has_open_dims(graph: Graph) -> bool:
    """Whether inference has made symbols of its own for dims."""
    given = {name for value in graph.inputs for dim in value.shape for name in symbols(dim)}
    made = {dim for kind in graph.types.values() for dim in kind.shape if not isinstance(dim, int)}
    return any(symbols(dim) - given for dim in made)


def specialized(graph: Graph, values: Mapping[str, np.ndarray]) -> Graph:
    """The graph with readers of some inputs given constants instead. The inputs stay declared."""
    if not values:
        return graph
    fresh = Names(graph.value_names()).fresh
    names = {name: fresh(f"{name}.value") for name in values}
    result = graph.copy()
    result.constants |= {names[name]: array.copy() for name, array in values.items()}
    result.nodes = [rename(node, names) for node in graph.nodes]
    result.types = {}
    return result


def undecided_nodes(graph: Graph, inference: Inference) -> set[str]:
    """The nodes that want values known which are not, by name.

    `inference` is that of the graph at concrete shapes. Control flow counts where it is not known
    which branch runs or how often a body does; so do nodes of bodies.
    """
    found = {d.node for d in inference.errors if d.code == "data-dependent"}
    return found.union(
        node.name
        for node in graph.nodes
        if node.op in CONTROL_FLOW and not _is_decided(node, inference)
    )


def _is_decided(node: Node, inference: Inference) -> bool:
    """Whether passes may replace control flow: all of it but a loop that turns out to be long, or
    to end by a value that only its body makes."""

    def known(name: str) -> bool:
        value = inference.values.get(name)
        return value is not None and value.dtype != object

    if node.op == "If":
        if not known(node.inputs[0]):
            return False
        taken = bool(inference.values[node.inputs[0]].reshape(-1)[0])
        branch = node.attributes["then_branch" if taken else "else_branch"]
        (inner,) = inference.bodies.get(node, [None])
        return inner is None or not undecided_nodes(branch, inner)
    if node.op == "Loop":
        return all(known(name) for name in node.inputs[:2] if name)
    return all(inference.types[name].is_static for name in node.inputs if name in inference.types)


def deciding_inputs(graph: Graph, nodes: set[str]) -> list[int]:
    """Positions of the integer inputs that reach an If, what a Loop counts by, or these nodes."""
    if not nodes:
        return []
    sources: set[str] = set()
    for node in reversed(graph.nodes):
        if node.name in nodes or node.op == "If" or not sources.isdisjoint(node.outputs):
            sources.update(node.reads())
        elif node.op == "Loop":
            sources.update(node.inputs[:2])
    return [
        index
        for index, value in enumerate(graph.inputs)
        if value.name in sources and value.dtype in DECIDING
    ]
