"""Values of narrow types computed in wider ones inside a replacement, and rounded once at its end.

An op that a pass writes as several must still round once, and kernels round f16 and bf16 after each
op.
"""

from __future__ import annotations

from ir.dtypes import HALVES, DType
from ir.graph import Node
from layercc.passes.editor import GraphEditor


def is_half(editor: GraphEditor, name: str) -> bool:
    """Whether a value is f16 or bf16."""
    return bool(name) and editor.types[name].dtype in HALVES


def in_type(editor: GraphEditor, name: str, dtype: DType, like: Node | None = None) -> str:
    """A value in an element type, a constant converted here; as it is where it has that, or is
    absent."""
    if not name or editor.types[name].dtype is dtype:
        return name
    array = editor.constant(name)
    if array is not None:
        return editor.add_constant(array.astype(dtype.value), f"{name}.{dtype}")
    return editor.emit("Cast", (name,), {"to": dtype.onnx}, like=like)


def in_f32(editor: GraphEditor, name: str) -> str:
    """A half-precision value as f32; any other as it is."""
    return in_type(editor, name, DType.f32) if is_half(editor, name) else name


def in_type_of(editor: GraphEditor, name: str, original: str, like: Node) -> str:
    """`name` in the element type of the value `original`."""
    return in_type(editor, name, editor.types[original].dtype, like)
