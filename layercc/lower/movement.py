"""Lowering of ops that move data: copies, views, transposes, joins and slices."""

from __future__ import annotations

from ir.graph import Node
from layercc.cpu.kernels.copy import copy as copy_kernel
from layercc.lower.context import Context, Tensor
from layercc.lower.registry import lowering

#: Elements a task of a simple loop takes: large enough to hide the cost of a task.
CHUNK = 1 << 16


def copy(context: Context, source: Tensor, target: Tensor) -> None:
    """Copies a dense tensor into another place of the same size."""
    context.call(
        copy_kernel.key(str(source.dtype)),
        tasks=-(-source.size // CHUNK),
        x=source,
        y=target,
        n=source.size,
        chunk=CHUNK,
    )


@lowering("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity")
def view(context: Context, node: Node) -> None:
    """Another shape over the same memory: no kernel at all."""
    shape = context.shape(node.outputs[0])
    context.bind(node.outputs[0], context.tensor(node.inputs[0]).reshaped(shape))
