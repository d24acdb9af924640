"""Which pass changes what a graph computes, and which of its rewrites does.

Passes are followed as they run when a model is compiled for some inputs. Each graph is evaluated in
float64. What a pass has left alone is not computed again; what it has changed is, on values from
before the pass, so that one rewrite is judged at a time. A value may change its layout, or go, as
long as the outputs stay what they were.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import permutations
from typing import Any

import numpy as np

from ir.diagnostics import LayerccError
from ir.dtypes import dtype_of
from ir.graph import Graph, Node
from ir.inference import infer
from ir.types import TensorType
from layercc.passes.infrastructure import Pass
from layercc.tools.compare.difference import Difference, compare_arrays
from layercc.tools.compare.exact import Arrays, evaluate, run_exact
from layercc.tools.compare.extract import concrete, described, needed
from layercc.tools.compare.tolerance import tolerance, variance

#: Constants are folded in the element type of the model: a rounding for each of so many summands.
_TERMS = 1024
Types = Mapping[str, TensorType]
#: Ranks of tensors whose layouts are told apart.
_MOST_AXES = 5


@dataclass(frozen=True)
class PassRun:
    """A pass that has run, and the graphs before and after it."""

    run: Pass
    before: Graph
    after: Graph

    @cached_property
    def types(self) -> tuple[Types, Types]:
        """Types before and after, as inference finds them."""
        return infer(self.before).types, infer(self.after).types


@dataclass(frozen=True)
class Rewrite:
    """The rewrite at fault: a pass, the first value that departs by it, and how; the nodes that
    made the value before, and that do after; how many other values depart behind it."""

    step: PassRun
    value: str
    difference: Difference
    before: list[Node]
    after: list[Node]
    others: int

    def to_dict(self) -> dict[str, Any]:
        """JSON data."""
        return {
            "pass": self.step.run.name,
            "value": self.value,
            "before": [str(node) for node in self.before],
            "after": [str(node) for node in self.after],
            "others": self.others,
            "difference": self.difference.to_dict(),
        }

    def __str__(self) -> str:
        what = repr(self.value) if self.value else "all of it"
        more = f", and {self.others} values behind it" if self.others else ""
        return (
            f"pass {self.step.run.name} changes what the graph computes: {what}{more}: "
            f"{self.difference}\n  before: {_listed(self.before)}\n  after:  {_listed(self.after)}"
        )


def _listed(nodes: Sequence[Node]) -> str:
    shown = ", ".join(map(described, nodes[:6])) + (", ..." if len(nodes) > 6 else "")
    return shown or "a constant"


@dataclass
class Chain:
    """Passes that ran one after the other, each on what the one before has made."""

    steps: list[PassRun] = field(default_factory=list)

    @property
    def first(self) -> Graph:
        return self.steps[0].before

    @property
    def last(self) -> Graph:
        return self.steps[-1].after

    def changes(self) -> list[PassRun]:
        return [step for step in self.steps if step.after is not step.before]


def chains(steps: Sequence[PassRun]) -> list[Chain]:
    """The chains in what has run."""
    found: list[Chain] = []
    for step in steps:
        if not found or found[-1].last is not step.before:
            found.append(Chain())
        found[-1].steps.append(step)
    return found


class ChainValues:
    """The values of a chain's graphs, from the first on, in float64.

    `given`: arrays for the inputs of the graphs.
    """

    def __init__(self, graph: Graph, given: Arrays) -> None:
        self.graph = graph
        self._inputs = {name: np.asarray(array) for name, array in given.items()}
        self.scope = self._evaluated(graph, None)

    def advance(self, step: PassRun) -> Rewrite | None:
        """Goes on to the graph after a pass; the rewrite at fault if outputs depart."""
        try:
            scope = self._evaluated(step.after, self.scope)
        except LayerccError as error:
            said = f"the graph cannot be run any more: {error}"
            return changed_by(step, "", Difference("fails", 0.0, np.inf, np.inf, said=said))
        fault = None
        for name in step.after.output_names:
            if self._difference(step, name, scope).departs:
                fault = self._blamed(step, scope)
                break
        self.graph, self.scope = step.after, scope
        return fault

    def _evaluated(self, graph: Graph, before: Arrays | None) -> dict[str, np.ndarray]:
        """All values of a graph. Those that are within tolerance of what they were `before` stay
        what they were, to the object."""
        scope = dict(self._inputs)
        for name, array in graph.constants.items():
            scope[name] = self._settled(graph, name, array, before)
        known = set() if before is None else set(self.graph.nodes)
        for node in graph.nodes:
            if (
                before is not None
                and node in known
                and all(scope[name] is before.get(name) for name in node.reads())
            ):
                outputs = tuple(before[name] if name else np.empty(0) for name in node.outputs)
            else:
                outputs = run_exact(node, scope)
            for name, array in zip(node.outputs, outputs, strict=False):
                if name:
                    scope[name] = self._settled(graph, name, array, before)
        return scope

    def _settled(
        self, graph: Graph, name: str, array: np.ndarray, before: Arrays | None
    ) -> np.ndarray:
        old = None if before is None else before.get(name)
        if old is None or old is array or old.shape != array.shape:
            return array
        return array if _difference(graph, name, array, old).departs else old

    def _difference(self, step: PassRun, name: str, scope: Arrays) -> Difference:
        typed = _dtype_difference(step, name)
        return typed or _difference(step.after, name, scope[name], self.scope[name])

    def _blamed(self, step: PassRun, scope: Arrays) -> Rewrite:
        """The first value that has changed by more than its layout."""
        order = [name for node in step.after.nodes for name in node.outputs if name]
        order += [name for name in step.after.output_names if name not in order]
        shared = [name for name in order if name in self.scope]
        fine = {name for name in scope if name in self.scope and scope[name] is self.scope[name]}
        wrong: list[tuple[str, Difference]] = []
        for name in shared:
            typed = _dtype_difference(step, name)
            if name in fine and typed is None:
                continue
            found = typed or _up_to_layout(step.after, name, scope[name], self.scope[name])
            if found.departs:
                wrong.append((name, found))
        if not wrong:  # an output has another layout
            outputs = [(n, self._difference(step, n, scope)) for n in step.after.output_names]
            wrong = [(name, found) for name, found in outputs if found.departs]
        value, difference = wrong[0]
        return Rewrite(
            step,
            value,
            difference,
            needed(step.before.nodes, [value], fine - {value}),
            needed(step.after.nodes, [value], fine - {value}),
            len(wrong) - 1,
        )


def _difference(graph: Graph, name: str, array: np.ndarray, old: np.ndarray) -> Difference:
    kind = graph.types[name].dtype if name in graph.types else dtype_of(array)
    bound = tolerance(variance(kind, _TERMS)) if kind.kind in ("float", "complex") else 0.0
    return compare_arrays(array, old, bound, dtype=array.dtype)


def _dtype_difference(step: PassRun, name: str) -> Difference | None:
    """How the element types differ that a value has before and after a pass."""
    old, new = step.types[0].get(name), step.types[1].get(name)
    if old is None or new is None or old.dtype is new.dtype:
        return None
    return Difference("dtype", 0.0, np.inf, np.inf, said=f"dtype {new.dtype} and not {old.dtype}")


def _up_to_layout(graph: Graph, name: str, array: np.ndarray, old: np.ndarray) -> Difference:
    """How a value differs whose axes may have changed places: in the order of the least error."""
    found = _difference(graph, name, array, old)
    if not found.departs or not 1 < array.ndim <= _MOST_AXES or array.ndim != old.ndim:
        return found
    for axes in permutations(range(old.ndim)):
        if tuple(old.shape[axis] for axis in axes) == array.shape:
            other = _difference(graph, name, array, old.transpose(axes))
            if (other.departs, other.error) < (found.departs, found.error):
                found = other
    return found


def first_fault(chain: Chain, given: Arrays, memory: int) -> tuple[Rewrite | None, Arrays]:
    """The first rewrite of a chain that changes outputs, and the values of the last graph looked
    at, where they fit into `memory`."""
    if _bytes(chain.first, given) > memory:
        return _first_fault_by_outputs(chain, given), {}
    values = ChainValues(chain.first, given)
    for step in chain.changes():
        fault = values.advance(step)
        if fault is not None:
            return fault, values.scope
    return None, values.scope


def _first_fault_by_outputs(chain: Chain, given: Arrays) -> Rewrite | None:
    """As `first_fault`, for graphs whose values cannot be held: a binary search by outputs, which
    tells the pass, and no rewrite within it."""
    wanted = evaluate(chain.first, given, exact=True)
    steps = chain.changes()

    def departing(graph: Graph) -> Iterator[tuple[str, Difference]]:
        try:
            made = evaluate(graph, given, exact=True)
        except LayerccError as error:
            said = f"the graph cannot be run any more: {error}"
            yield "", Difference("fails", 0.0, np.inf, np.inf, said=said)
            return
        for name, array in wanted.items():
            found = _difference(graph, name, made[name], array)
            if found.departs:
                yield name, found

    if not steps or next(departing(steps[-1].after), None) is None:
        return None
    low, high = 0, len(steps) - 1  # the first at fault is in low..high
    while low < high:
        middle = (low + high) // 2
        if next(departing(steps[middle].after), None) is None:
            low = middle + 1
        else:
            high = middle
    step = steps[low]
    return changed_by(step, *next(departing(step.after)))


def changed_by(step: PassRun, value: str, difference: Difference) -> Rewrite:
    """All that a pass has changed, where no rewrite of it is told from the others."""
    before, after = set(step.before.nodes), set(step.after.nodes)
    gone = [node for node in step.before.nodes if node not in after]
    new = [node for node in step.after.nodes if node not in before]
    return Rewrite(step, value, difference, gone, new, 0)


def _bytes(graph: Graph, given: Arrays) -> int:
    """Bytes of what the nodes of a graph make, in float64, as far as types are known."""
    kinds = concrete(graph, {n: a for n, a in given.items() if n in graph.input_names}).types
    made = (kinds.get(name) for node in graph.nodes for name in node.outputs)
    return sum(8 * int(kind.size) for kind in made if kind is not None and kind.is_static)
