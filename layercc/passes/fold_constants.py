"""Computes at compile time what does not depend on the inputs.

Matches nodes whose inputs are all constants (their NumPy reference is run), and values that
inference knows, such as a Shape of static dims; makes constants. Sound because references define
what ops mean; ops that are not deterministic are left alone.

A result much larger than what it is made from (ConstantOfShape, Expand, Tile) is left to run time,
unless it serves as the weight of a contraction. Constants filled with one number take no memory:
they are arrays of stride zero.
"""

from __future__ import annotations

import math

import numpy as np

from ir.diagnostics import LayerccError
from ir.graph import Graph, Node
from ir.inference import infer
from ir.interpreter import run_node
from ir.types import TensorType
from layercc.passes.editor import GraphEditor, definition
from layercc.passes.infrastructure import graph_pass

#: Results of up to this many bytes are always folded.
SMALL_BYTES = 1 << 20
#: Larger ones, up to this many bytes, if they are not much larger than what they are made from.
LARGE_BYTES = 1 << 26
GROWTH = 4


@graph_pass("simplify")
def fold_constants(graph: Graph) -> Graph:
    """Compute at compile time what does not depend on the inputs."""
    editor = GraphEditor(graph)
    values = known_values(graph)
    for node in editor.walk():
        if node.op == "Identity":
            continue  # gives a constant the name of a graph output
        outputs = [name for name in node.outputs if name]
        arrays = None
        if all(name in values for name in outputs):
            arrays = [values[name] for name in outputs]
        elif _is_foldable(editor, node):
            arrays = _run(editor, node)
        if arrays is not None:
            _replace(editor, node, dict(zip(outputs, arrays, strict=True)))
    return editor.finish()


def known_values(graph: Graph) -> dict[str, np.ndarray]:
    """Small values that inference follows through the shape computations of a graph.

    Where there are none, nothing is known but constants, and what `fold_constants` makes of them.
    """
    if not any(node.op in ("Shape", "Size") for node in graph.nodes):
        return {}
    values = infer(graph).values
    return {name: array for name, array in values.items() if array.dtype != object}


def _is_foldable(editor: GraphEditor, node: Node) -> bool:
    op = definition(node)
    if op is None or not op.deterministic or any(node.subgraphs()):
        return False
    if not all(name in editor.constants for name in node.inputs if name):
        return False
    if not any(node.inputs):
        return op.name == "Range"
    types = [editor.types[name] for name in node.outputs if name]
    if not all(kind.is_static for kind in types):
        return False
    made = sum(map(_nbytes, types))
    given = sum(editor.constants[name].nbytes for name in node.inputs if name)
    if made <= SMALL_BYTES or made <= given:
        return True
    if made <= min(GROWTH * given, LARGE_BYTES):
        return True
    return any(_is_weight(editor, name) for name in node.outputs if name)


def _is_weight(editor: GraphEditor, name: str, depth: int = 3) -> bool:
    """Whether a contraction reads the value, perhaps behind a few rearrangements."""
    for reader in editor.readers(name):
        op = definition(reader)
        if op is not None and op.weighted:
            return True
        moved = reader.op in ("Reshape", "Transpose", "Identity", "Cast", "Unsqueeze", "Squeeze")
        if depth and moved and _is_weight(editor, reader.outputs[0], depth - 1):
            return True
    return False


def _run(editor: GraphEditor, node: Node) -> list[np.ndarray] | None:
    kind = editor.types[next(filter(None, node.outputs))]
    if node.op == "ConstantOfShape":
        value = node.attributes.get("value")
        fill = np.zeros(1, kind.dtype.value) if value is None else np.asarray(value)
        return [np.broadcast_to(fill.reshape(()), static_shape(kind))]
    if node.op == "Expand":
        return [np.broadcast_to(editor.constants[node.inputs[0]], static_shape(kind))]
    try:
        with np.errstate(all="ignore"):
            made = run_node(node, editor.constants)
    except LayerccError:
        return None  # what is wrong with it shows when it runs, with a better message
    return [array for name, array in zip(node.outputs, made, strict=False) if name]


def _replace(editor: GraphEditor, node: Node, arrays: dict[str, np.ndarray]) -> None:
    """Constants take over the names of a node's outputs, except of those that the graph returns."""
    values = [
        editor.add_constant(arrays[name], name) if editor.is_output(name) else name
        for name in node.outputs
    ]
    editor.replace(node, values)
    for name, value in zip(node.outputs, values, strict=True):
        if name and name == value:
            editor.set_constant(name, arrays[name])


def static_shape(kind: TensorType) -> tuple[int, ...]:
    """The shape of a type whose dims are all known integers."""
    return tuple(dim for dim in kind.shape if isinstance(dim, int))


def _nbytes(kind: TensorType) -> int:
    return math.prod(static_shape(kind)) * kind.dtype.itemsize
