"""Recognises GELU, with erf or with tanh, that an exporter wrote out.

Matches `0.5 * x * (1 + erf(x / sqrt(2)))` and
`0.5 * x * (1 + tanh(sqrt(2/pi) * (x + 0.044715 * x**3)))`, in every order of the products; makes
Gelu with `approximate="none"` or `"tanh"`. Sound because those are its definitions
(Hendrycks and Gimpel, "Gaussian Error Linear Units", arXiv 1606.08415).
"""

from __future__ import annotations

from ir.graph import Graph, Node
from layercc.passes.editor import GraphEditor, Replacement, attribute, rewrite
from layercc.passes.infrastructure import graph_pass
from layercc.passes.matching import find
from layercc.passes.precision import is_half

_ERF = "Erf(Div(x, 1.4142135623730951) | Mul(x, 0.7071067811865476))"
_CUBE = "(Pow(x, 3) | Mul(x, Mul(x, x)))"
_CUBIC = (
    f"(Add(x, Mul({_CUBE}, 0.044715)) | Mul(x, Add(Mul(Mul(x, x), 0.044715), 1))"
    " | Mul(x, Add(Mul(x, Mul(x, 0.044715)), 1)) | Add(x, Mul(x, Mul(Mul(x, x), 0.044715)))"
    " | Add(x, Mul(Mul(x, x), Mul(x, 0.044715))))"
)
_TANH = (
    f"Tanh(Mul({_CUBIC}, 0.7978845608028654)"
    " | Mul(Mul(x, 0.7978845608028654), Add(Mul(x, Mul(x, 0.044715)), 1))"
    " | Mul(Mul(x, 0.7978845608028654), Add(Mul(Mul(x, x), 0.044715), 1)))"
)


def _product(function: str) -> str:
    """x * 0.5 * (function + 1), associated in any way."""
    total = f"Add({function}, 1)"
    return f"Mul(Mul(x, {total}), 0.5) | Mul(x, Mul({total}, 0.5)) | Mul(Mul(x, 0.5), {total})"


_KINDS = (("none", _product(_ERF)), ("tanh", _product(_TANH)))


@graph_pass("simplify")
def recognize_gelu(graph: Graph) -> Graph:
    """Recognise GELU written out with erf or tanh."""
    rules = {
        "Mul": _gelu,
        "com.microsoft.Gelu": _microsoft,
        "com.microsoft.BiasGelu": _microsoft,
        "com.microsoft.FastGelu": _microsoft,
        "com.microsoft.QuickGelu": _quick,
    }
    return rewrite(graph, rules)


def _gelu(editor: GraphEditor, node: Node) -> Replacement:
    for approximate, pattern in _KINDS:
        match = find(editor, node, pattern)
        if match is not None and editor.types[match["x"]] == editor.types[node.outputs[0]]:
            return editor.emit("Gelu", (match["x"],), {"approximate": approximate}, like=node)
    return None


def _microsoft(editor: GraphEditor, node: Node) -> Replacement:
    """onnxruntime's own forms: with a bias, or the tanh approximation."""
    x = node.inputs[0]
    if len(node.inputs) > 1 and node.inputs[1]:
        if is_half(editor, x):
            return None  # a sum of its own would be rounded
        x = editor.emit("Add", node.inputs, like=node)
    approximate = "tanh" if node.op == "com.microsoft.FastGelu" else "none"
    return editor.emit("Gelu", (x,), {"approximate": approximate}, like=node)


def _quick(editor: GraphEditor, node: Node) -> Replacement:
    """x * sigmoid(alpha * x)."""
    alpha = attribute(node, "alpha")
    return editor.emit("Swish", (node.inputs[0],), {"alpha": alpha}, like=node)
