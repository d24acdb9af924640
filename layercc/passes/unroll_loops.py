"""Replaces a Loop or Scan that runs a known number of times by that many copies of its body.

The number follows from the shapes of the inputs in most models: the loops of recurrent layers that
exporters did not recognise. A Loop's condition is followed from one iteration to the next by the
values that inference knows. Sound because an iteration reads nothing but what is carried along, its
own slice, its number, and values made before the loop.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ir.dtypes import DType
from ir.graph import Graph, Node
from ir.inference import Inference, infer, infer_body, infer_types
from ir.inlining import inline
from ir.naming import Names
from ir.ops.control_flow import Scan
from ir.registry import Call
from ir.types import TensorType
from layercc.passes.infrastructure import graph_pass

#: Nodes that a graph may have more afterwards. Each costs passes and planning about a millisecond,
#: for every new length; a trip of a loop that stays one costs some 15 µs besides its kernels.
MOST_NODES = 1 << 8


@graph_pass("simplify")
def unroll_loops(graph: Graph) -> Graph:
    """Replace loops that run a known number of times by copies of their bodies."""
    if not any(node.op in ("Loop", "Scan") for node in graph.nodes):
        return graph
    found = infer(graph)
    result = graph.copy()
    result.nodes = []
    names = Names(graph.value_names())
    room = MOST_NODES
    for node in graph.nodes:
        copies = _Copies(node, found, names, room)
        done = copies.loop() if node.op == "Loop" else node.op == "Scan" and copies.scan()
        room -= len(copies.made.nodes)  # also where they were made in vain
        if done:
            result.nodes += copies.made.nodes
            result.constants |= copies.made.constants
        else:
            result.nodes.append(node)
    if result.nodes == graph.nodes:
        return graph
    infer_types(result).raise_for_errors(f"graph {graph.name!r}")
    return result


@dataclass
class _Copies:
    """The iterations of one loop. `made` is what it becomes."""

    node: Node
    found: Inference
    names: Names
    room: int  # for nodes
    made: Graph = field(default_factory=Graph)

    def loop(self) -> bool:
        """Whether the iterations of a Loop are known; they are in `made` then."""
        most, goes_on, *carried = (*self.node.inputs, "")[: max(len(self.node.inputs), 2)]
        body: Graph = self.node.attributes["body"]  # type: ignore[assignment]
        count = self._whole(most)
        runs: bool | None = True if not goes_on else self._truth(self.found, goes_on)
        if count is None or runs is None:
            return False
        each = max(len(body.nodes), 1)
        if body.output_names[0] == body.input_names[1] and count * each > self.room:
            return False  # nothing ends it sooner
        types = {name: self.found.types[name] for name in carried}
        values = {name: self.found.values[name] for name in carried if name in self.found.values}
        stacks: list[list[str]] = [[] for _ in body.outputs[len(carried) + 1 :]]
        always = self._constant(np.array(True), "condition")
        trip = 0
        while runs and trip < count:
            if (trip + 1) * each > self.room:
                return False
            number = self._constant(np.array(trip, np.int64), "trip")
            given = [number, always, *carried]
            types |= {number: TensorType(DType.i64, ()), always: TensorType(DType.bool, ())}
            values |= {number: np.array(trip, np.int64), always: np.array(True)}
            inner = self._infer(body, given, types, values)
            runs = self._truth(inner, body.output_names[0])
            if runs is None or inner.errors:
                return False
            _, *made = self._copy(body, given, trip)
            names = body.output_names[1:]
            carried = made[: len(carried)]
            types = {new: inner.types[old] for new, old in zip(carried, names, strict=False)}
            values = {
                new: inner.values[old]
                for new, old in zip(carried, names, strict=False)
                if old in inner.values
            }
            for stack, item in zip(stacks, made[len(carried) :], strict=True):
                stack.append(item)
            trip += 1
        return self._finish(carried, stacks, [0] * len(stacks))

    def scan(self) -> bool:
        """Whether the length of a Scan is known; its iterations are in `made` then."""
        call = Call(Scan, self.node, [self.found.types.get(name) for name in self.node.inputs])
        body: Graph = call.body
        first = len(self.node.inputs) - call.num_scan_inputs
        states, scanned = list(self.node.inputs[:first]), self.node.inputs[first:]
        axes = call.scan_input_axes or [0] * len(scanned)
        backwards = call.scan_input_directions or [0] * len(scanned)
        length = call.shape(first)[axes[0]] if scanned else None
        if type(length) is not int or length * max(len(body.nodes), 1) > self.room:
            return False
        stacks: list[list[str]] = [[] for _ in body.outputs[first:]]
        for step in range(length):
            slices = []
            for name, axis, back in zip(scanned, axes, backwards, strict=True):
                at = self._constant(np.array(length - 1 - step if back else step), "step")
                slices.append(self._emit("Gather", (name, at), {"axis": axis}))
            made = self._copy(body, [*states, *slices], step)
            states = made[:first]
            for stack, item in zip(stacks, made[first:], strict=True):
                stack.append(item)
        directions = call.scan_output_directions or [0] * len(stacks)
        stacks = [s[::-1] if back else s for s, back in zip(stacks, directions, strict=True)]
        return self._finish(states, stacks, call.scan_output_axes or [0] * len(stacks))

    # What is known

    def _whole(self, name: str) -> int | float | None:
        """A known integer; infinity for an absent one."""
        if not name:
            return float("inf")
        value = self.found.values.get(name)
        return None if value is None or value.dtype == object else int(value.reshape(-1)[0])

    @staticmethod
    def _truth(found: Inference, name: str) -> bool | None:
        value = found.values.get(name)
        return None if value is None or value.dtype == object else bool(value.reshape(-1)[0])

    def _infer(
        self,
        body: Graph,
        given: list[str],
        types: dict[str, TensorType],
        values: dict[str, np.ndarray],
    ) -> Inference:
        """One iteration, whose inputs are the values `given`."""
        pairs = list(zip(body.input_names, given, strict=True))
        known = {own: values[name] for own, name in pairs if name in values}
        return infer_body(body, self.found, {own: types[name] for own, name in pairs}, known)

    # What is made

    def _constant(self, array: np.ndarray, hint: str) -> str:
        name = self.names.fresh(f"{self.node.name}.{hint}")
        self.made.constants[name] = array
        return name

    def _emit(self, op: str, inputs: tuple[str, ...], attributes: dict | None = None) -> str:
        name = self.names.fresh(f"{self.node.name}.{op.lower()}")
        node = Node(op, inputs, (name,), attributes or {}, source=self.node.source)
        self.made.nodes.append(node)
        return name

    def _copy(self, body: Graph, given: list[str], number: int) -> list[str]:
        names = dict(zip(body.input_names, given, strict=True))
        made = inline(self.made, body, lambda name: self.names.fresh(f"{name}.{number}"), names)
        return [made.get(name, name) for name in body.output_names]

    def _finish(self, carried: list[str], stacks: list[list[str]], axes: list[int]) -> bool:
        """Gives the results the names of the node's outputs. Whether there is a shape for each."""
        for outer, inner in zip(self.node.outputs, carried, strict=False):
            if outer:
                self.made.nodes.append(Node("Identity", (inner,), (outer,)))
        outputs = self.node.outputs[len(carried) :]
        for outer, items, axis in zip(outputs, stacks, axes, strict=False):
            if outer and not items:
                kind = self.found.types[outer]
                if not kind.is_static:
                    return False
                self.made.constants[outer] = np.zeros(kind.shape, kind.dtype.value)  # type: ignore[arg-type]
            elif outer:
                at = self._constant(np.array([axis]), "axis")
                rows = [self._emit("Unsqueeze", (item, at)) for item in items]
                self.made.nodes.append(Node("Concat", tuple(rows), (outer,), {"axis": axis}))
        return True
