"""Lowering of reads and writes at run-time indices."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ir.diagnostics import UnsupportedError
from ir.dtypes import DType
from ir.graph import Node
from layercc.cpu.kernels import gathering as kernels
from layercc.lower.context import Context, Given, Tensor
from layercc.lower.movement import CHUNK, copy, moved_as, strides_of
from layercc.lower.registry import lowering

#: Indices that a task looks up at least.
_LOOKUPS = 1 << 12


def in_range(context: Context, node: Node, index: int) -> Tensor:
    """Input `index` of the node, integers, none of which is outside of its range any more.

    A run reports those that are; what goes for them is in range, unless no integer is.
    """
    given = context.tensor(node.inputs[index])
    if context.is_constant(node.inputs[index]):  # inference has seen to it
        return given
    call = context.call_of(node)
    low, high = call.op.ranges(call)[index]
    checked = context.scratch(given.dtype, given.shape)
    context.call(
        kernels.in_range.key(str(given.dtype)),
        tasks=int(given.size > 0),
        x=given,
        y=checked,
        n=given.size,
        low=low,
        high=high,
        fault=context.check(index),
    )
    return checked


def take(
    context: Context, x: Tensor, indices: Tensor, y: Tensor, axis: int, fault: Given | None = None
) -> None:
    """y = x at `indices` along `axis`, as `numpy.take`; i32 or i64 indices, see the kernel.

    Those outside of the dim are reported through `fault`; without it there are none.
    """
    outer, size = math.prod(x.shape[:axis]), x.shape[axis]
    inner = math.prod(x.shape[axis + 1 :])
    reporting: Any = {} if fault is None else {"fault": fault}
    slices = outer * indices.size
    chunk = max(min(CHUNK // max(inner, 1), _LOOKUPS), 1)
    context.call(
        kernels.gather.key(moved_as(x.dtype), str(indices.dtype)),
        tasks=-(-slices // chunk),
        x=x,
        indices=indices,
        y=y,
        outer=outer,
        size=size,
        count=indices.size,
        inner=inner if x.size else 0,
        chunk=chunk,
        **reporting,
    )


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
        take(context, x, indices, y, axis, context.check(1))
    else:
        in_range(context, node, 1)


def _dims(context: Context, sizes: Sequence[int], strides: Sequence[int]) -> Tensor:
    """Sizes and strides as a constant table."""
    table = np.array([*zip(sizes, strides, strict=True)] or [(1, 0)], np.int64)
    return context.constant(table)


@lowering("GatherElements")
def gather_elements(context: Context, node: Node) -> None:
    """One element for each index."""
    x, indices = context.tensor(node.inputs[0]), context.tensor(node.inputs[1])
    y = context.output(node.outputs[0])
    axis = context.call_of(node).axis % len(x.shape)
    strides = strides_of(x.shape)
    others = [0 if d == axis else s for d, s in enumerate(strides)]
    if not x.size:
        in_range(context, node, 1)
        return
    context.call(
        kernels.gather_elements.key(moved_as(x.dtype), str(indices.dtype)),
        tasks=-(-y.size // _LOOKUPS),
        x=x,
        indices=indices,
        y=y,
        dims=_dims(context, indices.shape, others),
        rank=len(indices.shape),
        size=x.shape[axis],
        stride=strides[axis],
        n=y.size,
        chunk=_LOOKUPS,
        fault=context.check(1),
    )


@lowering("GatherND")
def gather_nd(context: Context, node: Node) -> None:
    """A slice for each tuple of indices."""
    x, indices = context.tensor(node.inputs[0]), context.tensor(node.inputs[1])
    y = context.output(node.outputs[0])
    batch = context.call_of(node).batch_dims
    length = indices.shape[-1]
    span = slice(batch, batch + length)
    inner = math.prod(x.shape[batch + length :])
    count = math.prod(indices.shape[:-1])
    chunk = max(min(CHUNK // max(inner, 1), _LOOKUPS), 1)
    context.call(
        kernels.gather_nd.key(moved_as(x.dtype)),
        tasks=-(-count // chunk),
        x=x,
        indices=indices,
        y=y,
        dims=_dims(context, x.shape[span], strides_of(x.shape)[span]),
        length=length,
        tuples=max(math.prod(indices.shape[batch:-1]), 1),
        batch_stride=math.prod(x.shape[batch:]),
        count=count,
        inner=inner if x.size else 0,
        chunk=chunk,
        fault=context.check(1),
    )


def _scattered_as(node: Node, dtype: DType, reduction: str) -> str:
    """The type under which updates are handled: by size if they are only moved."""
    if reduction == "none":
        return moved_as(dtype)
    if str(dtype)[0] not in "fiu" and dtype != DType.bf16:
        raise UnsupportedError(f"{node}: no kernel for reduction {reduction!r} of {dtype}")
    return str(dtype)


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
    strides = strides_of(y.shape)
    others = [0 if d == axis else s for d, s in enumerate(strides)]
    dtype = _scattered_as(node, y.dtype, call.reduction)
    if not y.size:
        in_range(context, node, 1)
        return
    context.call(
        kernels.scatter_elements.key(dtype, str(indices.dtype), call.reduction),
        tasks=int(updates.size > 0),
        y=y,
        indices=indices,
        updates=updates,
        dims=_dims(context, indices.shape, others),
        rank=len(indices.shape),
        size=y.shape[axis],
        stride=strides[axis],
        n=updates.size,
        fault=context.check(1),
    )


@lowering("ScatterND")
def scatter_nd(context: Context, node: Node) -> None:
    """A copy of the data, into which slices are written one after another."""
    call = context.call_of(node)
    indices, updates = context.tensor(node.inputs[1]), context.tensor(node.inputs[2])
    y = _copied(context, node)
    length = indices.shape[-1]
    context.call(
        kernels.scatter_nd.key(_scattered_as(node, y.dtype, call.reduction), call.reduction),
        tasks=1,
        y=y,
        indices=indices,
        updates=updates,
        dims=_dims(context, y.shape[:length], strides_of(y.shape)[:length]),
        length=length,
        count=math.prod(indices.shape[:-1]),
        inner=math.prod(y.shape[length:]) if y.size else 0,
        fault=context.check(1),
    )


@lowering("TensorScatter")
def tensor_scatter(context: Context, node: Node) -> None:
    """A copy of the cache, or the cache itself where nobody else reads it, with new rows."""
    call = context.call_of(node)
    update = context.tensor(node.inputs[1])
    y = _copied(context, node)
    axis = call.axis % len(y.shape)
    batch, size, count = y.shape[0], y.shape[axis], update.shape[axis]
    circular = call.mode == "circular"
    if not call.has(2):
        starts = context.constant(np.zeros(batch, np.int64))
    elif circular:
        starts = context.tensor(node.inputs[2])
    else:
        starts = in_range(context, node, 2)
    rows = math.prod(y.shape[1:axis])
    fits = circular or count <= size  # else the shapes are wrong, or any index is out of range
    context.call(
        kernels.write_sequence.key(moved_as(y.dtype)),
        tasks=batch * rows if y.size and update.size and fits else 0,
        x=update,
        starts=starts,
        y=y,
        rows=rows,
        size=size,
        count=count,
        inner=math.prod(y.shape[axis + 1 :]),
        circular=int(circular),
    )


@lowering("OneHot")
def one_hot(context: Context, node: Node) -> None:
    """Off everywhere, then on where the indices say; indices outside leave all off."""
    indices, values = context.tensor(node.inputs[0]), context.tensor(node.inputs[2])
    y = context.output(node.outputs[0])
    axis = context.call_of(node).axis % len(y.shape)
    outer, inner = math.prod(y.shape[:axis]), math.prod(y.shape[axis + 1 :])
    depth = y.shape[axis]
    chunk = max(CHUNK // max(depth * inner, 1), 1)
    context.call(
        kernels.one_hot.key(moved_as(values.dtype), str(indices.dtype)),
        tasks=-(-outer // chunk) if y.size else 0,
        indices=indices,
        values=values,
        y=y,
        outer=outer,
        depth=depth,
        inner=inner,
        chunk=chunk,
    )


@lowering("ReverseSequence")
def reverse_sequence(context: Context, node: Node) -> None:
    """Rows in reverse order up to each batch element's length."""
    call = context.call_of(node)
    x, y = context.tensor(node.inputs[0]), context.output(node.outputs[0])
    rank = len(x.shape)
    time, batch = call.time_axis % rank, call.batch_axis % rank
    first, second = sorted((time, batch))
    n0, n2 = math.prod(x.shape[:first]), math.prod(x.shape[first + 1 : second])
    inner = math.prod(x.shape[second + 1 :])
    positions = n0 * x.shape[first] * n2 * x.shape[second]
    chunk = max(min(CHUNK // max(inner, 1), _LOOKUPS), 1)
    context.call(
        kernels.reverse_sequence.key(moved_as(x.dtype)),
        tasks=-(-positions // chunk) if x.size else 0,
        x=x,
        lengths=in_range(context, node, 1),
        y=y,
        n0=n0,
        n1=x.shape[first],
        n2=n2,
        n3=x.shape[second],
        inner=inner,
        batch_first=int(batch < time),
        chunk=chunk,
    )


@lowering("Trilu")
def trilu(context: Context, node: Node) -> None:
    """A triangle of each matrix."""
    call = context.call_of(node)
    x = context.tensor(node.inputs[0])
    y = context.output(node.outputs[0], reuse=x)
    k = context.tensor(node.inputs[1]) if call.has(1) else context.constant(_ZERO)
    *_, height, width = x.shape
    rows = math.prod(x.shape[:-1])
    chunk = max(CHUNK // max(width, 1), 1)
    context.call(
        kernels.triangle.key(moved_as(x.dtype)),
        tasks=-(-rows // chunk) if x.size else 0,
        x=x,
        k=k,
        y=y,
        rows=rows,
        height=height,
        width=width,
        upper=int(bool(call.upper)),
        chunk=chunk,
    )


_ZERO = np.zeros(1, np.int64)
