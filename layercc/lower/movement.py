"""Lowering of ops that move data: copies, views, transposes."""

from __future__ import annotations

from collections.abc import Sequence

from ir.graph import Node
from layercc.buffers import Tensor
from layercc.jobs.movement import Fill, Move, strides_of
from layercc.lower.context import Context
from layercc.lower.registry import lowering


def copy(context: Context, source: Tensor, target: Tensor) -> None:
    """Copies a dense tensor into another place of the same size."""
    context.emit(Move(source, target, (source.size,), (1,), (1,)))


def strided_copy(
    context: Context,
    source: Tensor,
    target: Tensor,
    shape: Sequence[int],
    source_strides: Sequence[int],
    target_strides: Sequence[int],
    source_start: int = 0,
    target_start: int = 0,
) -> None:
    """Copies an index space of `shape` between two tensors; see `Move`."""
    strides = tuple(source_strides), tuple(target_strides)
    context.emit(Move(source, target, tuple(shape), *strides, source_start, target_start))


def transposed(context: Context, x: Tensor, permutation: Sequence[int], y: Tensor) -> None:
    """y = x with its dims permuted as `numpy.transpose` does it."""
    source = strides_of(x.shape)
    strided_copy(context, x, y, y.shape, [source[a] for a in permutation], strides_of(y.shape))


def fill_with(context: Context, y: Tensor, value: Tensor | None = None) -> None:
    """Writes one value (the first element of `value`, or zero) to all of a tensor."""
    context.emit(Fill(y, value))


@lowering("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity")
def view(context: Context, node: Node) -> None:
    """Another shape over the same memory: no kernel at all."""
    shape = context.shape(node.outputs[0])
    context.bind(node.outputs[0], context.tensor(node.inputs[0]).reshaped(shape))


@lowering("Transpose")
def transpose(context: Context, node: Node) -> None:
    """A permutation of dims; one that moves only dims of size 1 is a view."""
    x = context.tensor(node.inputs[0])
    permutation = context.call_of(node).perm or tuple(reversed(range(len(x.shape))))
    shape = context.shape(node.outputs[0])
    moved = [axis for axis in permutation if x.shape[axis] != 1]
    if moved == sorted(moved):
        context.bind(node.outputs[0], x.reshaped(shape))
    else:
        transposed(context, x, permutation, context.output(node.outputs[0]))
