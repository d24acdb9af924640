"""Applies what follows a contraction to its result while that is in registers or cache.

Matches a contraction that takes an epilogue (`Op.epilogue`: Conv, ConvTranspose, MatMul), the
anchor, and the chain of pointwise nodes behind it, each the only reader of the one before: bias,
activation, residual sum, clipping, scale by channel. Every other operand has the element type of
the result, which is the only one that kernels read, and is a single element, a vector along the
last axis, or a tensor of the result's full shape. Makes one `layercc.Fused` of kind "contraction",
in the place of the last node: anchor first, then the chain in order. Sound because nothing else
reads the values in between, and operands cannot depend on the chain but through it, so they are all
made before its last node.
"""

from __future__ import annotations

from ir.graph import Graph, Node
from ir.types import TensorType
from layercc.passes.editor import GraphEditor, definition
from layercc.passes.fusion import group, is_pointwise
from layercc.passes.infrastructure import graph_pass

#: Length of a chain beyond which registers for its operands run out.
MAX_EPILOGUE = 16


@graph_pass("optimize")
def fuse_epilogues(graph: Graph) -> Graph:
    """Fuse contractions with the bias, activation and residual sum that follow them."""
    editor = GraphEditor(graph)
    chains: dict[str, list[Node]] = {}  # by the value that the chain ends in
    taken: set[str] = set()
    for node in graph.nodes:
        op = definition(node)
        if op is not None and op.epilogue:
            chain = [node, *_epilogue(editor, node, taken)]
            if len(chain) > 1:
                chains[chain[-1].outputs[0]] = chain
                taken.update(each.outputs[0] for each in chain)
    for node in editor.walk():
        found = chains.get(node.outputs[0])
        if found is not None:
            editor.update(node, group(editor.types, "contraction", found, node.outputs))
    return editor.finish()


def _epilogue(editor: GraphEditor, anchor: Node, taken: set[str]) -> list[Node]:
    """The pointwise nodes behind an anchor that can run on its result, in order."""
    kind = editor.types[anchor.outputs[0]]
    if not kind.shape:
        return []
    chain: list[Node] = []
    current = anchor.outputs[0]
    while len(chain) < MAX_EPILOGUE and editor.single_use(current):
        (reader,) = editor.readers(current)
        if not is_pointwise(reader) or reader.outputs[0] in taken:
            break
        if editor.types[reader.outputs[0]] != kind:
            break
        others = [name for name in reader.inputs if name and name != current]
        if not all(_fits(editor.types[name], kind) for name in others):
            break
        chain.append(reader)
        current = reader.outputs[0]
    return chain


def _fits(operand: TensorType, result: TensorType) -> bool:
    """Whether an operand is one element, a vector along the last axis, or of full shape, and of
    the same element type."""
    if operand.dtype is not result.dtype:
        return False
    if operand.shape == result.shape:
        return True
    leading, last = operand.shape[:-1], operand.shape[-1:]
    return (
        operand.rank <= result.rank
        and all(dim == 1 for dim in leading)
        and (last in ((), (1,)) or last == result.shape[-1:])
    )
