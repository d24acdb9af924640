"""Has contractions of narrow types computed in wider ones: of f16 and bf16 in f32, of integers of 8
and 16 bits in 32.

Matches contractions (`Op.contraction`: Conv, ConvTranspose, MatMul, DFT, STFT, AffineGrid) of such
operands; makes the same node on operands cast to the wider type (constants are converted here),
with a Cast back behind it. Sound because the values of the narrow types are values of the wider
ones; because the one rounding of a half-precision result at the end is nearer to the exact one than
one after each step; and because integers wrap around, and so the low bits of a sum of products
depend on the low bits alone. The Casts are pointwise and fuse with what surrounds them.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from ir.dtypes import DTYPE_SETS, HALVES, DType
from ir.graph import Graph, Node
from ir.registry import all_ops
from layercc.passes.editor import GraphEditor, Replacement, rewrite
from layercc.passes.infrastructure import graph_pass
from layercc.passes.precision import in_type, in_type_of

_HALVES = dict.fromkeys(HALVES, DType.f32)
_INTEGERS = {dtype: DType.i32 for dtype in DTYPE_SETS["int"] if dtype.bits < 32}
#: What kernels multiply where they multiply half-precision operands.
_OF_HALVES = ("Conv", "MatMul")


@graph_pass("optimize")
def widen_contractions(graph: Graph) -> Graph:
    """Compute contractions and transforms of narrow types in types that kernels multiply."""
    ops = {op.name for op in all_ops() if op.contraction}
    return rewrite(graph, dict.fromkeys(ops, partial(_widened, wider=_HALVES | _INTEGERS)))


@graph_pass("optimize")
def widen_contractions_but_halves(graph: Graph) -> Graph:
    """The same for targets that multiply half-precision operands and add in f32, as
    `layercc.target.Target.multiplies_halves` says: Conv and MatMul of f16 and bf16 stay."""
    ops = {op.name for op in all_ops() if op.contraction}
    every = partial(_widened, wider=_HALVES | _INTEGERS)
    rules = dict.fromkeys(ops, every)
    rules |= dict.fromkeys(_OF_HALVES, partial(_widened, wider=_INTEGERS))
    return rewrite(graph, rules)


def _widened(editor: GraphEditor, node: Node, wider: Mapping[DType, DType]) -> Replacement:
    x = node.inputs[0]
    if editor.types[x].dtype not in wider:
        return None
    inputs = [_wider(editor, name, wider) for name in node.inputs]
    product = editor.emit(node.op, inputs, node.attributes, like=node)
    return in_type_of(editor, product, x, node)


def _wider(editor: GraphEditor, name: str, wider: Mapping[DType, DType]) -> str:
    wide = wider.get(editor.types[name].dtype) if name else None
    return name if wide is None else in_type(editor, name, wide)  # absent, or a length
