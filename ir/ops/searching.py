"""Ops that look for elements: largest, non-zero, distinct; and running totals."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from ir.dims import Dim, product
from ir.dtypes import DType
from ir.ops.pointwise import widen
from ir.ops.shapes import scalar_dim
from ir.registry import Attr, Call, Op, Range, register
from ir.types import TensorType


def reduced_shape(shape: Sequence[Dim], axes: Sequence[int], keepdims: bool) -> list[Dim]:
    """A shape with the given (non-negative) axes reduced to one element, or gone."""
    if keepdims:
        return [1 if axis in axes else dim for axis, dim in enumerate(shape)]
    return [dim for axis, dim in enumerate(shape) if axis not in axes]


class _ArgExtremum(Op):
    axes = "reduction"
    inputs = ("data: T",)
    outputs = ("reduced: i64",)
    constraints = {"T": "numeric"}
    attributes = {
        "axis": Attr("int", 0),
        "keepdims": Attr("int", 1),
        "select_last_index": Attr("int", 0),
    }
    find: ClassVar[Callable[..., Any]]

    @staticmethod
    def infer(call: Call) -> Sequence[TensorType]:
        axis = call.axis_of(call.axis, call.rank(0))
        if call.shape(0)[axis] == 0:
            call.fail(f"data is {call.type(0)}: dim {axis} has no elements to choose from")
        shape = reduced_shape(call.shape(0), [axis], bool(call.keepdims))
        return [TensorType(DType.i64, tuple(shape))]

    @classmethod
    def reference(cls, call: Call, x: np.ndarray) -> np.ndarray:  # type: ignore[override]
        if call.select_last_index:
            found = cls.find(np.flip(x, call.axis), axis=call.axis, keepdims=bool(call.keepdims))
            return x.shape[call.axis] - 1 - found
        return cls.find(x, axis=call.axis, keepdims=bool(call.keepdims)).astype(np.int64)

    @staticmethod
    def flops(call: Call) -> Dim:
        return product(call.shape(0))


@register
class ArgMax(_ArgExtremum):
    """Index of the largest element along `axis`."""

    find = staticmethod(lambda x, **where: np.argmax(widen(x), **where))


@register
class ArgMin(_ArgExtremum):
    """Index of the smallest element along `axis`."""

    find = staticmethod(lambda x, **where: np.argmin(widen(x), **where))


@register
class TopK(Op):
    """The k largest (or smallest) elements along `axis`, in order, and where they are.

    Of equal elements the one with the lower index comes first; NaN counts as the largest.
    """

    inputs = ("X: T", "K: i64")
    outputs = ("Values: T", "Indices: i64")
    constraints = {"T": "numeric"}
    attributes = {
        "axis": Attr("int", -1),
        "largest": Attr("int", 1),
        "sorted": Attr("int", 1),
    }

    @staticmethod
    def infer(call: Call) -> Sequence[TensorType]:
        kind = call.type(0)
        axis = call.axis_of(call.axis, kind.rank)
        count = scalar_dim(call, 1, "k")
        size = kind.shape[axis]
        if isinstance(count, int) and isinstance(size, int) and not 0 <= count <= size:
            call.fail(f"K is {count}; dim {axis} of {kind} has {size} elements")
        shape = (*kind.shape[:axis], count, *kind.shape[axis + 1 :])
        return [kind.with_shape(shape), TensorType(DType.i64, shape)]

    @staticmethod
    def reference(call: Call, x: np.ndarray, k: np.ndarray) -> tuple[np.ndarray, ...]:
        count = int(k.reshape(-1)[0])
        keys = np.moveaxis(widen(x), call.axis, -1)
        if call.largest:  # flipped twice: a stable descending order
            order = keys.shape[-1] - 1 - np.argsort(keys[..., ::-1], axis=-1, kind="stable")
            order = order[..., ::-1]
        else:
            order = np.argsort(keys, axis=-1, kind="stable")
        indices = np.moveaxis(order[..., :count], -1, call.axis)
        return np.take_along_axis(x, indices, axis=call.axis), indices.astype(np.int64)

    @staticmethod
    def flops(call: Call) -> Dim:
        return product(call.shape(0))


@register
class NonZero(Op):
    """Indices of the non-zero elements, one column each."""

    inputs = ("X: T",)
    outputs = ("Y: i64",)

    @staticmethod
    def infer(call: Call) -> Sequence[TensorType]:
        known = call.value(0)
        count = call.fresh_dim("nonzero") if known is None or known.dtype == object else int(
            np.count_nonzero(known)
        )  # fmt: skip
        return [TensorType(DType.i64, (call.rank(0), count))]

    @staticmethod
    def reference(call: Call, x: np.ndarray) -> np.ndarray:
        if x.ndim == 0:
            return np.zeros((0, int(bool(x))), dtype=np.int64)
        return np.stack(np.nonzero(x)).astype(np.int64)


@register
class Unique(Op):
    """The distinct elements, or slices along `axis`: sorted, or in order of first appearance."""

    inputs = ("X: T",)
    outputs = ("Y: T", "indices: i64?", "inverse_indices: i64?", "counts: i64?")
    attributes = {"axis": Attr("int", None), "sorted": Attr("int", 1)}

    @staticmethod
    def infer(call: Call) -> Sequence[TensorType]:
        kind = call.type(0)
        count = call.fresh_dim("unique")
        if call.axis is None:
            values, length = kind.with_shape((count,)), product(kind.shape)
        else:
            axis = call.axis_of(call.axis, kind.rank)
            values = kind.with_shape((*kind.shape[:axis], count, *kind.shape[axis + 1 :]))
            length = kind.shape[axis]
        return [values, *(TensorType(DType.i64, (n,)) for n in (count, length, count))]

    @staticmethod
    def reference(call: Call, x: np.ndarray) -> tuple[np.ndarray, ...]:
        values, first, inverse, counts = np.unique(
            x, return_index=True, return_inverse=True, return_counts=True, axis=call.axis
        )
        inverse = inverse.reshape(-1)
        if not call.sorted:
            order = np.argsort(first)
            values = np.take(values, order, axis=call.axis or 0)
            first, counts = first[order], counts[order]
            inverse = np.argsort(order)[inverse]
        return values, *(made.astype(np.int64) for made in (first, inverse, counts))


class _Cumulative(Op):
    inputs = ("x: T", "axis: Tind")
    constraints = {"T": "numeric", "Tind": "index"}
    attributes = {"exclusive": Attr("int", 0), "reverse": Attr("int", 0)}
    accumulate: ClassVar[np.ufunc]

    @staticmethod
    def ranges(call: Call) -> Mapping[int, Range]:
        return {1: (-call.rank(0), call.rank(0) - 1)}

    @staticmethod
    def infer(call: Call) -> Sequence[TensorType]:
        return [call.type(0)]

    @classmethod
    def reference(cls, call: Call, x: np.ndarray, axis: np.ndarray) -> np.ndarray:  # type: ignore[override]
        wide = np.moveaxis(np.asarray(widen(x)), int(axis.reshape(-1)[0]), 0)
        wide = wide[::-1] if call.reverse else wide
        made = cls.accumulate.accumulate(wide, axis=0)
        if call.exclusive:
            made = np.concatenate([np.full_like(made[:1], cls.accumulate.identity), made[:-1]])
        made = made[::-1] if call.reverse else made
        return np.moveaxis(made, 0, int(axis.reshape(-1)[0])).astype(x.dtype)

    @staticmethod
    def flops(call: Call) -> Dim:
        return product(call.shape(0))


@register
class CumSum(_Cumulative):
    """Running sum along an axis."""

    accumulate = np.add


@register
class CumProd(_Cumulative):
    """Running product along an axis."""

    accumulate = np.multiply


@register
class NonMaxSuppression(Op):
    """Boxes in order of score, without those that overlap a chosen one of their class too much.

    Each row of the result is (batch, class, box).
    """

    inputs = (
        "boxes: f32",
        "scores: f32",
        "max_output_boxes_per_class: i64?",
        "iou_threshold: f32?",
        "score_threshold: f32?",
    )
    outputs = ("selected_indices: i64",)
    attributes = {"center_point_box": Attr("int", 0)}

    @staticmethod
    def infer(call: Call) -> Sequence[TensorType]:
        boxes, scores = call.type(0), call.type(1)
        if boxes.rank != 3 or boxes.shape[2] not in (4,) or scores.rank != 3:
            call.fail(f"boxes are {boxes} and scores {scores}; [batch, n, 4] and"
                      " [batch, classes, n] would fit")  # fmt: skip
        return [TensorType(DType.i64, (call.fresh_dim("selected"), 3))]

    @staticmethod
    def reference(call: Call, boxes: np.ndarray, scores: np.ndarray, *limits: Any) -> np.ndarray:
        most, iou_limit, score_limit = (
            None if i >= len(limits) or limits[i] is None else limits[i].reshape(-1)[0]
            for i in range(3)
        )
        corners = _corners(boxes.astype(np.float32), bool(call.center_point_box))
        chosen: list[tuple[int, int, int]] = []
        for batch, label in np.ndindex(scores.shape[:2]):
            row = scores[batch, label]
            order = np.argsort(-row, kind="stable")
            if score_limit is not None:
                order = order[row[order] > score_limit]
            for _ in range(int(most or 0)):
                if not order.size:
                    break
                best, order = order[0], order[1:]
                chosen.append((batch, label, int(best)))
                overlaps = _overlap(corners[batch, best], corners[batch, order])
                order = order[~(overlaps > (iou_limit or 0))]
        return np.array(chosen, dtype=np.int64).reshape(-1, 3)

    @staticmethod
    def flops(call: Call) -> Dim:
        return product(call.shape(1))


def _corners(boxes: np.ndarray, centred: bool) -> np.ndarray:
    """Boxes as (low y, low x, high y, high x)."""
    if centred:
        centre, half = boxes[..., 1::-1], boxes[..., :1:-1] / 2
        return np.concatenate([centre - half, centre + half], axis=-1)
    first, second = boxes[..., :2], boxes[..., 2:]
    return np.concatenate([np.minimum(first, second), np.maximum(first, second)], axis=-1)


def _overlap(box: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Intersection over union of a box with each of the others."""
    low_y, low_x, high_y, high_x = others.T
    height = np.minimum(box[2], high_y) - np.maximum(box[0], low_y)
    width = np.minimum(box[3], high_x) - np.maximum(box[1], low_x)
    common = np.maximum(height, 0) * np.maximum(width, 0)
    areas = (high_y - low_y) * (high_x - low_x) + (box[2] - box[0]) * (box[3] - box[1])
    return common / (areas - common)
