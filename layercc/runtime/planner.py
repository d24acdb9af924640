"""From the arrays of a call to a plan: the model optimized, lowered and bound, each once.

Plans are kept by input shapes. Some models compute shapes or choose branches from the *values* of
integer inputs (a target shape, a length, a flag). Such inputs, the *selectors*, are found when a
plan cannot be made without them; from then on the model is optimized for each of their values, and
plans are kept by shapes and these values. A graph that no plan can run whole is run in stages
(`layercc.runtime.staged`).
"""

from __future__ import annotations

import os
import threading
import warnings
import weakref
from collections.abc import Mapping, Sequence

import numpy as np

from ir.control_flow import CONTROL_FLOW
from ir.diagnostics import (
    InputError,
    LayerccError,
    MemoryLimitError,
    ShapeError,
    UnsupportedError,
)
from ir.dims import evaluate, symbols
from ir.dtypes import DTYPE_SETS
from ir.graph import Graph, Value
from ir.inference import infer
from ir.renaming import rename
from layercc.cpu.target import CpuTarget
from layercc.lower import Weights, check_supported, concrete_inference, lower
from layercc.passes import SIMPLIFY, run_passes
from layercc.runtime.arenas import Arenas
from layercc.runtime.inputs import SELECTOR_LIMIT, Inputs
from layercc.runtime.native import default_kernels
from layercc.runtime.plan import Plan
from layercc.runtime.staged import StagedPlan

_SELECTORS = DTYPE_SETS["int"] | DTYPE_SETS["bool"]
#: Plans, and optimized graphs, that a model keeps; the oldest go first.
_MOST_PLANS = 256
_MOST_PLAN_BYTES = 1 << 26
_MOST_VARIANTS = 32

#: What symbols may stand for in a plan that is made ahead.
_GUESSES = (1, 16, 256)

Shapes = tuple[tuple[int, ...], ...]
#: Shapes of all inputs, then the bytes of the selectors.
PlanKey = tuple[tuple[int, ...] | bytes, ...]


