"""From the arrays of a call to a plan: the model optimized, lowered and bound, each once.

Plans are kept by input shapes. A model that is specialized (`layercc.session.specialization`) is
optimized for each set of values of some integer inputs, and its plans are kept by shapes and these
values. Which inputs they are, and whether any plan can run the graph whole, is read from inference
at the shapes of a call, before passes and lowering spend time on it. A graph that no plan can run
whole is partitioned (`layercc.session.partition`).
"""

from __future__ import annotations

import os
import threading
import warnings
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

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
from ir.graph import Graph, Node
from ir.inference import Inference, infer
from layercc.lower import check_supported, concrete_inference, lower, unsupported_nodes
from layercc.options import Options, target_of
from layercc.passes import SIMPLIFY, run_passes
from layercc.session.inputs import SMALL, Inputs
from layercc.session.specialization import (
    DECIDING,
    Optimized,
    deciding_inputs,
    optimize,
    specialized,
    undecided_nodes,
)
from layercc.target import Runnable, Target

if TYPE_CHECKING:
    from layercc.recording import CallInfo, Recording
    from layercc.session.partition import PartitionedPlan

#: Plans, and optimized graphs, that a model keeps; the oldest go first.
_MOST_PLANS = 256
_MOST_PLAN_BYTES = 1 << 26
_MOST_SPECIALIZATIONS = 32

#: What symbols may stand for in a plan that is made ahead.
_GUESSES = (1, 16, 256)

Arrays = Mapping[str, np.ndarray]
Shapes = tuple[tuple[int, ...], ...]
#: Shapes of all inputs, then the bytes of those that the model is specialized on.
PlanKey = tuple[tuple[int, ...] | bytes, ...]


