"""Takes pointwise nodes of very many operands apart.

Matches Sum, Mean, Max and Min of more than `MOST_OPERANDS`; makes a chain of nodes of so many, each
of which goes on from the result of the one before, and for Mean a division behind it. Sound because
these ops take their operands from left to right (`ir.scalar`), so that the chain does the same
arithmetic in the same order. A kernel of thousands of operands would take minutes to compile.
"""

from __future__ import annotations

import numpy as np

from ir.graph import Graph, Node
from layercc.passes.editor import GraphEditor, Replacement, rewrite
from layercc.passes.infrastructure import graph_pass

MOST_OPERANDS = 16


@graph_pass("simplify")
def divide_variadic(graph: Graph) -> Graph:
    """Take Sum, Mean, Max and Min of very many operands apart."""
    return rewrite(graph, dict.fromkeys(("Sum", "Mean", "Max", "Min"), _chain))


def _chain(editor: GraphEditor, node: Node) -> Replacement:
    first, *rest = node.inputs
    if len(rest) < MOST_OPERANDS:
        return None
    op = "Sum" if node.op == "Mean" else node.op
    step = MOST_OPERANDS - 1
    for start in range(0, len(rest), step):
        first = editor.emit(op, (first, *rest[start : start + step]), like=node)
    if node.op != "Mean":
        return first
    count = np.array(len(node.inputs), editor.types[first].dtype.value)
    return editor.emit("Div", (first, editor.add_constant(count, f"{node.name}.count")), like=node)
