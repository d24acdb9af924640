"""Lowering of ops that join, cut, pad and repeat tensors along axes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ir.graph import Node
from layercc.jobs.movement import strides_of
from layercc.lower.context import Context, Tensor
from layercc.lower.gathering import take
from layercc.lower.movement import fill_with, strided_copy, transposed
from layercc.lower.registry import lowering


@lowering("Concat")
def concat(context: Context, node: Node) -> None:
    """Each input is copied to its place: one pass over memory."""
    y = context.output(node.outputs[0])
    axis = context.call_of(node).axis % len(y.shape)
    strides = strides_of(y.shape)
    start = 0
    for name in node.inputs:
        x = context.tensor(name)
        strided_copy(
            context, x, y, x.shape, strides_of(x.shape), strides, target_start=start * strides[axis]
        )
        start += x.shape[axis]


@lowering("Split")
def split(context: Context, node: Node) -> None:
    """Parts along the outermost axis are views, others copies."""
    call = context.call_of(node)
    x = context.tensor(node.inputs[0])
    axis = call.axis % len(x.shape)
    start = 0
    sizes = [kind.shape[axis] for kind in call.op.infer(call)]
    for name, size in zip(node.outputs, sizes, strict=True):
        if name:
            _part(context, name, x, axis, start)
        start += int(size)


def _part(context: Context, name: str, x: Tensor, axis: int, start: int) -> None:
    shape = context.shape(name)
    strides = strides_of(x.shape)
    first = start * strides[axis]
    if math.prod(x.shape[:axis]) == 1:
        context.bind(name, x.moved(first * x.dtype.itemsize).reshaped(shape))
    else:
        y = context.output(name)
        strided_copy(context, x, y, shape, strides, strides_of(shape), source_start=first)


@lowering("Slice")
def slice_(context: Context, node: Node) -> None:
    """A slice that leaves one stretch of memory is a view, any other a copy."""
    call = context.call_of(node)
    x = context.tensor(node.inputs[0])
    shape = context.shape(node.outputs[0])
    strides = [*strides_of(x.shape)]
    start = 0
    for axis, (first, step) in _slices(call, x.shape).items():
        start += first * strides[axis]
        strides[axis] *= step
    if _one_stretch(shape, strides):
        moved = x.moved(start * x.dtype.itemsize) if math.prod(shape) else x
        context.bind(node.outputs[0], moved.reshaped(shape))
    else:
        y = context.output(node.outputs[0])
        strided_copy(context, x, y, shape, strides, strides_of(shape), source_start=start)


def _slices(call: Any, shape: Sequence[int]) -> dict[int, tuple[int, int]]:
    """Axis → first element and step."""
    starts = call.known(1, "it says where slices start").reshape(-1).tolist()
    axes = call.value(3).reshape(-1).tolist() if call.has(3) else range(len(starts))
    steps = call.value(4).reshape(-1).tolist() if call.has(4) else [1] * len(starts)
    found = {}
    for axis, start, step in zip(axes, starts, steps, strict=True):
        size = shape[axis]
        first = max(start + size if start < 0 else start, 0)
        first = min(first, size if step > 0 else size - 1)
        found[axis % len(shape)] = (first, step)
    return found


def _one_stretch(shape: Sequence[int], strides: Sequence[int]) -> bool:
    dense = strides_of(shape)
    return all(n == 1 or s == d for n, s, d in zip(shape, strides, dense, strict=True))


@lowering("Pad")
def pad(context: Context, node: Node) -> None:
    """Constant: a fill and a copy. Other modes: along each axis a gather by a table."""
    call = context.call_of(node)
    x = context.tensor(node.inputs[0])
    rank = len(x.shape)
    amounts = call.known(1, "it is the number of elements added").reshape(-1).tolist()
    axes = list(range(rank))
    if call.has(3):
        axes = [axis % rank for axis in call.known(3, "it says where").reshape(-1).tolist()]
    before, after = [0] * rank, [0] * rank
    for position, axis in enumerate(axes):
        before[axis], after[axis] = amounts[position], amounts[position + len(axes)]
    y = context.output(node.outputs[0])
    if call.mode == "constant":
        value = node.inputs[2] if call.has(2) else ""
        _pad_constant(context, x, y, before, after, value)
    else:
        _pad_by_tables(context, x, y, before, after, call.mode)


def _pad_constant(
    context: Context,
    x: Tensor,
    y: Tensor,
    before: Sequence[int],
    after: Sequence[int],
    value: str,
) -> None:
    kept = [
        max(n - max(-b, 0) - max(-a, 0), 0) for n, b, a in zip(x.shape, before, after, strict=True)
    ]
    strides, places = strides_of(x.shape), strides_of(y.shape)
    if kept != list(y.shape):
        fill_with(context, y, context.tensor(value) if value else None)
    strided_copy(
        context, x, y, kept, strides, places,
        sum(max(-b, 0) * s for b, s in zip(before, strides, strict=True)),
        sum(max(b, 0) * s for b, s in zip(before, places, strict=True)),
    )  # fmt: skip


def _pad_by_tables(
    context: Context, x: Tensor, y: Tensor, before: Sequence[int], after: Sequence[int], mode: str
) -> None:
    """Axis by axis; the axis that grows least comes first, so that little is moved twice."""
    axes = [axis for axis in range(len(x.shape)) if before[axis] or after[axis]]
    axes.sort(key=lambda axis: y.shape[axis] / max(x.shape[axis], 1))
    if not axes:
        strided_copy(context, x, y, x.shape, strides_of(x.shape), strides_of(x.shape))
    for axis in axes:
        places = np.arange(x.shape[axis])
        places = places[max(-before[axis], 0) : len(places) - max(-after[axis], 0)]
        table = np.pad(places, (max(before[axis], 0), max(after[axis], 0)), mode=mode)  # type: ignore[call-overload]
        shape = (*x.shape[:axis], len(table), *x.shape[axis + 1 :])
        target = y if axis == axes[-1] else context.scratch(x.dtype, shape)
        take(context, x, table.astype(np.int64), target, axis)
        x = target


@lowering("Expand")
def expand(context: Context, node: Node) -> None:
    """A copy with stride 0 where elements are repeated."""
    x, shape = context.tensor(node.inputs[0]), context.shape(node.outputs[0])
    given = (1,) * (len(shape) - len(x.shape)) + x.shape
    if given == shape:
        context.bind(node.outputs[0], x.reshaped(shape))
        return
    strides = [s if n > 1 else 0 for n, s in zip(given, strides_of(given), strict=True)]
    strided_copy(context, x, context.output(node.outputs[0]), shape, strides, strides_of(shape))


@lowering("Tile")
def tile(context: Context, node: Node) -> None:
    """A copy over (repeat, element) along each axis, with stride 0 over repeats."""
    x, y = context.tensor(node.inputs[0]), context.output(node.outputs[0])
    repeats = [b // a if a else 0 for a, b in zip(x.shape, y.shape, strict=True)]
    shape = [n for pair in zip(repeats, x.shape, strict=True) for n in pair]
    strides = [s for stride in strides_of(x.shape) for s in (0, stride)]
    strided_copy(context, x, y, shape, strides, strides_of(shape))


@lowering("CenterCropPad")
def center_crop_pad(context: Context, node: Node) -> None:
    """Cuts or pads with zeros on both sides: a constant pad of amounts below or above zero."""
    x, y = context.tensor(node.inputs[0]), context.output(node.outputs[0])
    spare = [a - b for a, b in zip(x.shape, y.shape, strict=True)]
    before = [-(n // 2) if n >= 0 else -n // 2 for n in spare]
    after = [-n - b for n, b in zip(spare, before, strict=True)]
    _pad_constant(context, x, y, before, after, "")


@lowering("DepthToSpace", "SpaceToDepth")
def blocks(context: Context, node: Node) -> None:
    """A transpose of blocks: dims are split so that the op is a permutation of them."""
    call = context.call_of(node)
    x, y = context.tensor(node.inputs[0]), context.output(node.outputs[0])
    size, columns_first = call.blocksize, call.mode == "CRD"
    n, *rest = x.shape
    if node.op == "DepthToSpace" and call.channels_last:
        h, w, c = rest
        parts = (c // size**2, size, size) if columns_first else (size, size, c // size**2)
        split_shape = (n, h, w, *parts)
        order = (0, 1, 4, 2, 5, 3) if columns_first else (0, 1, 3, 2, 4, 5)
    elif node.op == "DepthToSpace":
        c, h, w = rest
        parts = (c // size**2, size, size) if columns_first else (size, size, c // size**2)
        split_shape = (n, *parts, h, w)
        order = (0, 1, 4, 2, 5, 3) if columns_first else (0, 3, 4, 1, 5, 2)
    elif call.channels_last:
        h, w, c = rest
        split_shape = (n, h // size, size, w // size, size, c)
        order = (0, 1, 3, 5, 2, 4) if columns_first else (0, 1, 3, 2, 4, 5)
    else:
        c, h, w = rest
        split_shape = (n, c, h // size, size, w // size, size)
        order = (0, 1, 3, 5, 2, 4) if columns_first else (0, 3, 5, 1, 2, 4)
    made = y.reshaped(tuple(split_shape[axis] for axis in order))
    transposed(context, x.reshaped(split_shape), order, made)
