"""Lowering of reads and writes at run-time indices."""

from __future__ import annotations

import math

import numpy as np

from ir.graph import Node
from layercc.buffers import Tensor
from layercc.jobs import indexing as jobs
from layercc.lower.context import Context
from layercc.lower.movement import copy
from layercc.lower.registry import lowering


def in_range(context: Context, node: Node, index: int) -> Tensor:
    """Input `index` of the node, integers, none of which is outside of its range any more.

    A run reports those that are; what goes for them is in range, unless no integer is.
    """
    given = context.tensor(node.inputs[index])
    if context.is_constant(node.inputs[index]):  # inference has seen to it
        return given
    call = context.call_of(node)
    low, high = call.op.ranges(call)[index]
    assert isinstance(low, int) and isinstance(high, int)
    checked = context.scratch(given.dtype, given.shape)
    context.emit(jobs.Bound(given, checked, low, high, context.check(index)))
    return checked


def take(context: Context, x: Tensor, indices: np.ndarray, y: Tensor, axis: int) -> None:
    """y = x at known `indices` along `axis`, as `numpy.take`."""
    context.emit(jobs.Gather(x, context.constant(indices), y, axis))


@lowering("Gather")
def gather(context: Context, node: Node) -> None:
    """A slice for each index; one known index over a dense stretch is a view."""
    x = context.tensor(node.inputs[0])
    axis = context.call_of(node).axis % len(x.shape)
    known = context.value(node.inputs[1])
    if known is not None and known.size == 1 and math.prod(x.shape[:axis]) == 1 and x.size:
        at = int(known.reshape(())) % x.shape[axis]
        nbytes = x.nbytes // x.shape[axis]
        shape = context.shape(node.outputs[0])
        context.bind(node.outputs[0], x.moved(at * nbytes).reshaped(shape))
        return
    indices, y = context.tensor(node.inputs[1]), context.output(node.outputs[0])
    if math.prod(x.shape[:axis]):
        context.emit(jobs.Gather(x, indices, y, axis, context.check(1)))
    else:
        in_range(context, node, 1)


@lowering("GatherElements")
def gather_elements(context: Context, node: Node) -> None:
    """One element for each index."""
    x, indices = context.tensor(node.inputs[0]), context.tensor(node.inputs[1])
    y = context.output(node.outputs[0])
    axis = context.call_of(node).axis % len(x.shape)
    if x.size:
        context.emit(jobs.GatherElements(x, indices, y, axis, context.check(1)))
    else:
        in_range(context, node, 1)


@lowering("GatherND")
def gather_nd(context: Context, node: Node) -> None:
    """A slice for each tuple of indices."""
    x, indices = context.tensor(node.inputs[0]), context.tensor(node.inputs[1])
    batch = context.call_of(node).batch_dims
    y = context.output(node.outputs[0])
    context.emit(jobs.GatherND(x, indices, y, batch, context.check(1)))


def _copied(context: Context, node: Node) -> Tensor:
    """The output, holding the elements of the first input."""
    x = context.tensor(node.inputs[0])
    y = context.output(node.outputs[0], reuse=x)
    if y.buffer is not x.buffer:
        copy(context, x, y)
    return y


@lowering("ScatterElements")
def scatter_elements(context: Context, node: Node) -> None:
    """A copy of the data, into which updates are written one after another."""
    call = context.call_of(node)
    indices, updates = context.tensor(node.inputs[1]), context.tensor(node.inputs[2])
    y = _copied(context, node)
    axis = call.axis % len(y.shape)
    if y.size:
        check = context.check(1)
        context.emit(jobs.ScatterElements(y, indices, updates, axis, call.reduction, check))
    else:
        in_range(context, node, 1)


@lowering("ScatterND")
def scatter_nd(context: Context, node: Node) -> None:
    """A copy of the data, into which slices are written one after another."""
    call = context.call_of(node)
    indices, updates = context.tensor(node.inputs[1]), context.tensor(node.inputs[2])
    y = _copied(context, node)
    context.emit(jobs.ScatterND(y, indices, updates, call.reduction, context.check(1)))


@lowering("TensorScatter")
def tensor_scatter(context: Context, node: Node) -> None:
    """A copy of the cache, or the cache itself where nobody else reads it, with new rows."""
    call = context.call_of(node)
    update = context.tensor(node.inputs[1])
    y = _copied(context, node)
    axis = call.axis % len(y.shape)
    circular = call.mode == "circular"
    if not call.has(2):
        starts = context.constant(np.zeros(y.shape[0], np.int64))
    elif circular:
        starts = context.tensor(node.inputs[2])
    else:
        starts = in_range(context, node, 2)
    if circular or update.shape[axis] <= y.shape[axis]:  # else any index is out of range
        context.emit(jobs.WriteSequence(update, starts, y, axis, circular))


@lowering("OneHot")
def one_hot(context: Context, node: Node) -> None:
    """Off everywhere, then on where the indices say; indices outside leave all off."""
    indices, values = context.tensor(node.inputs[0]), context.tensor(node.inputs[2])
    y = context.output(node.outputs[0])
    axis = context.call_of(node).axis % len(y.shape)
    context.emit(jobs.OneHot(indices, values, y, axis))


@lowering("ReverseSequence")
def reverse_sequence(context: Context, node: Node) -> None:
    """Rows in reverse order up to each batch element's length."""
    call = context.call_of(node)
    x, y = context.tensor(node.inputs[0]), context.output(node.outputs[0])
    time, batch = (axis % len(x.shape) for axis in (call.time_axis, call.batch_axis))
    context.emit(jobs.ReverseSequence(x, in_range(context, node, 1), y, time, batch))


@lowering("Trilu")
def trilu(context: Context, node: Node) -> None:
    """A triangle of each matrix."""
    call = context.call_of(node)
    x = context.tensor(node.inputs[0])
    y = context.output(node.outputs[0], reuse=x)
    k = context.tensor(node.inputs[1]) if call.has(1) else context.constant(_ZERO)
    context.emit(jobs.Triangle(x, k, y, bool(call.upper)))


_ZERO = np.zeros(1, np.int64)
