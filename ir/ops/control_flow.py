"""If, Loop and Scan: ops that run subgraphs. Their shape rules are in `ir.control_flow`."""

from __future__ import annotations

from typing import Any

import numpy as np

from ir.control_flow import items_of_loop, items_of_scan
from ir.graph import Graph
from ir.registry import Attr, Call, Op, register
from ir.types import TensorType


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
        if not trip:
            return (*carried, *map(_empty_stack, items_of_loop(call, call.infer_body)))
        return (*carried, *map(np.stack, stacks))


def _empty_stack(item: TensorType, axis: int = 0) -> np.ndarray:
    """The stack of no items. Dims of an item that only values in the body could tell are 0."""
    shape = [dim if type(dim) is int else 0 for dim in item.shape]
    shape.insert(axis % (len(shape) + 1), 0)
    return np.zeros(shape, dtype=item.dtype.value)


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
        axes = call.scan_output_axes or [0] * outputs
        if not len(sequences[0]):
            return (*states, *map(_empty_stack, items_of_scan(call, call.infer_body), axes))
        finished = []
        for index, stack in enumerate(stacks):
            if (call.scan_output_directions or [0] * outputs)[index]:
                stack.reverse()
            finished.append(np.stack(stack, axis=axes[index]))
        return (*states, *finished)
