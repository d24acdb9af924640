"""Graphs that no single plan can run: compiled sections, and nodes between them that NumPy runs.

A plan needs every shape before it runs. Of some nodes the results' shapes hang on values (NonZero,
NonMaxSuppression), some run subgraphs as values say (If, Loop, Scan), some have no kernel yet. Such
nodes fall back to their ops' reference implementation. The nodes between them form sections; each
is compiled like a model of its own once the types of its inputs are known, which is when it first
runs. So are the bodies of control flow.
"""

from __future__ import annotations

import itertools
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

import numpy as np

from ir.control_flow import CONTROL_FLOW
from ir.diagnostics import LayerccError
from ir.dims import Dim, symbol
from ir.dtypes import dtype_of
from ir.graph import Graph, Node, Value
from ir.inference import Inference, extend, infer
from ir.interpreter import run_node
from ir.types import TensorType
from layercc.lower import needed_nodes
from layercc.memory_limit import check_values
from layercc.session.inputs import DENSE, SMALL, Inputs
from layercc.target import Runnable

if TYPE_CHECKING:
    from layercc.recording import CallInfo, Collector, Recording

#: Trips of a Loop: one that goes on for longer, some seconds at the least, may never end.
_MOST_TRIPS = 1 << 18

Arrays = Mapping[str, np.ndarray]
Types = Mapping[str, TensorType]


class Plans(Protocol):
    """The plans of one graph (`layercc.session.plans.Planner`)."""

    inputs: Inputs

    def plan_for(self, arrays: Sequence[np.ndarray]) -> Runnable: ...

    def record(
        self, arrays: Sequence[np.ndarray], threads: int
    ) -> tuple[list[np.ndarray], Recording]: ...


#: A graph, and the inference of it.
PlansOf = Callable[[Graph, Inference], Plans]


class PartitionedPlan(Runnable):
    """Runs a graph, whose types are known as far as can be, at any input shapes.

    `fallback`: the nodes that NumPy runs, by name. `elsewhere`: those that another target runs,
    which `plans_elsewhere` makes plans for.
    """

    nbytes = 0  # its sections' plans are kept with their own planners

    def __init__(
        self,
        graph: Graph,
        fallback: Collection[str],
        plans_of: PlansOf,
        elsewhere: Collection[str] = (),
        plans_elsewhere: PlansOf | None = None,
    ) -> None:
        self.graph = graph = graph.copy()
        graph.nodes = needed_nodes(graph, {})
        self.fallback = [node for node in graph.nodes if node.name in fallback]
        self.elsewhere = [node for node in graph.nodes if node.name in elsewhere]
        self._parts: list[_CompiledSection | _FallbackNode] = []
        for item in partition(graph, fallback, elsewhere):
            if isinstance(item, Node):
                self._parts.append(_FallbackNode(item, graph.constants, graph.types, plans_of))
            else:
                plans = plans_elsewhere if item.elsewhere and plans_elsewhere else plans_of
                self._parts.append(_CompiledSection(item, graph.types, plans))
        self._dying = _last_reads([part.reads for part in self._parts], keep=graph.output_names)

    def run(self, inputs: Sequence[np.ndarray], threads: int) -> list[np.ndarray]:
        """Runs on dense arrays of the declared dtypes, in port order."""
        return self._run(inputs, threads, None)

    def record(
        self, inputs: Sequence[np.ndarray], threads: int
    ) -> tuple[list[np.ndarray], Recording]:
        """As `run`. Calls of sections are those of their plans, and what NumPy runs is a call for
        each node; of a node that runs subgraphs, what it takes beside them."""
        from layercc.recording import Collector

        collector = Collector(time.perf_counter())
        outputs = self._run(inputs, threads, collector)
        return outputs, collector.finish(time.perf_counter())

    def _run(
        self, inputs: Sequence[np.ndarray], threads: int, collector: Collector | None
    ) -> list[np.ndarray]:
        values = dict(zip(self.graph.input_names, inputs, strict=True))
        for part, dying in zip(self._parts, self._dying, strict=True):
            values.update(part.run(values, threads, collector))
            for name in dying:
                values.pop(name, None)
        constants = self.graph.constants
        found = [
            values[name] if name in values else constants[name] for name in self.graph.output_names
        ]
        shared = [*inputs, *constants.values()]
        return [
            array.copy() if any(np.may_share_memory(array, other) for other in shared) else array
            for array in found
        ]

    def interpreted(self) -> str:
        """The ops that NumPy computes, with counts; not those that only run compiled graphs."""
        return counted(node.op for node in self.fallback if node.op not in CONTROL_FLOW)


