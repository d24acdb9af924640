"""Recognises activation functions that an exporter wrote out.

Matches the expressions in `EXPRESSIONS`; makes the one op that each of them computes. Sound because
the op is defined by that expression; its own implementation is at least as accurate (Softplus does
not overflow where exp does).
"""

from __future__ import annotations

from typing import Any

from ir.graph import Graph, Node
from layercc.passes.editor import GraphEditor, Replacement, rewrite
from layercc.passes.infrastructure import graph_pass
from layercc.passes.matching import find

_SIXTH = "0.16666666666666666"
_RAMP = "Clip(Add(x, 3), 0, 6)"
_HARD_SIGMOID = {"alpha": 1 / 6, "beta": 0.5}

#: Expression → op and attributes. The only free name is x.
EXPRESSIONS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("Div(1, Add(Exp(Neg(x)), 1)) | Reciprocal(Add(Exp(Neg(x)), 1))", "Sigmoid", {}),
    ("Log(Add(Exp(x), 1))", "Softplus", {}),
    ("Mul(x, Sigmoid(x))", "Swish", {}),
    ("Mul(x, Tanh(Softplus(x)))", "Mish", {}),
    (f"Div(Mul(x, {_RAMP}), 6) | Mul(Mul(x, {_RAMP}), {_SIXTH})", "HardSwish", {}),
    (f"Mul(x, Div({_RAMP}, 6)) | Mul(x, Mul({_RAMP}, {_SIXTH}))", "HardSwish", {}),
    (f"Div({_RAMP}, 6) | Mul({_RAMP}, {_SIXTH})", "HardSigmoid", _HARD_SIGMOID),
)


@graph_pass("simplify")
def recognize_activations(graph: Graph) -> Graph:
    """Recognise Sigmoid, Softplus, Swish, Mish, HardSwish and HardSigmoid written out."""
    return rewrite(graph, dict.fromkeys(("Div", "Reciprocal", "Log", "Mul"), _activation))


def _activation(editor: GraphEditor, node: Node) -> Replacement:
    for expression, op, attributes in EXPRESSIONS:
        match = find(editor, node, expression)
        if match is not None and editor.types[match["x"]] == editor.types[node.outputs[0]]:
            return editor.emit(op, (match["x"],), attributes, like=node)
    if node.op != "Mul":
        return None
    match = find(editor, node, "Mul(x, (gate := HardSigmoid(x)))")
    if match is not None:
        gate = editor.producer(match["gate"])
        if gate is not None and _is_standard(gate):
            return editor.emit("HardSwish", (match["x"],), like=node)
    match = find(editor, node, "Mul(x, Sigmoid(Mul(x, alpha)))")
    if match is not None and match["x"] != match["alpha"]:
        alpha = editor.scalar(match["alpha"])
        same = editor.types[match["x"]] == editor.types[node.outputs[0]]
        if alpha is not None and same:
            return editor.emit("Swish", (match["x"],), {"alpha": float(alpha)}, like=node)
    return None


def _is_standard(gate: Node) -> bool:
    """Whether a HardSigmoid is x/6 + 1/2, as in HardSwish."""
    alpha, beta = gate.attributes.get("alpha", 0.2), gate.attributes.get("beta", 0.5)
    return abs(alpha - 1 / 6) < 1e-7 and beta == 0.5
