"""Which node is computed wrongly: each node of an optimized graph compiled alone, beside NumPy."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ir.diagnostics import LayerccError
from ir.graph import Graph, Node
from layercc.cores import usable_cores
from layercc.kernels.expressions import readable
from layercc.options import Options
from layercc.program import KernelCall
from layercc.tools.compare.conditioning import within_conditioning
from layercc.tools.compare.difference import Difference, compare_arrays
from layercc.tools.compare.exact import Arrays, evaluate, walk
from layercc.tools.compare.extract import concrete, described, extract
from layercc.tools.compare.layers import is_random
from layercc.tools.compare.plans import Planned, algorithm_names, as_in_whole, with_algorithm
from layercc.tools.compare.tolerance import Variances, tolerance, variances

#: Nodes that are compiled together, though apart from each other.
_MOST_NODES = 64


@dataclass(frozen=True)
class KernelFault:
    """A node whose kernels depart from its op's definition.

    `kernels`: those that compute it. `algorithm`: which of several, for what class of shapes;
    `others`: what the other algorithms that fit give, as "good" or "bad". `raced`: it is right on
    one thread.
    """

    node: Node
    value: str
    difference: Difference
    kernels: list[str]
    algorithm: str = ""
    shape_class: str = ""
    others: dict[str, str] = field(default_factory=dict)
    raced: bool = False

    def to_dict(self) -> dict[str, Any]:
        """JSON data."""
        return {
            "node": self.node.name,
            "op": self.node.own_op,
            "value": self.value,
            "kernels": self.kernels,
            "algorithm": self.algorithm or None,
            "shape_class": self.shape_class or None,
            "algorithms": self.others,
            "raced": self.raced,
            "difference": self.difference.to_dict(),
        }

    def __str__(self) -> str:
        lines = [f"kernels of {described(self.node)} depart, on exact inputs: {self.difference}"]
        lines += [f"  kernel {each}" for each in self.kernels]
        if self.raced:
            lines.append("  on one thread they do not: threads get in each other's way")
        if self.algorithm:
            others = ", ".join(f"{name} is {said}" for name, said in self.others.items())
            lines.append(
                f"  algorithm {self.algorithm} for {self.shape_class}; {others or 'no other fits'}"
            )
        return "\n".join(lines)


class NodesAlone:
    """The nodes of an optimized graph, each on inputs from float64.

    `inputs`: arrays for those of the graph; `values`: what is known of others in float64, as
    `rewrites` has evaluated them. The rest is evaluated when it is asked for.
    """

    def __init__(
        self, graph: Graph, inputs: Arrays, values: Arrays, options: Options, memory: int
    ) -> None:
        self.graph, self.memory = graph, memory
        self.threads = options.threads or usable_cores()
        self.inputs = {name: self.narrow(name, inputs[name]) for name in graph.input_names}
        self.options = as_in_whole(graph, self.inputs, options)
        self.types = concrete(graph, self.inputs)
        self._values = values
        self.bounds: Variances = variances(graph, self.types)
        self.checked: set[str] = set()

    def narrow(self, name: str, array: np.ndarray) -> np.ndarray:
        """A value in the element type that the graph has for it."""
        kind = self.graph.types[name].dtype
        with np.errstate(all="ignore"):
            return array.astype(kind.value) if kind.kind == "float" else array

    def values(self, names: Iterable[str]) -> Arrays:
        """Values of the graph in float64."""
        wanted = {name for name in names if name not in self._values}
        if not wanted:
            return self._values
        return {**self._values, **dict(walk(self.graph, self.inputs, wanted, exact=True))}

    def faults(self) -> Iterator[KernelFault]:
        """Nodes that depart, in order."""
        for nodes in self._chunks():
            for suspect, *_ in self._departing(nodes, self.threads):
                # together, nodes may be in each other's way; alone, they are not
                for node, name, difference in self._departing([suspect], self.threads):
                    alone = self._departing([node], 1)
                    yield self._explained(node, name, difference, raced=not alone)

    def _chunks(self) -> Iterator[list[Node]]:
        chunk: list[Node] = []
        total = 0
        for node in self.graph.nodes:
            if is_random(node):
                continue
            nbytes = sum(self._nbytes(name) for name in (*node.reads(), *node.outputs))
            if chunk and (total + nbytes > self.memory or len(chunk) >= _MOST_NODES):
                yield chunk
                chunk, total = [], 0
            chunk.append(node)
            total += nbytes
        if chunk:
            yield chunk

    def _nbytes(self, name: str) -> int:
        kind = self.types.types.get(name)
        return int(kind.nbytes) if kind is not None and kind.is_static else 0

    def _departing(self, nodes: Sequence[Node], threads: int) -> list[tuple[Node, str, Difference]]:
        """Those of some nodes that depart, with the value that does."""
        names = [name for node in nodes for name in node.outputs if name]
        part, given = self.part(nodes, names)
        try:
            made = Planned(part, given, self.options).run(threads)
        except LayerccError:
            if len(nodes) == 1:
                return []  # NumPy runs it
            half = len(nodes) // 2
            return self._departing(nodes[:half], threads) + self._departing(nodes[half:], threads)
        self.checked.update(node.name for node in nodes)
        wanted = evaluate(part, given, exact=True)
        found = []
        for node in nodes:
            for name in filter(None, node.outputs):
                difference = self._difference(node, name, made[name], wanted[name], part, given)
                if difference.departs:
                    found.append((node, name, difference))
                    break
        return found

    def part(self, nodes: Sequence[Node], names: Sequence[str]) -> tuple[Graph, dict[str, Any]]:
        """Nodes that read their inputs from outside, not from each other; and these inputs."""
        known = self.types.values
        reads = dict.fromkeys(name for node in nodes for name in node.reads())
        outside = [name for name in reads if name not in self.graph.constants]
        values = self.values(outside)
        given = {name: self.narrow(name, values[name]) for name in outside}
        part, ports = extract(self.graph, given, names)
        arrays = {port: given[name] for name, port in ports.items()}
        fixed = {
            port: arrays.pop(port)
            for name, port in ports.items()
            if name in known and known[name].dtype != object
        }
        part.constants |= fixed
        part.inputs = [value for value in part.inputs if value.name not in fixed]
        return part, arrays

    def _difference(
        self, node: Node, name: str, a: np.ndarray, b: np.ndarray, part: Graph, given: Arrays
    ) -> Difference:
        bound = tolerance(self.bounds.local[name])
        kind = self.graph.types[name].dtype
        found = compare_arrays(a, b, bound, dtype=kind.value)
        if found.kind == "error" and within_conditioning(part, name, given, a, b, found):
            return Difference("same", bound)
        return found

    def _explained(self, node: Node, name: str, difference: Difference, raced: bool) -> KernelFault:
        part, given = self.part([node], [name])
        calls = self._calls(part, given, self.options)
        kernels = list(dict.fromkeys(readable(call.key) for call in calls))
        chosen = next((call for call in calls if call.algorithm), None)
        if chosen is None or raced:
            return KernelFault(node, name, difference, kernels, raced=raced)
        wanted = evaluate(part, given, exact=True)[name]
        others = {}
        for algorithm in algorithm_names():
            if algorithm == chosen.algorithm:
                continue
            options = with_algorithm(self.options, chosen.shape_class, algorithm)
            planned = Planned(part, given, options)
            if any(call.algorithm == algorithm for call in planned.program.calls):
                made = planned.run(self.threads)[name]
                found = self._difference(node, name, made, wanted, part, given)
                others[algorithm] = "bad" if found.departs else "good"
        return KernelFault(
            node, name, difference, kernels, chosen.algorithm, chosen.shape_class, others
        )

    def _calls(self, part: Graph, given: Arrays, options: Options) -> list[KernelCall]:
        return list(Planned(part, given, options).program.calls)
