"""The fused group: several ops that are lowered to one kernel. Made by passes, never imported."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ir.dims import Dim
from ir.inference import Inference, infer
from ir.registry import Attr, Call, Op, register
from ir.types import TensorType


@register
class Fused(Op):
    """Runs `body`, a closed graph: its inputs are this node's inputs, in order.

    `kind` says what the group is built around (`contraction`, `pointwise`, `reduction`,
    `attention`, ...): lowering chooses the kernel by it. The meaning is the body's, always.
    """

    name = "layercc.Fused"
    inputs = ("inputs: any*",)
    outputs = ("outputs: any*",)
    attributes = {"kind": Attr("string"), "body": Attr("graph")}

    @staticmethod
    def infer(call: Call) -> Sequence[TensorType]:
        result = _infer_body(call)
        return [result.types[name] for name in call.body.output_names]

    @staticmethod
    def reference(call: Call, *inputs: Any) -> tuple[np.ndarray, ...]:
        from ir.interpreter import interpret  # above the ops in the import order

        made = interpret(call.body, dict(zip(call.body.input_names, inputs, strict=True)))
        return tuple(made[name] for name in call.body.output_names)

    @staticmethod
    def flops(call: Call) -> Dim:
        from ir.cost import graph_cost  # the cost of a graph is above the ops in the import order

        return graph_cost(call.body, _infer_body(call)).flops


def _infer_body(call: Call) -> Inference:
    shapes, values = {}, {}
    for name, kind, value in zip(call.body.input_names, call.types, call.values, strict=True):
        if kind is None:
            call.fail(f"input {name!r} of the group is absent", "missing-input")
        shapes[name] = kind.shape
        if value is not None:
            values[name] = value
    result = infer(call.body, shapes, values)
    for problem in result.errors:
        call.fail(f"{problem.op} {problem.node!r} of it: {problem.message}", problem.code)
    return result