class Planner:
    """Makes and keeps the plans of one model.

    `plans`, and the positions of the inputs that the model is `specialized` on, are for callers
    that look a plan up before they ask for it. Several threads may do so while another makes plans.
    """

    def __init__(self, graph: Graph, options: Options, optimized: Optimized | None = None) -> None:
        """`optimized` is the graph after `optimize`, if the caller has it."""
        self.graph = graph
        self.options = options
        self._backend = options.target.open(
            precision=options.precision, choices=dict(options.choices)
        )
        self.inputs = Inputs(graph.inputs)
        self.inputs.memory = self._backend.memory
        self.plans: dict[PlanKey, Runnable] = {}
        self.specialized: list[int] = []
        self._optimized: dict[tuple[bytes, ...], Optimized] = {}  # by values of these inputs
        if optimized is not None:
            self._optimized[()] = optimized
        self._partitioned: PartitionedPlan | None = None
        #: Calls of recordings: as the plan has them, and with their sources.
        self._sourced: weakref.WeakKeyDictionary[
            Runnable, tuple[tuple[CallInfo, ...], tuple[CallInfo, ...]]
        ] = weakref.WeakKeyDictionary()
        self._reset_lock()
        _planners.add(self)

    def plan_for(self, arrays: Sequence[np.ndarray]) -> Runnable:
        """The plan for dense arrays of the declared dtypes, made now if need be.

        Raises InputError when the shapes do not fit the declared ones, or values that shapes
        hang on do not fit the graph; ShapeError when the shapes do not fit the graph;
        UnsupportedError, MemoryLimitError.
        """
        shapes = tuple(array.shape for array in arrays)
        with self._lock:
            while True:
                values = tuple(arrays[i].tobytes() for i in self.specialized)
                plan = self.plans.get((*shapes, *values))
                if plan is not None:
                    return plan
                self.inputs.check_shapes(shapes)
                known = {self.inputs.names[i]: arrays[i] for i in self.specialized}
                plan = self._partitioned
                if plan is None:
                    graph, found = self._optimized_at(shapes, known)
                    undecided = undecided_nodes(graph, found)
                    new = self._deciding(undecided, shapes, known)
                    new = [i for i in new if arrays[i].size <= SMALL]
                    if new:
                        self._specialize_on(new)
                        continue
                    self._refuse_misfits(found, shapes, known)
                    plan = self._make(graph, found, undecided, shapes)
                self._keep_plan((*shapes, *values), plan)
                return plan

    def record(
        self, arrays: Sequence[np.ndarray], threads: int
    ) -> tuple[list[np.ndarray], Recording]:
        """Runs the plan for these arrays, recorded; `sources` of the calls are nodes of the graph.

        Raises as `plan_for`, and as running does.
        """
        plan = self.plan_for(arrays)
        outputs, recording = plan.record(arrays, threads)
        return outputs, replace(recording, calls=self._with_sources(plan, recording.calls, arrays))

    def _with_sources(
        self, plan: Runnable, calls: tuple[CallInfo, ...], arrays: Sequence[np.ndarray]
    ) -> tuple[CallInfo, ...]:
        from layercc.session.origins import Origins, with_sources
        from layercc.session.partition import PartitionedPlan

        known = self._sourced.get(plan)
        if known is None or known[0] is not calls:
            with self._lock:
                if isinstance(plan, PartitionedPlan):
                    graph = plan.graph
                else:
                    values = {self.inputs.names[i]: arrays[i] for i in self.specialized}
                    graph, _ = self._optimized_at(tuple(array.shape for array in arrays), values)
                origins = Origins(self.graph).of(graph)
                known = calls, tuple(with_sources(call, origins) for call in calls)
                self._sourced[plan] = known
        return known[1]

    def plan_ahead(self) -> None:
        """Makes a plan for the declared shapes, all symbols standing for 1, or for more if 1 is
        too small.

        So kernels are compiled, and faults are found, before the first call. Raises ShapeError,
        UnsupportedError or MemoryLimitError where no call could succeed.
        """
        free = any(symbols(dim) for value in self.graph.inputs for dim in value.shape)
        with self._lock:
            for size in _GUESSES if free else (1,):
                shapes = self._shapes_at(size)
                graph, found = self._optimized_at(shapes, {})
                undecided = undecided_nodes(graph, found)
                if self._deciding(undecided, shapes, {}):
                    return  # the values of a call will tell
                if found.faults:
                    if free:
                        continue
                    self._refuse_misfits(found, shapes, {})
                try:
                    self.plans[shapes] = self._make(graph, found, undecided, shapes)
                except MemoryLimitError:
                    if self._optimized_for({}).simplified:
                        raise  # at other shapes, other nodes may run
                return

    @property
    def _where(self) -> str:
        return f"graph {self.graph.name!r} at these input shapes"

    def _shapes_at(self, size: int) -> Shapes:
        """The declared shapes of the inputs, every symbol standing for `size`."""
        return tuple(
            tuple(evaluate(dim, dict.fromkeys(symbols(dim), size)) for dim in value.shape)
            for value in self.graph.inputs
        )

    # The optimized graph, and what is known of it

    def _optimized_for(self, known: Arrays) -> Optimized:
        """The graph specialized on known values and optimized."""
        key = tuple(array.tobytes() for array in known.values())
        optimized = self._optimized.get(key)
        if optimized is None:
            graph = specialized(self.graph, known)
            optimized = optimize(graph, infer(graph), self.options.target)
            _keep(self._optimized, key, optimized, _MOST_SPECIALIZATIONS)
        return optimized

    def _optimized_at(self, shapes: Shapes, known: Arrays) -> tuple[Graph, Inference]:
        """The graph as far as it can be optimized for these shapes and values, and its inference.

        Where something in it is undecided, or has no kernels, nothing is spent on what
        passes would yet do.
        """
        optimized = self._optimized_for(known)
        by_name = dict(zip(self.inputs.names, shapes, strict=True))
        graph, found = optimized.graph, concrete_inference(optimized.graph, by_name)
        if optimized.finished or found.errors or undecided_nodes(graph, found):
            return graph, found
        if not optimized.simplified:
            graph = optimized.at_shapes(found)
        elif unsupported_nodes(graph, found):
            return graph, found
        else:
            key = tuple(array.tobytes() for array in known.values())
            self._optimized[key] = optimized = optimized.finish()
            graph = optimized.graph
        return graph, concrete_inference(graph, by_name)

    # What stands against a plan

    def _deciding(self, undecided: set[str], shapes: Shapes, known: Arrays) -> list[int]:
        """Positions of inputs whose values decide these nodes, and that are not known."""
        if not undecided or not any(v.dtype in DECIDING for v in self.graph.inputs):
            return []
        graph = specialized(self.graph, known)
        found = concrete_inference(graph, dict(zip(self.inputs.names, shapes, strict=True)))
        undecided = undecided | undecided_nodes(graph, found)  # under the names of the graph given
        return [i for i in deciding_inputs(self.graph, undecided) if i not in self.specialized]

    def _specialize_on(self, positions: Sequence[int]) -> None:
        self.specialized = sorted([*self.specialized, *positions])
        self._optimized.clear()
        self.plans.clear()

    def _refuse_misfits(self, found: Inference, shapes: Shapes, known: Arrays) -> None:
        """Raises, on the model's own nodes, where shapes do not fit in it: InputError where values
        decide some of them, else ShapeError.

        What passes made of the nodes has other names, ops and layouts.
        """
        if not found.faults:
            return
        by_name = dict(zip(self.inputs.names, shapes, strict=True))
        own = infer(specialized(self.graph, known), by_name)
        own.diagnostics = own.faults
        if own.diagnostics and known:
            values = ", ".join(f"{name} = {array.tolist()}" for name, array in known.items())
            try:
                own.raise_for_errors(f"{self._where} with {values}")
            except ShapeError as error:
                raise InputError(str(error)) from None
        own.raise_for_errors(self._where)
        found.diagnostics = found.faults
        found.raise_for_errors(self._where)

    # Plans

    def _make(
        self, graph: Graph, found: Inference, undecided: set[str], shapes: Shapes
    ) -> Runnable:
        """The plan of an optimized graph at shapes that fit; a partition where nodes in it are
        undecided, or have no kernels."""
        fallback = undecided | {node.name for node in unsupported_nodes(graph, found)}
        error: UnsupportedError | ShapeError | None = None
        if not fallback:
            by_name = dict(zip(self.inputs.names, shapes, strict=True))
            try:
                workload = lower(graph, by_name, found)
                try:
                    return self._backend.plan(workload)
                except UnsupportedError as caught:
                    other = self.options.target.fallback()
                    if other is None or not caught.nodes:
                        raise
                    return self._shared(graph, set(caught.nodes), target_of(other))
            except UnsupportedError as caught:  # a kernel that is there does not take these types
                fallback, error = set(caught.nodes), caught
            except ShapeError as caught:  # or wants values known that no shape hangs on
                if {problem.code for problem in caught.diagnostics} != {"data-dependent"}:
                    raise
                fallback, error = {problem.node for problem in caught.diagnostics}, caught
        plan = self._partition(fallback, str(error or ""))
        if plan is None:
            if error is not None:
                raise error
            found.raise_for_errors(self._where)
            check_supported(graph, found)
        assert plan is not None
        return plan

    def _partition(self, fallback: set[str], why: str = "") -> PartitionedPlan | None:
        """The plan in which NumPy runs these nodes of the graph; from now on it is the only one.

        None if no node of the graph is among them, nor any that runs a body in which they may be.
        """
        optimized = self._optimized_for({})
        graph = optimized.graph
        if optimized.finished:
            graph = run_passes(self.graph, SIMPLIFY)
        own = {node.name for node in graph.nodes}
        if not fallback <= own:  # some came out of a body
            control = {node.name for node in graph.nodes if node.op in CONTROL_FLOW}
            fallback = fallback & own | control
        if not fallback:
            return None
        from layercc.session.partition import PartitionedPlan  # most models need none

        self._partitioned = PartitionedPlan(graph, fallback, self._planner_of)
        if slow := self._partitioned.interpreted():
            warnings.warn(
                f"graph {self.graph.name!r}: NumPy runs what cannot be compiled: {slow}"
                + (f"\n  {why}" if why else ""),
                RuntimeWarning,
                stacklevel=2,
            )
        return self._partitioned

    def _shared(self, graph: Graph, elsewhere: set[str], other: Target) -> PartitionedPlan:
        """The plan in which another target runs these nodes of an optimized graph; unless the graph
        is for these shapes or values alone, it is the only one from now on."""
        from layercc.session.partition import PartitionedPlan, counted

        plans_elsewhere = partial(self._planner_of, options=replace(self.options, target=other))
        plan = PartitionedPlan(graph, (), self._planner_of, elsewhere, plans_elsewhere)
        if graph is self._optimized_for({}).graph:
            self._partitioned = plan
        ops = counted(op for node in plan.elsewhere for op in _ops_of(node))
        warnings.warn(
            f"graph {self.graph.name!r}: target {other} runs what {self.options.target} cannot: "
            f"{ops}",
            RuntimeWarning,
            stacklevel=2,
        )
        return plan

    def _planner_of(
        self, graph: Graph, inference: Inference, options: Options | None = None
    ) -> Planner:
        """The planner of a section of the graph."""
        options = options or self.options
        return Planner(graph, options, optimize(graph, inference, options.target))

    def _keep_plan(self, key: PlanKey, plan: Runnable) -> None:
        """Enters a plan; the oldest make room."""
        _keep(self.plans, key, plan, _MOST_PLANS)
        held = sum(each.nbytes for each in self.plans.values())
        for old in list(self.plans)[:-1]:
            if held <= _MOST_PLAN_BYTES:
                break
            held -= self.plans.pop(old).nbytes

    def _reset_lock(self) -> None:
        self._lock = threading.RLock()


class AbsentPlanner(Planner):
    """Stands for the planner of a model whose target cannot be opened here: makes no plans."""

    def __init__(self, graph: Graph, options: Options) -> None:
        self.options = options
        self.inputs = Inputs(graph.inputs)
        self.plans = {}
        self.specialized = []

    def plan_for(self, arrays: Sequence[np.ndarray]) -> Runnable:
        raise cannot_run(self.options.target)

    def plan_ahead(self) -> None:
        """Makes none."""


def cannot_run(target: Target) -> LayerccError:
    """What a run raises where this machine lacks what the target needs."""
    why = f" ({hindrance})" if (hindrance := target.hindrance()) else ""
    return LayerccError(
        f"the model is compiled for {target}, which this machine cannot run{why}; "
        "model.to('cpu') would run here"
    )


def decides(array: Any) -> bool:
    """Whether a model may be specialized on the values of an array."""
    return array.size <= SMALL and any(array.dtype == dtype.value for dtype in DECIDING)


def _ops_of(node: Node) -> list[str]:
    """The op of a node; of a group, those that it is made of."""
    inner = [each.op for body in node.subgraphs() for each in body.nodes]
    return inner if node.op == "layercc.Fused" else [node.op]


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
