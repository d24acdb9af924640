"""Ops that join tensors, cut them and pad them along axes."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from ir.dims import Dim, ceil_div, is_known, is_non_negative, max_dim, may_equal, min_dim
from ir.ops.shapes import as_dims, dims_of, known_axes, vector_length
from ir.registry import Attr, Call, Op, register
from ir.types import TensorType


@register
class Concat(Op):
    """Joins tensors of equal rank along `axis`."""

    axes = "attribute"
    inputs = ("inputs: T*",)
    attributes = {"axis": Attr("int")}
    symbolic = True

    @staticmethod
    def infer(call: Call) -> Sequence[TensorType]:
        axis = call.axis_of(call.axis, call.rank(0))
        result: list[Dim] = list(call.shape(0))
        for index in range(1, len(call.types)):
            shape = call.shape(index)
            if len(shape) != len(result):
                call.fail(
                    f"inputs have ranks {len(result)} and {len(shape)}; equal ranks would fit"
                )
            for position, dim in enumerate(shape):
                if position == axis:
                    result[axis] = result[axis] + dim
                elif not may_equal(result[position], dim):
                    call.fail(
                        f"input {index} is {call.type(index)} and input 0 is {call.type(0)}: "
                        f"dim {position} must be equal, {result[position]} would fit"
                    )
                elif isinstance(dim, int):
                    result[position] = dim
        return [call.type(0).with_shape(result)]

    @staticmethod
    def reference(call: Call, *inputs: Any) -> np.ndarray:
        return np.concatenate(inputs, axis=call.axis)


@register
class Split(Op):
    """Cuts along `axis` into parts of the given sizes, or into equal parts, the last smaller."""

    axes = "attribute"
    inputs = ("input: T", "split: i64?")
    outputs = ("outputs: T*",)
    attributes = {"axis": Attr("int", 0), "num_outputs": Attr("int", None)}
    symbolic = True

    @staticmethod
    def infer(call: Call) -> Sequence[TensorType]:
        kind = call.type(0)
        axis = call.axis_of(call.axis, kind.rank)
        sizes = _split_sizes(call, kind.shape[axis])
        return [kind.with_shape((*kind.shape[:axis], n, *kind.shape[axis + 1 :])) for n in sizes]

    @staticmethod
    def reference(call: Call, x: np.ndarray, split: np.ndarray | None = None) -> Any:
        size = x.shape[call.axis]
        sizes = _equal_parts(call, size) if split is None else [int(n) for n in split]
        ends = np.cumsum([0, *sizes])  # type: ignore[list-item]
        if ends[-1] != size:
            call.fail(f"split {sizes} sums to {ends[-1]}, dim {call.axis} is {size}")
        x = np.moveaxis(x, call.axis, 0)
        return tuple(np.moveaxis(x[a:b], 0, call.axis) for a, b in pairwise(ends))


def _split_sizes(call: Call, size: Dim) -> list[Dim]:
    if not call.has(1):
        return _equal_parts(call, size)
    if call.value(1) is None and vector_length(call, 1) != len(call.node.outputs):
        call.fail(f"split has {vector_length(call, 1)} sizes for {len(call.node.outputs)} outputs")
    sizes = dims_of(call, 1, "split")
    if len(sizes) != len(call.node.outputs):
        call.fail(f"split {sizes} has {len(sizes)} sizes for {len(call.node.outputs)} outputs")
    total: Dim = 0
    for part in sizes:
        total = total + part
    if not may_equal(total, size):
        call.fail(f"split {sizes} sums to {total}; input is {call.type(0)}, {size} would fit")
    return sizes


def _equal_parts(call: Call, size: Dim) -> list[Dim]:
    count = len(call.node.outputs) if call.num_outputs is None else call.num_outputs
    if count < 1 or count != len(call.node.outputs):
        call.fail(f"num_outputs is {count}, the node has {len(call.node.outputs)}", "bad-attribute")
    part = ceil_div(size, count)
    last = size - part * (count - 1)
    if isinstance(last, int) and last < 0:
        call.fail(f"{size} elements do not split into {count} parts of {part}")
    return [part] * (count - 1) + [last]


@register
class Slice(Op):
    """From `starts` up to `ends` by `steps` along `axes`; negative positions count from the end."""

    axes = "slice"
    inputs = ("data: T", "starts: Tind", "ends: Tind", "axes: Tind?", "steps: Tind?")
    outputs = ("output: T",)
    constraints = {"T": "any", "Tind": "index"}
    symbolic = True

    @staticmethod
    def infer(call: Call) -> Sequence[TensorType]:
        shape: list[Dim] = list(call.shape(0))
        count = vector_length(call, 1)
        if call.has(3):
            if call.value(3) is None:
                return [call.type(0).with_shape(call.fresh_dim("slice") for _ in shape)]
            axes = known_axes(call, 3, len(shape))
        else:
            axes = list(range(count))
        if not (len(axes) == count == vector_length(call, 2) and count <= len(shape)):
            call.fail(
                f"starts, ends and axes have {count}, {vector_length(call, 2)} and {len(axes)}"
                f" elements; equal lengths up to the rank of {call.type(0)} would fit"
            )
        known = [None if (v := call.value(i)) is None else as_dims(v) for i in (1, 2)]
        steps = [1] * count
        if call.has(4):
            step_values = call.value(4)
            if step_values is None:
                known = [None, None]
            else:
                steps = [int(step) for step in step_values.reshape(-1)]
        for position, axis in enumerate(axes):
            if steps[position] == 0:
                call.fail("a step is 0", "bad-attribute")
            size: Dim | None = None
            if known[0] is not None and known[1] is not None:
                start, end = known[0][position], known[1][position]
                size = slice_length(shape[axis], start, end, steps[position])
            shape[axis] = call.fresh_dim("slice") if size is None else size
        return [call.type(0).with_shape(shape)]

    @staticmethod
    def reference(
        call: Call,
        x: np.ndarray,
        starts: np.ndarray,
        ends: np.ndarray,
        axes: np.ndarray | None = None,
        steps: np.ndarray | None = None,
    ) -> np.ndarray:
        chosen = range(len(starts)) if axes is None else axes.tolist()
        strides = np.ones(len(starts), np.int64) if steps is None else steps
        index = [slice(None)] * x.ndim
        for axis, start, end, step in zip(chosen, starts, ends, strides, strict=True):
            start, end, step = int(start), int(end), int(step)
            if step < 0:
                # Python begins nowhere, not at the first element, if a start lies before it; it
                # reads a stop of -1 as the last element, and None as before the first
                start = max(start, -x.shape[axis])
                end = None if end < -x.shape[axis] else end
            index[axis] = slice(start, end, step)
        return x[tuple(index)].copy()


def slice_length(size: Dim, start: Dim, end: Dim, step: int) -> Dim | None:
    """Length of a slice of a dim; None if the sign of a symbolic position cannot be told."""
    first, last = _from_start(size, start), _from_start(size, end)
    if first is None or last is None:
        return None
    if step > 0:
        if last == size and isinstance(start, int) and start < 0 and step == 1:
            return min_dim(-start, size)
        length = ceil_div(min_dim(last, size) - max_dim(first, 0), step)
    else:
        if first != size - 1:  # which is what an empty dim has
            first = min_dim(max_dim(first, 0), size - 1)
        length = ceil_div(first - max_dim(last, -1), -step)
    return max_dim(length, 0)


def _from_start(size: Dim, position: Dim) -> Dim | None:
    """A position counted from the start, not yet clamped: those below 0 count from the end."""
    if isinstance(position, int):
        if position >= (1 << 31) - 1:
            return size  # "to the end", as exporters write it
        if position <= -(1 << 31):
            return -1
        return position if position >= 0 else size + position
    if is_non_negative(position):
        return position
    return size + position if is_non_negative(-1 - position) else None


@register
class Pad(Op):
    """Adds elements before and after along axes; negative amounts take elements away."""

    axes = "pad"
    inputs = ("data: T", "pads: i64", "constant_value: T?", "axes: Tind?")
    constraints = {"T": "any", "Tind": "index"}
    attributes = {"mode": Attr("string", "constant")}
    symbolic = True

    @staticmethod
    def infer(call: Call) -> Sequence[TensorType]:
        if call.mode not in ("constant", "reflect", "edge", "wrap"):
            call.fail(
                f"mode is {call.mode!r}; constant, reflect, edge, wrap would fit", "bad-attribute"
            )
        shape: list[Dim] = list(call.shape(0))
        axes = list(range(len(shape)))
        if call.has(3) and call.value(3) is None:
            return [call.type(0).with_shape(call.fresh_dim("padded") for _ in shape)]
        if call.has(3):
            axes = known_axes(call, 3, len(shape))
        if call.value(1) is None:
            for axis in axes:
                shape[axis] = call.fresh_dim("padded")
            return [call.type(0).with_shape(shape)]
        pads = as_dims(call.known(1, "pads"))
        if len(pads) != 2 * len(axes):
            call.fail(f"pads has {len(pads)} elements; {2 * len(axes)}, two an axis, would fit")
        for position, axis in enumerate(axes):
            before, after = pads[position], pads[position + len(axes)]
            if all(map(is_known, (before, after, shape[axis]))):
                _check_padding(call, axis, int(before), int(after))
            size = shape[axis] + before + after
            shape[axis] = size
        return [call.type(0).with_shape(shape)]

    @staticmethod
    def reference(
        call: Call,
        x: np.ndarray,
        pads: np.ndarray,
        constant_value: np.ndarray | None = None,
        axes: np.ndarray | None = None,
    ) -> np.ndarray:
        Pad.infer(call)  # refuses what does not fit
        chosen = list(range(x.ndim)) if axes is None else [int(a) % x.ndim for a in axes]
        added, cut = [(0, 0)] * x.ndim, [slice(None)] * x.ndim
        for position, axis in enumerate(chosen):
            before, after = int(pads[position]), int(pads[position + len(chosen)])
            added[axis] = (max(before, 0), max(after, 0))
            cut[axis] = slice(max(-before, 0), x.shape[axis] - max(-after, 0))
        x = x[tuple(cut)]
        if call.mode != "constant":
            return np.pad(x, added, mode=call.mode)
        value = 0 if constant_value is None else constant_value.reshape(())
        made = np.full([n + a + b for n, (a, b) in zip(x.shape, added, strict=True)], value)
        made = made.astype(x.dtype)
        made[tuple(slice(a, a + n) for n, (a, _) in zip(x.shape, added, strict=True))] = x
        return made


def _check_padding(call: Call, axis: int, before: int, after: int) -> None:
    kind = call.type(0)
    left = int(kind.shape[axis]) + min(before, 0) + min(after, 0)
    added = max(before, after)
    if left < 0:
        call.fail(f"pads {before} and {after} take more than dim {axis} of {kind} has")
    if added <= 0 or call.mode == "constant":
        return
    where = f"dim {axis} of {kind}"
    if min(before, after) < 0:
        where += f", of which pads {before} and {after} leave {left}"
    if left == 0:
        call.fail(f"mode {call.mode!r} has no element to repeat in {where}")
    if call.mode == "reflect" and added >= left:
        call.fail(f"reflection by {added} needs {added + 1} elements in {where}")


@register
class Tile(Op):
    """Repeats along every axis."""

    axes = "entries"
    inputs = ("input: T", "repeats: i64")
    symbolic = True

    @staticmethod
    def infer(call: Call) -> Sequence[TensorType]:
        repeats, kind = dims_of(call, 1, "tiled"), call.type(0)
        if len(repeats) != kind.rank:
            call.fail(f"repeats has {len(repeats)} elements; {kind.rank}, one a dim of {kind},"
                      " would fit")  # fmt: skip
        return [kind.with_shape(d * r for d, r in zip(kind.shape, repeats, strict=True))]

    @staticmethod
    def reference(call: Call, x: np.ndarray, repeats: np.ndarray) -> np.ndarray:
        shape = [dim * int(n) for dim, n in zip(x.shape, repeats, strict=True)]
        if math.prod(max(dim, 1) for dim in shape) * x.itemsize > sys.maxsize:
            call.fail(f"repeats {repeats.tolist()} make {shape}, more than memory can address")
        return np.tile(x, tuple(int(n) for n in repeats))


@register
class CenterCropPad(Op):
    """Crops or zero-pads around the centre to the dims in `shape`."""

    inputs = ("input_data: T", "shape: Tind")
    constraints = {"T": "any", "Tind": "index"}
    attributes = {"axes": Attr("ints", None)}

    @staticmethod
    def infer(call: Call) -> Sequence[TensorType]:
        shape: list[Dim] = list(call.shape(0))
        axes = range(len(shape)) if call.axes is None else call.axes
        sizes = dims_of(call, 1, "cropped")
        if len(sizes) != len(axes):
            call.fail(f"shape has {len(sizes)} elements for {len(axes)} axes")
        for axis, size in zip(axes, sizes, strict=True):
            shape[call.axis_of(axis, len(shape))] = size
        return [call.type(0).with_shape(shape)]

    @staticmethod
    def reference(call: Call, x: np.ndarray, shape: np.ndarray) -> np.ndarray:
        axes = range(x.ndim) if call.axes is None else call.axes
        for axis, size in zip(axes, shape.tolist(), strict=True):
            axis %= x.ndim
            spare = x.shape[axis] - size
            if spare >= 0:
                x = x.take(range(spare // 2, spare // 2 + size), axis=axis)
            else:
                added = [(0, 0)] * x.ndim
                added[axis] = (-spare // 2, -spare - -spare // 2)
                # zero bits: f8e8m0fnu has no 0, and what NumPy pads with is NaN
                x = np.pad(x, added, constant_values=np.zeros((), x.dtype))
        return x
