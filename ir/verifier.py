"""The verifier: what must hold of every graph; tests run it after import and after every pass."""

from __future__ import annotations

from collections.abc import Iterator

from ir.diagnostics import Diagnostic, InvalidModelError
from ir.dims import unify
from ir.dtypes import dtype_of
from ir.graph import Graph
from ir.types import TensorType


def verify(graph: Graph) -> None:
    """Raises InvalidModelError that lists every broken rule of graph structure.

    Rules: a name is defined once; every name read is defined before it is read; outputs exist, of
    every node at least one; defaults fit inputs, behind which no input is without one.
    Types and arities are the business of `ir.inference`.
    """
    found = problems(graph)
    if found:
        text = "\n".join(str(problem) for problem in found)
        raise InvalidModelError(f"graph {graph.name!r} is malformed:\n{text}")


def problems(graph: Graph, outer: frozenset[str] = frozenset()) -> list[Diagnostic]:
    """Every broken rule of structure; `outer` are the names that an enclosing graph defines."""
    found: list[Diagnostic] = []
    defined: set[str] = set()

    def define(name: str, where: str, op: str = "") -> None:
        if name in defined:
            found.append(Diagnostic("defined-twice", f"value {name!r} is defined twice", where, op))
        defined.add(name)

    for name in [*graph.input_names, *graph.constants]:
        define(name, graph.name, "graph")
    made_somewhere = {name for node in graph.nodes for name in node.outputs}
    for node in graph.nodes:
        for name in dict.fromkeys(node.inputs):
            if name and name not in defined and name not in outer:
                problem = (
                    "is read before it is made" if name in made_somewhere else "is not defined"
                )
                message = f"input {name!r} {problem}"
                found.append(
                    Diagnostic("undefined-value", message, node.name, node.op, node.source)
                )
        for subgraph in node.subgraphs():
            found.extend(problems(subgraph, outer | frozenset(defined)))
        if not any(node.outputs):
            message = "makes no value: it has no output with a name"
            found.append(Diagnostic("no-output", message, node.name, node.op, node.source))
        for name in node.outputs:
            if name:
                define(name, node.name, node.op)
    found.extend(_default_problems(graph))
    for name in graph.output_names:
        if name not in defined and name not in outer:
            message = f"output {name!r} is not defined"
            found.append(Diagnostic("undefined-value", message, graph.name, "graph"))
    return found


def _default_problems(graph: Graph) -> Iterator[Diagnostic]:
    def problem(message: str) -> Diagnostic:
        return Diagnostic("bad-default", message, graph.name, "graph")

    last = ""
    for value in graph.inputs:
        array = graph.defaults.get(value.name)
        if array is None:
            if last:
                yield problem(f"input {value.name!r}, without a default, follows {last!r}")
            continue
        last = value.name
        kind = TensorType(dtype_of(array), array.shape)
        try:
            unify(value.shape, array.shape)
            fits = kind.dtype is value.dtype
        except ValueError:
            fits = False
        if not fits:
            yield problem(f"input {value.name!r} is {value.type}, but its default is {kind}")
    for name in graph.defaults.keys() - set(graph.input_names):
        yield problem(f"there is a default for {name!r}, which is no input")