class Planner:
    """Makes and keeps the plans of one model.

    `plans` and `selectors` (positions of inputs) are for callers that look a plan up before they
    ask for it. Several threads may do so while another makes plans.
    """

    def __init__(self, graph: Graph, target: CpuTarget) -> None:
        self.graph = graph
        self.target = target
        self._isa = target.resolved()
        self.inputs = Inputs(graph.inputs)
        self.plans: dict[PlanKey, Plan | StagedPlan] = {}
        self.selectors: list[int] = []
        self._variants: dict[tuple[bytes, ...], Graph] = {}  # optimized, by values of selectors
        self._weights = Weights()
        self._arenas = Arenas()
        self._staged: StagedPlan | None = None
        self._reset_lock()
        _planners.add(self)

    def plan_for(self, arrays: Sequence[np.ndarray]) -> Plan | StagedPlan:
        """The plan for dense arrays of the declared dtypes, made now if need be.

        Raises InputError when the shapes do not fit the declared ones, or values that shapes
        hang on do not fit the graph; ShapeError when the shapes do not fit the graph;
        UnsupportedError, MemoryLimitError.
        """
        shapes = tuple(array.shape for array in arrays)
        with self._lock:
            while True:
                values = tuple(arrays[i].tobytes() for i in self.selectors)
                plan = self.plans.get((*shapes, *values))
                if plan is not None:
                    return plan
                self.inputs.check_shapes(shapes)
                known = {self.inputs.names[i]: arrays[i] for i in self.selectors}
                try:
                    plan = self._staged or self._make(shapes, known, values)
                except LayerccError as error:
                    if self._find_selectors(arrays, known, _undecided(error)):
                        continue
                    self._blame_own_nodes(error, arrays, known)
                    plan = self._in_stages(error)
                self._keep_plan((*shapes, *values), plan)
                return plan

    def _blame_own_nodes(
        self, error: LayerccError, arrays: Sequence[np.ndarray], known: Mapping[str, np.ndarray]
    ) -> None:
        """Raises on the model's own nodes where shapes do not fit in it as it is given: InputError
        where values decide some of them, else ShapeError.

        What passes made of the nodes has other names, ops and layouts.
        """
        if isinstance(error, ShapeError):
            shapes = {name: a.shape for name, a in zip(self.inputs.names, arrays, strict=True)}
            found = infer(specialized(self.graph, known), shapes)
            found.diagnostics = found.faults
            where = f"graph {self.graph.name!r} at these input shapes"
            if found.diagnostics and known:
                where += " with " + ", ".join(f"{n} = {a.tolist()}" for n, a in known.items())
                try:
                    found.raise_for_errors(where)
                except ShapeError as error:
                    raise InputError(str(error)) from None
            found.raise_for_errors(where)

    def plan_ahead(self) -> None:
        """Makes a plan for the declared shapes, all symbols standing for 1, or for more if 1 is
        too small.

        So kernels are compiled, and faults are found, before the first call. Raises ShapeError,
        UnsupportedError or MemoryLimitError where no call could succeed.
        """
        try:
            self._plan_ahead()
        except LayerccError as error:
            self._in_stages(error)

    def _plan_ahead(self) -> None:
        free = {name for value in self.graph.inputs for d in value.shape for name in symbols(d)}
        open_ended = self._is_open_ended()
        with self._lock:
            try:
                check_supported(self._variant((), {}))
            except UnsupportedError:
                if not open_ended:
                    raise
            except ShapeError as error:
                if not open_ended and not (free and _only_unknown(error)):
                    raise
            for size in _GUESSES if free else (1,):
                shapes = self._shapes_at(size)
                try:
                    self.plans[shapes] = self._make(shapes, {}, ())
                    return
                except (UnsupportedError, MemoryLimitError):
                    if not open_ended:
                        raise
                except ShapeError as error:
                    selectable = open_ended or self._selector_candidates(_undecided(error))
                    if not selectable and (not free or _only_unknown(error)):
                        raise

    def _is_open_ended(self) -> bool:
        """Whether what runs depends on values of inputs, or on what an If or a loop does."""
        if _branches(self.graph):
            return True
        shapes = dict(zip(self.inputs.names, self._shapes_at(1), strict=True))
        found = concrete_inference(self.graph, shapes)
        undecided = {d.node for d in found.errors if d.code == "data-dependent"}
        return bool(self._selector_candidates(undecided))

    def _shapes_at(self, size: int) -> Shapes:
        """The declared shapes of the inputs, every symbol standing for `size`."""
        return tuple(
            tuple(evaluate(dim, dict.fromkeys(symbols(dim), size)) for dim in value.shape)
            for value in self.graph.inputs
        )

    def _make(
        self, shapes: Shapes, known: Mapping[str, np.ndarray], values: tuple[bytes, ...]
    ) -> Plan:
        by_name = dict(zip(self.inputs.names, shapes, strict=True))
        try:
            graph = self._variant(values, known)
            decided = not _branches(graph)
        except ShapeError:  # symbols leave open which branch of an If runs, or how often a Loop
            decided = False
        if not decided:
            graph = run_passes(with_input_shapes(specialized(self.graph, known), by_name))
        program = lower(graph, by_name, {}, self._weights, self._isa)
        return Plan(program, default_kernels(self._isa), self._arenas)

    def _keep_plan(self, key: PlanKey, plan: Plan | StagedPlan) -> None:
        """Enters a plan; the oldest make room."""
        _keep(self.plans, key, plan, _MOST_PLANS)
        held = sum(each.nbytes for each in self.plans.values())
        for old in list(self.plans)[:-1]:
            if held <= _MOST_PLAN_BYTES:
                break
            held -= self.plans.pop(old).nbytes

    def _in_stages(self, error: LayerccError) -> StagedPlan:
        """The plan where `error` says why a plan cannot run the whole graph.

        Raises the error where it names no nodes of the graph that could stand apart.
        """
        if isinstance(error, UnsupportedError):
            nodes = set(error.nodes)
        elif isinstance(error, ShapeError) and _only_unknown(error):
            nodes = _undecided(error)
        else:
            raise error
        try:
            graph = run_passes(self.graph, SIMPLIFY)
        except ShapeError:  # no types behind nodes whose rank or dims values decide
            graph = self.graph
        own = {node.name for node in graph.nodes}
        if not nodes <= own:  # some came out of a body
            nodes = nodes & own | {node.name for node in graph.nodes if node.op in CONTROL_FLOW}
        if not nodes:
            raise error
        with self._lock:
            if self._staged is None:
                self._staged = StagedPlan(graph, nodes, self._planner_of)
                if slow := self._staged.interpreted():
                    warnings.warn(
                        f"graph {self.graph.name!r}: NumPy runs what cannot be compiled: {slow}",
                        RuntimeWarning,
                        stacklevel=2,
                    )
        return self._staged

    def _planner_of(self, graph: Graph) -> Planner:
        """The planner of a part of the graph."""
        return Planner(graph, self.target)

    def _variant(self, values: tuple[bytes, ...], known: Mapping[str, np.ndarray]) -> Graph:
        graph = self._variants.get(values)
        if graph is None:
            graph = run_passes(specialized(self.graph, known))
            _keep(self._variants, values, graph, _MOST_VARIANTS)
        return graph

    # Selectors

    def _find_selectors(
        self, arrays: Sequence[np.ndarray], known: Mapping[str, np.ndarray], undecided: set[str]
    ) -> bool:
        """Adds inputs whose values decide shapes, branches, or the `undecided` nodes.

        Returns whether there are new ones.
        """
        shapes = {name: a.shape for name, a in zip(self.inputs.names, arrays, strict=True)}
        found = concrete_inference(specialized(self.graph, known), shapes)
        undecided |= {d.node for d in found.errors if d.code == "data-dependent"}
        new = [
            index
            for index in self._selector_candidates(undecided)
            if index not in self.selectors and arrays[index].size <= SELECTOR_LIMIT
        ]
        if new:
            self.selectors = sorted([*self.selectors, *new])
            self._variants.clear()
            self.plans.clear()
        return bool(new)

    def _selector_candidates(self, nodes: set[str]) -> list[int]:
        """Integer inputs that reach an If, what a Loop counts by, or these nodes."""
        if not nodes and not _branches(self.graph):
            return []
        sources: set[str] = set()
        for node in reversed(self.graph.nodes):
            if node.name in nodes or node.op == "If" or not sources.isdisjoint(node.outputs):
                sources.update(node.reads())
            elif node.op == "Loop":
                sources.update(node.inputs[:2])
        return [
            index
            for index, value in enumerate(self.graph.inputs)
            if value.name in sources and value.dtype in _SELECTORS
        ]

    def _reset_lock(self) -> None:
        self._lock = threading.RLock()


