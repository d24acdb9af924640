"""The fused group: several ops that are lowered to one kernel. Made by passes, never imported.

Its shape rule is in `ir.control_flow`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ir.dims import Dim
from ir.inference import infer
from ir.registry import Attr, Call, Op, register


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
    def reference(call: Call, *inputs: Any) -> tuple[np.ndarray, ...]:
        from ir.interpreter import interpret  # above the ops in the import order

        made = interpret(call.body, dict(zip(call.body.input_names, inputs, strict=True)))
        return tuple(made[name] for name in call.body.output_names)

    @staticmethod
    def flops(call: Call) -> Dim:
        from ir.cost import graph_cost  # the cost of a graph is above the ops in the import order

        names = call.body.input_names
        shapes = {n: kind.shape for n, kind in zip(names, call.types, strict=True) if kind}
        values = {n: a for n, a in zip(names, call.values, strict=True) if a is not None}
        return graph_cost(call.body, infer(call.body, shapes, values)).flops
