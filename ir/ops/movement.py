"""Ops that move elements without computing: blocks, sequences, triangles, selection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ir.dims import Dim, exact_div, is_known, may_equal
from ir.ops.layout import CHANNELS_LAST, as_asked, channels_first, join_shape, split_shape
from ir.registry import Attr, Call, Op, Range, register
from ir.types import TensorType


def _image(call: Call) -> tuple[Dim, Dim, Dim, Dim]:
    """Batch, channels, height and width of input 0."""
    if call.rank(0) != 4:
        call.fail(f"input is {call.type(0)}; four dims, of a batch of images, would fit")
    if call.blocksize < 1:
        call.fail(f"blocksize is {call.blocksize}; 1 or more would fit", "bad-attribute")
    if call.mode not in ("DCR", "CRD"):
        call.fail(f"mode is {call.mode!r}; DCR, CRD would fit", "bad-attribute")
    batch, channels, (height, width) = split_shape(call)
    return batch, channels, height, width


def _divided(call: Call, dim: Dim, divisor: int, what: str) -> Dim:
    quotient = exact_div(dim, divisor)
    if quotient is not None:
        return quotient
    if not may_equal(dim % divisor, 0):
        call.fail(f"input is {call.type(0)}: its {what}, {dim}, is no multiple of {divisor}")
    return dim // divisor


@register
class DepthToSpace(Op):
    """Moves blocks of channels into `blocksize` x `blocksize` patches of an image."""

    inputs = ("input: T",)
    attributes = {"blocksize": Attr("int"), "mode": Attr("string", "DCR"), **CHANNELS_LAST}

    @staticmethod
    def infer(call: Call) -> Sequence[TensorType]:
        batch, channels, height, width = _image(call)
        size = call.blocksize
        depth = _divided(call, channels, size * size, "number of channels")
        return [call.type(0).with_shape(
            join_shape(call, batch, depth, (height * size, width * size))
        )]  # fmt: skip

    @staticmethod
    def reference(call: Call, x: np.ndarray) -> np.ndarray:
        x, size = channels_first(call, x), call.blocksize
        n, c, h, w = x.shape
        depth = c // size**2
        if call.mode == "DCR":
            blocks = x.reshape(n, size, size, depth, h, w).transpose(0, 3, 4, 1, 5, 2)
        else:
            blocks = x.reshape(n, depth, size, size, h, w).transpose(0, 1, 4, 2, 5, 3)
        return as_asked(call, blocks.reshape(n, depth, h * size, w * size))


@register
class SpaceToDepth(Op):
    """Moves `blocksize` x `blocksize` patches of an image into channels."""

    inputs = ("input: T",)
    attributes = {"blocksize": Attr("int"), "mode": Attr("string", "DCR"), **CHANNELS_LAST}

    @staticmethod
    def infer(call: Call) -> Sequence[TensorType]:
        batch, channels, height, width = _image(call)
        size = call.blocksize
        spatial = (
            _divided(call, height, size, "height"),
            _divided(call, width, size, "width"),
        )
        return [call.type(0).with_shape(join_shape(call, batch, channels * size**2, spatial))]

    @staticmethod
    def reference(call: Call, x: np.ndarray) -> np.ndarray:
        x, size = channels_first(call, x), call.blocksize
        n, c, h, w = x.shape
        blocks = x.reshape(n, c, h // size, size, w // size, size)
        order = (0, 3, 5, 1, 2, 4) if call.mode == "DCR" else (0, 1, 3, 5, 2, 4)
        return as_asked(call, blocks.transpose(order).reshape(n, c * size**2, h // size, w // size))


@register
class ReverseSequence(Op):
    """Reverses the first `sequence_lens[i]` steps of batch element i."""

    inputs = ("input: T", "sequence_lens: i64")
    attributes = {"time_axis": Attr("int", 0), "batch_axis": Attr("int", 1)}

    @staticmethod
    def ranges(call: Call) -> Mapping[int, Range]:
        return {1: (0, call.shape(0)[call.time_axis])}

    @staticmethod
    def infer(call: Call) -> Sequence[TensorType]:
        kind, lengths = call.type(0), call.type(1)
        batch = call.axis_of(call.batch_axis, kind.rank)
        if batch == call.axis_of(call.time_axis, kind.rank):
            call.fail(f"batch_axis and time_axis are both {batch}", "bad-attribute")
        if lengths.rank != 1 or not may_equal(lengths.shape[0], kind.shape[batch]):
            call.fail(f"sequence_lens is {lengths}; one dim of {kind.shape[batch]} would fit")
        return [kind]

    @staticmethod
    def reference(call: Call, x: np.ndarray, sequence_lens: np.ndarray) -> np.ndarray:
        made = x.copy()
        source = np.moveaxis(x, (call.batch_axis, call.time_axis), (0, 1))
        target = np.moveaxis(made, (call.batch_axis, call.time_axis), (0, 1))
        for i, length in enumerate(sequence_lens.tolist()):
            target[i, :length] = source[i, :length][::-1]
        return made


@register
class Trilu(Op):
    """The upper or lower triangle of matrices, from diagonal `k`; zero elsewhere."""

    inputs = ("input: T", "k: i64?")
    attributes = {"upper": Attr("int", 1)}

    @staticmethod
    def infer(call: Call) -> Sequence[TensorType]:
        if call.rank(0) < 2:
            call.fail(f"input is {call.type(0)}; a matrix or a batch of them would fit")
        return [call.type(0)]

    @staticmethod
    def reference(call: Call, x: np.ndarray, k: np.ndarray | None = None) -> np.ndarray:
        height, width = x.shape[-2:]
        diagonal = 0 if k is None else min(max(int(k.reshape(())), -height), width)
        inside = np.tri(height, width, k=diagonal - bool(call.upper), dtype=bool)
        return np.where(inside ^ bool(call.upper), x, np.zeros((), dtype=x.dtype))


@register
class Compress(Op):
    """The slices along `axis` (or the elements, flattened) whose condition is true."""

    inputs = ("input: T", "condition: bool")
    attributes = {"axis": Attr("int", None)}

    @staticmethod
    def infer(call: Call) -> Sequence[TensorType]:
        kind = call.type(0)
        if call.rank(1) != 1:
            call.fail(f"condition is {call.type(1)}; one dim would fit")
        condition = call.value(1)
        count = call.fresh_dim("selected") if condition is None else int(condition.sum())
        if call.axis is None:
            return [kind.with_shape((count,))]
        axis = call.axis_of(call.axis, kind.rank)
        length, size = call.shape(1)[0], kind.shape[axis]
        if is_known(length) and is_known(size) and length > size:  # type: ignore[operator]
            call.fail(f"condition has {length} elements, dim {axis} of {kind} only {size}")
        return [kind.with_shape((*kind.shape[:axis], count, *kind.shape[axis + 1 :]))]

    @staticmethod
    def reference(call: Call, x: np.ndarray, condition: np.ndarray) -> np.ndarray:
        return np.compress(condition, x, axis=call.axis)
