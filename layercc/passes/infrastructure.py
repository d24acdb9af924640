"""What a pass is, and how passes are run one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

from ir.defaults import bind_defaults
from ir.diagnostics import LayerccError
from ir.dims import may_equal
from ir.graph import Graph
from ir.inference import infer, infer_types
from ir.types import TensorType
from ir.verifier import verify as verify_structure

#: `simplify` passes are portable and run in rounds until none changes anything;
#: `optimize` passes prepare for the target and run once.
Stage = Literal["simplify", "optimize"]
Transform = Callable[[Graph], Graph]
#: Called after each pass with the pass, the graph before and the graph after.
Observer = Callable[["Pass", Graph, Graph], None]

#: A model on which simplification has not settled after this many rounds is taken as it is.
MAX_ROUNDS = 8


_watcher: ContextVar[Observer | None] = ContextVar("watcher", default=None)


@contextmanager
def watching(observe: Observer) -> Iterator[None]:
    """Meanwhile, `observe` is called after every pass that runs in this thread, whoever runs it.

    For tools that follow a model through all of compiling, specialization included.
    """
    token = _watcher.set(observe)
    try:
        yield
    finally:
        _watcher.reset(token)


class PassError(LayerccError):
    """A pass failed or left a broken graph: a fault of layercc, not of the model."""


@dataclass(frozen=True, slots=True)
class Pass:
    """A named transformation of graphs.

    `transform` returns a new graph, or the very same object when it changed nothing; it never
    changes its argument. Every value of a graph given to it is typed in `Graph.types`, and it
    leaves the types of the result complete.
    """

    name: str
    description: str
    stage: Stage
    transform: Transform

    def run(self, graph: Graph) -> Graph:
        """Applies the pass to a graph whose types may not have been inferred yet."""
        return self.transform(with_types(graph))

    def __str__(self) -> str:
        return self.name


def graph_pass(stage: Stage) -> Callable[[Transform], Pass]:
    """Decorator: makes a function Graph → Graph a pass of its name, described by its docstring."""

    def make(function: Transform) -> Pass:
        description = (function.__doc__ or "").strip().partition("\n")[0]
        return Pass(function.__name__, description, stage, function)

    return make


def with_types(graph: Graph) -> Graph:
    """The graph with all its types known; itself if they are already.

    Raises ShapeError when the graph does not fit together.
    """
    made = (name for node in graph.nodes for name in node.outputs if name)
    if all(name in graph.types for name in [*made, *graph.input_names, *graph.constants]):
        return graph
    typed = graph.copy()
    infer_types(typed).raise_for_errors(f"graph {graph.name!r}")
    return typed


def run_sequence(
    graph: Graph,
    passes: Iterable[Pass],
    *,
    until: str | None = None,
    verify: bool = False,
    observe: Observer | None = None,
) -> Graph:
    """Runs passes in order; neighbours of the `simplify` stage in rounds until they settle.
    Inputs that have a default become constants first.

    `until` names the last pass to run (in its first round). With `verify`, structure and types are
    checked after every pass that changed something. Raises PassError that names the pass at fault
    and those that ran before it; ShapeError when the model itself does not fit together; ValueError
    when no pass is called `until`.
    """
    passes = list(passes)
    if until is not None and until not in {each.name for each in passes}:
        known = ", ".join(each.name for each in passes)
        raise ValueError(f"no pass is called {until!r}; there are {known}")
    graph = with_types(bind_defaults(graph))
    if verify:
        check(graph)
    history: list[str] = []
    for stage, group in groupby(passes, key=lambda each: each.stage):
        members = list(group)
        for _ in range(MAX_ROUNDS if stage == "simplify" else 1):
            before_round = graph
            for each in members:
                graph = _run_one(each, graph, history, verify, observe)
                if each.name == until:
                    return graph
            if graph is before_round:
                break
    return graph


def _run_one(
    each: Pass, graph: Graph, history: list[str], verify: bool, observe: Observer | None
) -> Graph:
    try:
        after = each.transform(graph)
        if verify and after is not graph:
            check(after)
            check_interface(graph, after)
    except Exception as error:
        ran = ", ".join(history) or "nothing"
        raise PassError(f"pass {each.name} failed (after {ran}): {error}") from error
    if after is not graph:
        history.append(each.name)
    for observer in (observe, _watcher.get()):
        if observer is not None:
            observer(each, graph, after)
    return after


def check(graph: Graph) -> None:
    """Raises LayerccError when structure is broken or `graph.types` is not what inference finds."""
    verify_structure(graph)
    found = infer(graph)
    found.raise_for_errors(f"graph {graph.name!r}")
    for name, kind in found.types.items():
        declared = graph.types.get(name)
        if declared is None:
            raise PassError(f"value {name!r} has no type; inference finds {kind}")
        if not compatible(declared, kind):
            raise PassError(f"value {name!r} is said to be {declared}; inference finds {kind}")


def check_interface(before: Graph, after: Graph) -> None:
    """Raises PassError when inputs or outputs have other names or types than before."""
    for what, old, new in (
        ("inputs", before.inputs, after.inputs),
        ("outputs", before.outputs, after.outputs),
    ):
        if [value.name for value in old] != [value.name for value in new]:
            raise PassError(f"the {what} have changed")
        for value in new:
            if not compatible(before.types[value.name], after.types[value.name]):
                was, now = before.types[value.name], after.types[value.name]
                raise PassError(f"{value.name!r} of the {what} was {was} and is now {now}")


def compatible(a: TensorType, b: TensorType) -> bool:
    """Whether one tensor can have both types."""
    return a.dtype is b.dtype and a.rank == b.rank and all(map(may_equal, a.shape, b.shape))
