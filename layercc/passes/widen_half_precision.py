"""Has contractions of f16 and bf16 computed in f32.

Matches Conv, ConvTranspose, MatMul, DFT, STFT and AffineGrid of half-precision operands; makes the
same node on operands cast to f32 (constants are converted here), with a Cast back behind it. Sound
because the values of both types are values of f32, and the one rounding at the end is nearer to the
exact result than one after each step. The Casts are pointwise and fuse with what surrounds them.
"""

from __future__ import annotations

import numpy as np

from ir.dtypes import ONNX_DTYPES, DType
from ir.graph import Graph, Node
from layercc.passes.editor import GraphEditor, Replacement, rewrite
from layercc.passes.infrastructure import graph_pass

_OPS = ("Conv", "ConvTranspose", "MatMul", "DFT", "STFT", "AffineGrid")
_CODES = {dtype: code for code, dtype in ONNX_DTYPES.items()}


@graph_pass("optimize")
def widen_half_precision(graph: Graph) -> Graph:
    """Compute contractions and transforms of f16 and bf16 in f32."""
    return rewrite(graph, dict.fromkeys(_OPS, _widened))


def _widened(editor: GraphEditor, node: Node) -> Replacement:
    dtype = editor.types[node.inputs[0]].dtype
    if dtype not in (DType.f16, DType.bf16):
        return None
    inputs = [_in_f32(editor, name) for name in node.inputs]
    product = editor.emit(node.op, inputs, node.attributes, like=node)
    return editor.emit("Cast", (product,), {"to": _CODES[dtype]}, like=node)


def _in_f32(editor: GraphEditor, name: str) -> str:
    if not name or editor.types[name].dtype not in (DType.f16, DType.bf16):
        return name  # absent, or a length
    array = editor.constant(name)
    if array is not None:
        return editor.add_constant(array.astype(np.float32), f"{name}.f32")
    return editor.emit("Cast", (name,), {"to": _CODES[DType.f32]})
