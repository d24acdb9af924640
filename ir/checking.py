"""Checks a graph as a whole: structure, ops, shapes and dtypes, all problems at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import replace
from typing import TypeAlias

import numpy as np

from ir.arguments import described, expect_graph, expect_mapping
from ir.declared import contradictions
from ir.defaults import bind_defaults
from ir.diagnostics import Diagnostic
from ir.dims import Dim, DimLike, as_dim, may_equal, substitute, symbols
from ir.graph import Graph
from ir.inference import Inference, infer
from ir.report import Report
from ir.totals import layers, totals
from ir.trace import Trace, fitting_input, toward_declared, trace, with_advice
from ir.types import format_shape
from ir.verifier import problems

Shapes: TypeAlias = dict[str, tuple[Dim, ...]]
#: Codes of problems with the dims given to `check`, rather than with the model.
INPUT_FAULTS = frozenset({"unknown-input", "wrong-rank", "bad-dim", "conflicting-dim"})


def check(graph: Graph, inputs: Mapping[str, Sequence[DimLike]] | None = None) -> Report:
    """Finds every problem of `graph`; raises nothing for them (see `Report.raise_for_errors`).

    TypeError if `graph` is none, or `inputs` no mapping.

    What only running can tell, a rank that hangs on values or on a branch, makes notes, no errors:
    such a model compiles, and is planned or partitioned once the values are there.

    `inputs` gives shapes to check with, by input name: integers, or text for symbols and
    expressions. They replace the declared shapes, dtypes stay; a symbol that a declared shape
    shares with other inputs is replaced there too. Inputs that are not named and have a default
    count as constants.
    """
    expect_graph(graph)
    if inputs is not None:
        expect_mapping(inputs, "inputs", "dims by input name")
    found = problems(graph)
    malformed = bool(found)
    shapes, declared_shapes, faults = input_shapes(graph, inputs or {})
    found += faults
    given, graph = graph, bind_defaults(graph, inputs or {})
    declared = infer(graph)
    inference = infer(graph, shapes) if inputs else declared
    errors = inference.faults
    found += contradictions(graph, declared)
    traces: dict[str, Trace] = {}
    if errors and not malformed:
        better = _fitting(graph, shapes, declared_shapes)
        for index, problem in enumerate(errors):
            way = trace(graph, problem, inference, *better)
            errors[index] = with_advice(problem, way)
            if way is not None:
                traces.setdefault(problem.node, way)
    found += [*errors, *_unused(graph), *_notes(inference)]
    rows = layers(graph, inference)
    sums = totals(graph, inference, rows)
    return Report(given, found, inference.types, rows, sums, traces)


def _fitting(graph: Graph, shapes: Shapes, declared_shapes: Shapes) -> tuple[Inference | None, str]:
    """An inference without errors, with other input sizes, and which sizes these are."""
    if shapes != declared_shapes and not infer(graph, declared_shapes).faults:
        fitting, found = toward_declared(graph, shapes, declared_shapes)
        changed = [value for value in graph.inputs if fitting[value.name] != shapes[value.name]]
        if all(fitting[value.name] == declared_shapes[value.name] for value in changed):
            listed = ", ".join(map(str, changed))
            return found, f"The model fits with its declared input {listed}"
        listed = ", ".join(f"{v.name}: {v.type.with_shape(fitting[v.name])}" for v in changed)
        return found, f"The model would fit with the input {listed}"
    nearest = fitting_input(graph, shapes)
    if nearest is None:
        return None, ""
    return nearest[0], f"The model would fit with the input {nearest[1]}"


def input_shapes(
    graph: Graph, given: Mapping[str, Sequence[DimLike]]
) -> tuple[Shapes, Shapes, list[Diagnostic]]:
    """Shapes of all inputs; the declared ones; and faults in those given.

    In both mappings symbols are replaced by what was given for them.
    """
    faults: list[Diagnostic] = []

    def fault(code: str, message: str) -> None:
        faults.append(Diagnostic(code, message, graph.name, "graph"))

    declared = {value.name: value for value in graph.inputs}
    shapes: Shapes = {}
    replaced: Shapes = {}
    bindings: dict[str, Dim] = {}
    for name, dims in given.items():
        if name not in declared:
            from difflib import get_close_matches  # takes 1 ms, and only this error needs it

            near = get_close_matches(str(name), declared, 1)
            hint = f"; did you mean {near[0]!r}" if near else ""
            names = ", ".join(declared) or "none"
            fault("unknown-input", f"there is no input {name!r}{hint}. The inputs are: {names}")
            continue
        if isinstance(dims, (str, bytes, Mapping, Set)) or not isinstance(dims, Iterable):
            fault("bad-dim", f"input {name!r}: {described(dims)} given; dims in a tuple would fit")
            continue
        try:
            shape = tuple(map(_given_dim, dims))
        except (TypeError, ValueError) as error:
            fault("bad-dim", f"input {name!r}: {error}")
            continue
        pattern = declared[name].shape
        if len(shape) != len(pattern):
            fault(
                "wrong-rank",
                f"input {name!r} has rank {len(pattern)}, {format_shape(pattern)}; "
                f"{format_shape(shape)} of rank {len(shape)} does not fit",
            )
            continue
        if any(isinstance(dim, int) and dim < 0 for dim in shape):
            fault("bad-dim", f"input {name!r}: {format_shape(shape)} has a negative dim")
            continue
        shapes[name] = shape
        for old, new in zip(pattern, shape, strict=True):
            if symbols(old) == {old} and not may_equal(bindings.setdefault(str(old), new), new):
                known = bindings[str(old)]
                fault("conflicting-dim", f"{old} would be {known} and, in input {name!r}, {new}")
    for value in graph.inputs:
        substituted = tuple(substitute(dim, bindings) for dim in value.shape)
        for axis, dim in enumerate(shapes.get(value.name, ())):
            if symbols(value.shape[axis]) and not may_equal(substituted[axis], dim):
                if symbols(value.shape[axis]) == {value.shape[axis]}:
                    continue  # said above
                fault(
                    "conflicting-dim",
                    f"input {value.name!r}, dim {axis}: {value.shape[axis]} is "
                    f"{substituted[axis]}, so {dim} does not fit",
                )
        shapes.setdefault(value.name, substituted)
        replaced[value.name] = substituted

    return shapes, replaced, faults


def _given_dim(dim: DimLike) -> Dim:
    if isinstance(dim, (bool, np.bool_)) or (isinstance(dim, str) and not dim):
        raise TypeError(f"{dim!r} is no dim; an integer, or the name of a symbol, would fit")
    return as_dim(dim)


def _notes(inference: Inference) -> Iterator[Diagnostic]:
    for found in inference.errors:
        if found.code == "data-dependent":
            message = f"{found.message}. This is settled when the model runs"
            yield replace(found, message=message, severity="note")


def _unused(graph: Graph) -> Iterator[Diagnostic]:
    """Warnings for nodes that no output needs, and for inputs that nothing needs."""
    makers = graph.producers()
    pending, needed = list(graph.output_names), set()
    while pending:
        name = pending.pop()
        if name in needed:
            continue
        needed.add(name)
        if name in makers:
            pending.extend(makers[name].reads())
    for value in graph.inputs:
        if value.name not in needed:
            message = f"input {value.name!r} is not used"
            yield Diagnostic("unused-input", message, graph.name, "graph", severity="warning")
    for node in graph.nodes:
        if needed.isdisjoint(node.outputs):
            yield Diagnostic(
                "dead-node",
                "no output of the graph depends on this node",
                node.name,
                node.op,
                node.source,
                severity="warning",
            )
