"""If, Loop and Scan: ops that run subgraphs. Their shape rules are in `ir.control_flow`."""

from __future__ import annotations

from typing import Any

import numpy as np

from ir.dims import is_known
from ir.graph import Graph, Value
from ir.registry import Attr, Call, Op, register


class _RunsSubgraph(Op):
    constraints = {"T": "any"}
    deterministic = False  # the body may hold random ops; never evaluated by inference


@register
class If(_RunsSubgraph):
    """Runs one of two graphs."""

    inputs = ("cond: bool",)
    outputs = ("outputs: any*",)
    attributes = {"then_branch": Attr("graph"), "else_branch": Attr("graph")}

    @staticmethod
    def reference(call: Call, condition: np.ndarray) -> tuple[np.ndarray, ...]:
        taken = call.then_branch if condition.reshape(()) else call.else_branch
        return call.interpret(taken, {})


@register
class Loop(_RunsSubgraph):
    """Runs a graph up to `M` times and while its condition holds.

    The body gets (iteration, condition, carried values) and gives (condition, carried values,
    scan outputs); scan outputs are stacked along a new first axis.
    """

    inputs = ("M: i64?", "cond: bool?", "v_initial: any*")
    outputs = ("v_final_and_scan_outputs: any*",)
    attributes = {"body": Attr("graph")}

    @staticmethod
    def reference(call: Call, *inputs: Any) -> tuple[np.ndarray, ...]:
        most, start, *carried = (*inputs, None, None)[: max(len(inputs), 2)]
        body: Graph = call.body
        goes_on = start is None or bool(start.reshape(()))
        stacks: list[list[np.ndarray]] = [[] for _ in body.outputs[len(carried) + 1 :]]
        trip = 0
        while goes_on and (most is None or trip < int(most.reshape(()))):
            given = [np.array(trip, np.int64), np.array(True), *carried]
            condition, *made = call.interpret(body, dict(zip(body.input_names, given, strict=True)))
            for stack, item in zip(stacks, made[len(carried) :], strict=True):
                stack.append(item)
            carried = made[: len(carried)]
            goes_on, trip = bool(condition.reshape(())), trip + 1
        first = len(body.outputs) - len(stacks)
        return (*carried, *map(_stack, stacks, body.outputs[first:]))


def _stack(items: list[np.ndarray], declared: Value, axis: int = 0) -> np.ndarray:
    """Items along a new axis; if there are none, an empty array as the body declares it."""
    if items:
        return np.stack(items, axis=axis)
    shape = [dim if is_known(dim) else 0 for dim in declared.shape]
    shape.insert(axis % (len(shape) + 1), 0)
    return np.zeros(shape, dtype=declared.dtype.value)  # type: ignore[arg-type]


@register
class Scan(_RunsSubgraph):
    """Runs a graph over the slices of the last `num_scan_inputs` inputs, carrying states along."""

    inputs = ("initial_state_and_scan_inputs: any*",)
    outputs = ("final_state_and_scan_outputs: any*",)
    attributes = {
        "num_scan_inputs": Attr("int"),
        "body": Attr("graph"),
        "scan_input_axes": Attr("ints", None),
        "scan_input_directions": Attr("ints", None),
        "scan_output_axes": Attr("ints", None),
        "scan_output_directions": Attr("ints", None),
    }

    @staticmethod
    def reference(call: Call, *inputs: np.ndarray) -> tuple[np.ndarray, ...]:
        body: Graph = call.body
        scanned, count = call.num_scan_inputs, len(inputs) - call.num_scan_inputs
        states = list(inputs[:count])
        sequences = [
            np.moveaxis(x, axis, 0)[:: -1 if backwards else 1]
            for x, axis, backwards in zip(
                inputs[count:],
                call.scan_input_axes or [0] * scanned,
                call.scan_input_directions or [0] * scanned,
                strict=True,
            )
        ]
        outputs = len(body.outputs) - count
        stacks: list[list[np.ndarray]] = [[] for _ in range(outputs)]
        for slices in zip(*sequences, strict=True):
            given = dict(zip(body.input_names, [*states, *slices], strict=True))
            made = call.interpret(body, given)
            states = list(made[:count])
            for stack, item in zip(stacks, made[count:], strict=True):
                stack.append(item)
        finished = []
        for index, stack in enumerate(stacks):
            if (call.scan_output_directions or [0] * outputs)[index]:
                stack.reverse()
            axis = (call.scan_output_axes or [0] * outputs)[index]
            finished.append(_stack(stack, body.outputs[count + index], axis))
        return (*states, *finished)
