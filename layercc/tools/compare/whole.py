"""What is wrong with a graph whose nodes are all right: memory, threads, or what lies between."""

from __future__ import annotations

from typing import Any

from ir.graph import Graph
from layercc.tools.compare.conditioning import explained_by_rounding
from layercc.tools.compare.difference import Difference, compare_arrays
from layercc.tools.compare.extract import described, extract
from layercc.tools.compare.kernels import NodesAlone
from layercc.tools.compare.plans import Planned, overlaps
from layercc.tools.compare.tolerance import tolerance

#: Runs that are compared to the bit for threads that get in each other's way.
_RUNS = 8


class Whole:
    """An optimized graph, lowered as it is, beside its values in float64."""

    def __init__(self, alone: NodesAlone) -> None:
        self.alone = alone
        self.graph: Graph = alone.graph
        self.threads = alone.threads

    def fault(self) -> tuple[str, dict[str, Any]] | None:
        """What is wrong, in words and as JSON data; None if nothing is. Raises LayerccError where
        no plan runs the graph whole."""
        planned, departs = self._departure(self.graph.output_names)
        raced = self._race(planned)
        if raced is not None:
            return raced
        if departs is None:
            return None
        pairs = list(overlaps(planned.program))
        if pairs:
            return self._overlap(pairs)
        _, apart = self._departure(self.graph.output_names, apart=True)
        if apart is None:
            said = "the outputs are right where no two values share memory: the plan is at fault"
            return f"memory plan: {said}", {"what": "memory", "nodes": []}
        return self._first_prefix()

    def _departure(
        self, names: list[str], apart: bool = False
    ) -> tuple[Planned, tuple[str, Difference] | None]:
        """The graph that makes some values, and the first of them that departs."""
        inputs, values = self.alone.inputs, self.alone.values(names)
        part, ports = extract(self.graph, inputs, names)
        given = {port: inputs[name] for name, port in ports.items()}
        planned = Planned(part, given, self.alone.options, apart=apart)
        made = planned.run(self.threads)
        for name in names:
            bound = tolerance(self.alone.bounds.accumulated.get(name, 0.0))
            wanted = values[name]
            kind = self.graph.types[name].dtype.value
            found = compare_arrays(made[name], wanted, bound, dtype=kind)
            if found.departs and not explained_by_rounding(self.graph, name, inputs, found):
                return planned, (name, found)
        return planned, None

    def _race(self, planned: Planned) -> tuple[str, dict[str, Any]] | None:
        """Whether results hang on the number of threads, or on chance."""
        first = planned.run(1)
        for run in range(_RUNS):
            threads = 1 if run < _RUNS // 2 else max(2, self.threads)
            for name, array in planned.run(threads).items():
                if array.tobytes() != first[name].tobytes():
                    data = {"what": "race", "value": name, "threads": threads}
                    return f"output {name!r} is another on {threads} threads: a race", data
        return None

    def _overlap(self, pairs: list[tuple[str, str]]) -> tuple[str, dict[str, Any]]:
        shown = "; ".join(f"{one!r} and {other!r}" for one, other in pairs[:3])
        data = {"what": "memory", "nodes": [list(pair) for pair in pairs]}
        return f"memory plan: values of nodes lie over each other while both live: {shown}", data

    def _first_prefix(self) -> tuple[str, dict[str, Any]]:
        """The first value that departs where the graph up to it is compiled as a whole."""
        order = [(node, name) for node in self.graph.nodes for name in node.outputs if name]
        low, high = 0, len(order) - 1
        while low < high:
            middle = (low + high) // 2
            if self._departure([order[middle][1]])[1] is None:
                low = middle + 1
            else:
                high = middle
        node, name = order[low]
        _, departs = self._departure([name])
        said = f": {departs[1]}" if departs else ""
        text = f"{described(node)} is right alone, but departs behind others: {name!r}{said}"
        return text, {"what": "prefix", "node": node.name, "value": name}