def counted(ops: Iterable[str]) -> str:
    """The ops, each once, with how many there are."""
    return ", ".join(f"{op} ×{count}" for op, count in sorted(Counter(ops).items()))


@dataclass(frozen=True)
class Section:
    """Nodes to be compiled together: what they read from outside, and what is read of them.

    One that is `elsewhere` is compiled for another target than the model.
    """

    name: str
    nodes: list[Node]
    reads: list[str]
    makes: list[str]
    constants: Arrays
    elsewhere: bool = False


#: What each round of a partition runs, in order: a section of the target, one of another target,
#: and single nodes.
_OWN, _ELSEWHERE, _ALONE = range(3)


def partition(
    graph: Graph, fallback: Collection[str], elsewhere: Collection[str] = ()
) -> list[Section | Node]:
    """The graph in an order to run it in: sections, some of them `elsewhere`, and the nodes named
    `fallback`.

    A node is in the first round, and so in the first section of its kind, that comes behind all
    that it depends on.
    """
    kinds = {**dict.fromkeys(elsewhere, _ELSEWHERE), **dict.fromkeys(fallback, _ALONE)}
    behind: dict[str, int] = defaultdict(int)  # value → place of what makes it, three a round
    together: dict[int, list[Node]] = defaultdict(list)
    alone: dict[int, list[Node]] = defaultdict(list)
    for node in graph.nodes:
        at = max((behind[name] for name in node.reads()), default=0)
        kind = kinds.get(node.name, _OWN)
        at += (kind - at) % len((_OWN, _ELSEWHERE, _ALONE))
        (alone if kind == _ALONE else together)[at].append(node)
        behind.update(dict.fromkeys(node.outputs, at))
    made_at = {name: at for at, nodes in together.items() for n in nodes for name in n.outputs}
    read = {*graph.output_names}  # outside of the section that makes it
    for at, nodes in together.items():
        read.update(name for n in nodes for name in n.reads() if made_at.get(name) != at)
    read.update(name for nodes in alone.values() for node in nodes for name in node.reads())
    order: list[Section | Node] = []
    for at in range(max(behind.values(), default=0) + 1):
        if nodes := together[at]:
            makes = [name for node in nodes for name in node.outputs if name in read]
            if makes:
                section = section_of(graph.name, nodes, makes, {}, graph.constants)
                away = kinds.get(nodes[0].name) == _ELSEWHERE
                order.append(replace(section, elsewhere=away))
        order += alone[at]
    return order


def section_of(
    name: str,
    nodes: list[Node],
    makes: list[str],
    given: Iterable[str],
    constants: Arrays,
) -> Section:
    """The section that makes some values of nodes, `given` values or none besides."""
    own = {name for node in nodes for name in node.outputs}
    read = [name for node in nodes for name in node.reads()] + makes
    given = list(given)  # hide constants of the same names
    outside = [name for name in dict.fromkeys(read) if name not in own and name not in given]
    return Section(
        name,
        nodes,
        [*given, *(n for n in outside if n not in constants)],
        makes,
        {n: constants[n] for n in outside if n in constants},
    )


def _last_reads(reads: Sequence[Collection[str]], keep: Collection[str]) -> list[set[str]]:
    """For each part of a plan, the values that no later one reads."""
    later = set(keep)
    dying = []
    for names in reversed(reads):
        dying.append(set(names) - later)
        later.update(names)
    return dying[::-1]


class _CompiledSection:
    """A section, compiled for each combination of its inputs' dtypes and ranks."""

    def __init__(self, section: Section, known: Types, plans_of: PlansOf) -> None:
        self.section = section
        self.reads = section.reads
        self._known = known
        self._plans_of = plans_of
        self._plans: dict[tuple[tuple[np.dtype, int], ...], Plans] = {}

    def run(
        self, values: Arrays, threads: int, collector: Collector | None
    ) -> dict[str, np.ndarray]:
        """What the section makes of `values`; recorded, if there is a collector."""
        arrays = [values[name] for name in self.section.reads]
        kinds = tuple((array.dtype, array.ndim) for array in arrays)
        plans = self._plans.get(kinds)
        if plans is None:
            plans = self._plans[kinds] = self._plans_of(*self._typed(arrays))
        if any(array.flags.num & DENSE != DENSE for array in arrays):
            arrays = plans.inputs.converted(arrays)
        if collector is None:
            made = plans.plan_for(arrays).run(arrays, threads)
        else:
            made, recording = plans.record(arrays, threads)
            collector.add(recording)
        return dict(zip(self.section.makes, made, strict=True))

    def _typed(self, arrays: Sequence[np.ndarray]) -> tuple[Graph, Inference]:
        """The section as a graph for arrays like these, of any size where inference knows none."""
        section, opened = self.section, _Opening()
        given = list(zip(section.reads, arrays, strict=True))
        kinds = [
            opened(TensorType(dtype_of(array), array.shape), self._known.get(name))
            for name, array in given
        ]
        inputs = [Value(name, kind) for name, kind in zip(section.reads, kinds, strict=True)]
        graph = Graph(section.name, inputs, [], section.nodes, dict(section.constants))
        found = exact = infer(graph)
        if found.errors:  # values tell some types, or sizes
            exact = infer(graph, {name: a.shape for name, a in given}, _small_integers(given))
            exact.raise_for_errors(f"graph {section.name!r}")
        graph.outputs = [Value(name, opened(exact.types[name], None)) for name in section.makes]
        return graph, found