def specialized(graph: Graph, values: Mapping[str, np.ndarray]) -> Graph:
    """The graph with readers of some inputs given constants instead. The inputs stay declared."""
    if not values:
        return graph
    taken = graph.value_names()
    names: dict[str, str] = {}
    result = graph.copy()
    for name, array in values.items():
        names[name] = f"{name}.value"
        while names[name] in taken:
            names[name] += "_"
        result.constants[names[name]] = array.copy()
    result.nodes = [rename(node, names) for node in graph.nodes]
    result.types = {}
    return result


def with_input_shapes(graph: Graph, shapes: Mapping[str, tuple[int, ...]]) -> Graph:
    """The graph with the shapes of its inputs declared to be `shapes`."""
    result = graph.copy()
    result.inputs = [
        Value(value.name, value.type.with_shape(shapes[value.name])) for value in graph.inputs
    ]
    result.types = {}
    return result


def _branches(graph: Graph) -> bool:
    """Whether there are nodes that must be decided before the graph can be lowered."""
    return any(node.op in CONTROL_FLOW for node in graph.nodes)


def _only_unknown(error: ShapeError) -> bool:
    """Whether nothing is wrong but that values are not known yet."""
    return {found.code for found in error.diagnostics} == {"data-dependent"}


def _undecided(error: LayerccError) -> set[str]:
    """The nodes that want values known that were not."""
    found = error.diagnostics if isinstance(error, ShapeError) else ()
    return {d.node for d in found if d.code == "data-dependent"}


def _keep(store: dict, key: object, item: object, most: int) -> None:
    """Enters an item; the oldest makes room."""
    while len(store) >= most:
        del store[next(iter(store))]
    store[key] = item


_planners: weakref.WeakSet[Planner] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for planner in _planners:  # another thread of the parent may have held the lock
        planner._reset_lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
