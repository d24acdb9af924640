"""Where a wrong shape comes from: the chain of shapes from an input to the node that fails, and
input sizes with which it would not fail."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ir.diagnostics import Diagnostic
from ir.dims import Dim
from ir.graph import Graph, Node
from ir.inference import Inference, infer
from ir.totals import type_dict
from ir.types import TensorType, format_shape

#: Input sizes up to this far away are tried, nearest first, for at most SEARCH_SECONDS.
SEARCH_DISTANCE = 32
SEARCH_SECONDS = 0.3

Shapes = Mapping[str, Sequence[Dim]]


@dataclass(frozen=True, slots=True)
class TraceStep:
    """A tensor on the way: its name, the op that makes it ("" for an input), its type, and the
    type it has with the input size that fits."""

    name: str
    op: str
    type: TensorType
    fitting: TensorType | None

    def to_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "op": self.op,
            **type_dict(self.type),
            "fitting_shape": list(self.fitting.shape) if self.fitting else None,
        }


@dataclass(frozen=True, slots=True)
class Trace:
    """From an input to the node that fails, and one sentence of advice ("" if there is none)."""

    steps: tuple[TraceStep, ...]
    advice: str

    def to_dict(self) -> dict[str, Any]:
        return {"steps": [step.to_dict() for step in self.steps], "advice": self.advice}


def trace(
    graph: Graph,
    problem: Diagnostic,
    inference: Inference,
    fitting: Inference | None = None,
    why: str = "",
) -> Trace | None:
    """The way to the node that `problem` names; None if there is no such node or no way.

    `fitting` is an inference, with other input sizes, in which the problem is gone; `why` says
    which sizes these are.
    """
    node = next((n for n in graph.nodes if n.name == problem.node and n.op == problem.op), None)
    path = _path(graph, node, inference) if node else []
    if not path:
        return None
    better = fitting.types if fitting else {}
    steps = tuple(TraceStep(name, op, inference.types[name], better.get(name)) for name, op in path)
    changed = [step for step in steps if step.fitting and step.fitting.shape != step.type.shape]
    advice = why
    if why and len(changed) > 1 and not changed[0].op:
        start, first = changed[0], changed[1]
        given, made = (_sizes(step.type, step.fitting) for step in (start, first))
        would_be_given, would_be_made = (_sizes(s.fitting, s.type) for s in (start, first))
        if (made, would_be_made) != (given, would_be_given):
            advice += (
                f": {first.name} ({first.op}) makes {made} from {given}, "
                f"and would make {would_be_made} from {would_be_given}"
            )
    return Trace(steps, advice)


def fitting_input(graph: Graph, shapes: Shapes) -> tuple[Inference, str] | None:
    """Searches for a spatial size of one input under which the graph has no errors.

    `shapes` are those of the inputs under which it has errors. Returns the inference with the
    nearest size that fits and the type of the input then, as text.
    """
    deadline = time.monotonic() + SEARCH_SECONDS
    for value, shape in _sizes_around(graph, shapes):
        if time.monotonic() > deadline:
            return None
        found = infer(graph, {**shapes, value: shape})
        if not found.faults:
            return found, f"{value}: {found.types[value]}"
    return None


def toward_declared(
    graph: Graph, shapes: Shapes, declared: Shapes
) -> tuple[dict[str, Sequence[Dim]], Inference]:
    """Declared shapes with which the graph fits, moved towards other `shapes` as far as it still
    does, dim by dim. Returns the shapes, and the inference with them."""
    deadline = time.monotonic() + SEARCH_SECONDS
    best, found = dict(declared), infer(graph, declared)
    for name, shape in shapes.items():
        for axis, dim in enumerate(shape):
            if dim == best[name][axis] or time.monotonic() > deadline:
                continue
            moved = [*best[name][:axis], dim, *best[name][axis + 1 :]]
            attempt = infer(graph, {**best, name: moved})
            if not attempt.faults:
                best[name], found = tuple(moved), attempt
    return best, found


def _sizes_around(graph: Graph, shapes: Shapes) -> Iterator[tuple[str, list[Dim]]]:
    """Shapes of one input, all spatial dims moved by the same distance, nearest first."""
    choices: list[tuple[str, list[Dim], range]] = []
    for value in graph.inputs:
        shape = list(shapes.get(value.name, value.shape))
        spatial = [range(2, len(shape)), range(1, len(shape) - 1)]  # channels first, channels last
        choices += [
            (value.name, shape, axes)
            for axes in spatial
            if len(shape) > 2 and all(isinstance(shape[axis], int) for axis in axes)
        ]
    for distance in range(1, SEARCH_DISTANCE + 1):
        for name, shape, axes in choices:
            for step in (distance, -distance):
                moved = [dim + step if axis in axes else dim for axis, dim in enumerate(shape)]
                if all(not isinstance(dim, int) or dim > 0 for dim in moved):
                    yield name, moved


def _path(graph: Graph, node: Node, inference: Inference) -> list[tuple[str, str]]:
    """(tensor, op that makes it) from an input to what `node` reads, through first inputs."""
    makers = graph.producers()
    inputs = set(graph.input_names)
    path: list[tuple[str, str]] = []
    visited: set[str] = set()
    current: Node | None = node
    while current is not None:
        flowing = [
            name
            for name in current.reads()
            if name in inference.types and name not in graph.constants and name not in visited
        ]
        # a value known before running (a shape computation) is not the data that flows
        name = next((n for n in flowing if n not in inference.values), next(iter(flowing), ""))
        if not name:
            return []
        visited.add(name)
        current = makers.get(name)
        path.append((name, current.op if current else ""))
        if name in inputs:
            break
    return path[::-1]


def _sizes(kind: TensorType | None, other: TensorType | None) -> str:
    """The dims in which a shape differs from another, `54×54`, or the whole if that is unclear."""
    assert kind is not None and other is not None
    if kind.rank != other.rank:
        return format_shape(kind.shape)
    differing = [str(a) for a, b in zip(kind.shape, other.shape, strict=True) if a != b]
    return "×".join(differing)


def with_advice(problem: Diagnostic, found: Trace | None) -> Diagnostic:
    """The problem, its message followed by the advice."""
    if found is None or not found.advice:
        return problem
    end = "" if problem.message.endswith((".", "?")) else "."
    return replace(problem, message=f"{problem.message}{end} {found.advice}")