class _FallbackNode:
    """A node that runs by itself."""

    def __init__(self, node: Node, constants: Arrays, known: Types, plans_of: PlansOf) -> None:
        self.node = node
        self.reads = [name for name in node.reads() if name not in constants]
        self._constants = {name: constants[name] for name in node.reads() if name in constants}
        self._known = known
        self._plans_of = plans_of
        self._bodies: dict[int, _CompiledSection] = {}

    def run(
        self, values: Arrays, threads: int, collector: Collector | None
    ) -> dict[str, np.ndarray]:
        """The node's outputs; recorded, if there is a collector."""
        if collector is None:
            return self._run(values, threads, None)
        with collector.step(self._call()):
            return self._run(values, threads, collector)

    def _run(
        self, values: Arrays, threads: int, collector: Collector | None
    ) -> dict[str, np.ndarray]:
        scope = {**self._constants, **{name: values[name] for name in self.reads}}
        trips = 0

        def run_body(body: Graph, given: Arrays) -> tuple[np.ndarray, ...]:
            nonlocal trips
            trips += 1
            if trips > _MOST_TRIPS:
                raise LayerccError(f"{self.node}: it did not end after {_MOST_TRIPS} trips")
            made = self._body(body).run({**scope, **given}, threads, collector)
            return tuple(made[name] for name in body.output_names)

        if self.node.op not in CONTROL_FLOW:
            self._check(scope)
        with np.errstate(all="ignore"):
            outputs = run_node(self.node, scope, run_body)
        return {n: array for n, array in zip(self.node.outputs, outputs, strict=False) if n}

    def _call(self) -> CallInfo:
        """What a recording says of the node."""
        from layercc.recording import CallInfo

        return CallInfo(self.node.name, self.node.op, "fallback", "NumPy")

    def _body(self, body: Graph) -> _CompiledSection:
        found = self._bodies.get(id(body))
        if found is None:
            constants = {**self._constants, **body.constants}
            makes = list(dict.fromkeys(body.output_names))
            section = section_of(body.name, body.nodes, makes, body.input_names, constants)
            known = {n: kind for n, kind in self._known.items() if n not in body.input_names}
            found = self._bodies[id(body)] = _CompiledSection(section, known, self._plans_of)
        return found

    def _check(self, scope: Arrays) -> None:
        """Raises ShapeError where the inputs do not fit, MemoryLimitError where the outputs would
        take more memory than is left."""
        kinds = {name: TensorType(dtype_of(a), a.shape) for name, a in scope.items()}
        found = Inference(kinds, _small_integers(scope.items()))
        extend(found, [self.node])
        # what is out of range, the node itself raises InputError for
        found.diagnostics = [d for d in found.faults if d.code != "bad-index"]
        found.raise_for_errors(str(self.node))
        check_values([self.node], found)


class _Opening:
    """Types with a symbol for each dim, but for those that inference knows to be integers.

    Dims that inference knows to be equal get the same symbol.
    """

    def __init__(self) -> None:
        self._numbers = itertools.count()
        self._symbols: dict[Dim, Dim] = {}  # symbolic dim of the graph around → its symbol

    def __call__(self, kind: TensorType, known: TensorType | None) -> TensorType:
        """`kind` of an array opened, given the type `known` that inference has for it."""
        if known is None or known.rank != kind.rank:
            return kind.with_shape(self._fresh() for _ in kind.shape)
        return kind.with_shape(map(self._dim, kind.shape, known.shape))

    def _dim(self, size: Dim, dim: Dim) -> Dim:
        if isinstance(dim, int):
            return dim if dim == size else self._fresh()
        if dim not in self._symbols:
            self._symbols[dim] = self._fresh()
        return self._symbols[dim]

    def _fresh(self) -> Dim:
        return symbol(f"d{next(self._numbers)}")


def _small_integers(arrays: Iterable[tuple[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {n: a for n, a in arrays if a.dtype.kind in "iub" and a.size <= SMALL}
