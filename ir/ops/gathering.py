"""Ops that read or write elements at given indices."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ir.dims import Dim, may_equal
from ir.ops.shapes import scalar_dim
from ir.registry import Attr, Call, Op, Range, register
from ir.types import TensorType, format_shape

_REDUCTIONS: dict[str, Callable[..., Any]] = {
    "add": np.add,
    "mul": np.multiply,
    "max": np.maximum,
    "min": np.minimum,
}


def _indices_into(size: Dim) -> Range:
    """The range of indices into a dim, negative ones counting from its end."""
    return 0 - size, size - 1


def _indices_along(call: Call) -> dict[int, Range]:
    return {1: _indices_into(call.shape(0)[call.axis])}


def _indices_from(call: Call, first: int) -> dict[int, Range]:
    """Those of index tuples into the dims of the data from number `first` on."""
    sizes = call.shape(0)[first : first + _tuple_length(call, 1)]
    return {1: (tuple(0 - size for size in sizes), tuple(size - 1 for size in sizes))}


def _non_negative(indices: np.ndarray, size: int) -> np.ndarray:
    return np.where(indices < 0, indices + size, indices)


@register
class Gather(Op):
    """Slices of `data` along `axis`, one for each index."""

    axes = "gather"
    inputs = ("data: T", "indices: Tind")
    constraints = {"T": "any", "Tind": "index"}
    attributes = {"axis": Attr("int", 0)}
    symbolic = True

    @staticmethod
    def ranges(call: Call) -> Mapping[int, Range]:
        return _indices_along(call)

    @staticmethod
    def infer(call: Call) -> Sequence[TensorType]:
        kind = call.type(0)
        axis = call.axis_of(call.axis, kind.rank)
        return [kind.with_shape((*kind.shape[:axis], *call.shape(1), *kind.shape[axis + 1 :]))]

    @staticmethod
    def reference(call: Call, x: np.ndarray, indices: np.ndarray) -> np.ndarray:
        at = _non_negative(np.asarray(indices).astype(np.int64), x.shape[call.axis])
        return np.take(x, at, axis=call.axis)


@register
class GatherElements(Op):
    """output[i][j] = data[indices[i][j]][j], and so for any axis and rank."""

    inputs = ("data: T", "indices: Tind")
    constraints = {"T": "any", "Tind": "index"}
    attributes = {"axis": Attr("int", 0)}

    @staticmethod
    def ranges(call: Call) -> Mapping[int, Range]:
        return _indices_along(call)

    @staticmethod
    def infer(call: Call) -> Sequence[TensorType]:
        kind = call.type(0)
        axis = call.axis_of(call.axis, kind.rank)
        _check_same_rank(call, axis, 1)
        return [kind.with_shape(call.shape(1))]

    @staticmethod
    def reference(call: Call, x: np.ndarray, indices: np.ndarray) -> np.ndarray:
        at = _non_negative(indices, x.shape[call.axis])
        return x[_element_index(at, call.axis % x.ndim)]


def _check_same_rank(call: Call, axis: int, index: int) -> None:
    kind, indices = call.type(0), call.type(index)
    if kind.rank != indices.rank:
        call.fail(f"data is {kind} and indices are {indices}; equal ranks would fit")
    for position, (size, count) in enumerate(zip(kind.shape, indices.shape, strict=True)):
        bounded = position != axis and isinstance(size, int) and isinstance(count, int)
        if bounded and count > size:  # type: ignore[operator]
            call.fail(f"dim {position} of indices, {indices}, is larger than that of {kind}")


def _element_index(at: np.ndarray, axis: int) -> tuple[np.ndarray, ...]:
    index: list[np.ndarray] = list(np.indices(at.shape, sparse=True))
    index[axis] = at
    return tuple(index)


@register
class GatherND(Op):
    """Slices of `data` at index tuples, which the last dim of `indices` holds."""

    inputs = ("data: T", "indices: i64")
    attributes = {"batch_dims": Attr("int", 0)}

    @staticmethod
    def ranges(call: Call) -> Mapping[int, Range]:
        return _indices_from(call, call.batch_dims)

    @staticmethod
    def infer(call: Call) -> Sequence[TensorType]:
        kind, indices, batch = call.type(0), call.type(1), call.batch_dims
        length = _tuple_length(call, 1)
        if not 0 <= batch < min(kind.rank, indices.rank):
            call.fail(f"batch_dims {batch} does not fit {kind} and {indices}", "bad-attribute")
        if batch + length > kind.rank:
            call.fail(f"index tuples of {length} and {batch} batch dims do not fit data {kind}")
        for a, b in zip(kind.shape[:batch], indices.shape[:batch], strict=True):
            if not may_equal(a, b):
                call.fail(f"data {kind} and indices {indices} differ in their batch dims")
        return [kind.with_shape((*indices.shape[:-1], *kind.shape[batch + length :]))]

    @staticmethod
    def reference(call: Call, x: np.ndarray, indices: np.ndarray) -> np.ndarray:
        batch, length = call.batch_dims, indices.shape[-1]
        at = [_non_negative(indices[..., k], x.shape[batch + k]) for k in range(length)]
        leading = [
            np.arange(n).reshape(-1, *[1] * (indices.ndim - 2 - i))
            for i, n in enumerate(x.shape[:batch])
        ]
        return x[tuple(leading + at)] if leading or at else np.broadcast_to(
            x, indices.shape[:-1] + x.shape
        ).copy()  # fmt: skip


def _tuple_length(call: Call, index: int) -> int:
    indices = call.type(index)
    if indices.rank == 0 or not isinstance(indices.shape[-1], int):
        call.fail(f"indices are {indices}; a last dim of known size would fit", "data-dependent")
    return indices.shape[-1]


def _check_reduction(call: Call) -> None:
    if call.reduction != "none" and call.reduction not in _REDUCTIONS:
        fits = ", ".join(["none", *_REDUCTIONS])
        call.fail(f"reduction is {call.reduction!r}; {fits} would fit", "bad-attribute")


def _write(call: Call, x: np.ndarray, index: tuple[Any, ...], updates: np.ndarray) -> np.ndarray:
    """A copy of `x` with updates stored at, or reduced into, `index` (later ones win)."""
    made = x.copy()
    if call.reduction == "none":
        made[index] = updates
    else:
        _REDUCTIONS[call.reduction].at(made, index, updates)  # type: ignore[attr-defined]
    return made


@register
class ScatterElements(Op):
    """A copy of `data` with data[indices[i][j]][j] = updates[i][j], and so for any axis."""

    inputs = ("data: T", "indices: Tind", "updates: T")
    constraints = {"T": "any", "Tind": "index"}
    attributes = {"axis": Attr("int", 0), "reduction": Attr("string", "none")}

    @staticmethod
    def ranges(call: Call) -> Mapping[int, Range]:
        return _indices_along(call)

    @staticmethod
    def infer(call: Call) -> Sequence[TensorType]:
        _check_same_rank(call, call.axis_of(call.axis, call.rank(0)), 1)
        _check_reduction(call)
        _check_updates(call, call.shape(1))
        return [call.type(0)]

    @staticmethod
    def reference(
        call: Call, x: np.ndarray, indices: np.ndarray, updates: np.ndarray
    ) -> np.ndarray:
        at = _non_negative(indices, x.shape[call.axis])
        return _write(call, x, _element_index(at, call.axis % x.ndim), updates)


def _check_updates(call: Call, expected: Sequence[Dim]) -> None:
    updates = call.type(2)
    if updates.rank != len(expected) or not all(map(may_equal, updates.shape, expected)):
        call.fail(f"updates are {updates}; {format_shape(expected)} would fit")


@register
class ScatterND(Op):
    """A copy of `data` with slices replaced at index tuples (the last dim of `indices`)."""

    inputs = ("data: T", "indices: i64", "updates: T")
    attributes = {"reduction": Attr("string", "none")}
    symbolic = True

    @staticmethod
    def ranges(call: Call) -> Mapping[int, Range]:
        return _indices_from(call, 0)

    @staticmethod
    def infer(call: Call) -> Sequence[TensorType]:
        length = _tuple_length(call, 1)
        if length > call.rank(0):
            call.fail(f"index tuples of {length} do not fit data {call.type(0)}")
        _check_reduction(call)
        _check_updates(call, (*call.shape(1)[:-1], *call.shape(0)[length:]))
        return [call.type(0)]

    @staticmethod
    def reference(
        call: Call, x: np.ndarray, indices: np.ndarray, updates: np.ndarray
    ) -> np.ndarray:
        if updates.dtype == object:
            x = x.astype(object)
        indices = indices.astype(np.int64)
        at = [_non_negative(indices[..., k], x.shape[k]) for k in range(indices.shape[-1])]
        return _write(call, x, tuple(at), updates)


@register
class OneHot(Op):
    """`values[1]` at each index along a new axis of `depth` elements, `values[0]` elsewhere."""

    inputs = ("indices: T1", "depth: T2", "values: T3")
    outputs = ("output: T3",)
    constraints = {"T1": "numeric", "T2": "numeric", "T3": "any"}
    attributes = {"axis": Attr("int", -1)}

    @staticmethod
    def infer(call: Call) -> Sequence[TensorType]:
        shape = list(call.shape(0))
        if call.rank(2) != 1 or not may_equal(call.shape(2)[0], 2):
            call.fail(f"values are {call.type(2)}; the values for off and on would fit: [2]")
        size = scalar_dim(call, 1, "depth")
        shape.insert(call.axis_of(call.axis, len(shape) + 1), size)
        return [call.type(2).with_shape(shape)]

    @staticmethod
    def reference(
        call: Call, indices: np.ndarray, depth: np.ndarray, values: np.ndarray
    ) -> np.ndarray:
        size = int(depth.reshape(-1)[0])
        axis = call.axis % (indices.ndim + 1)
        at = np.expand_dims(indices.astype(np.int64), axis)
        at = np.where(at < 0, at + size, at)
        counts = np.arange(size).reshape(-1, *[1] * (indices.ndim - axis))
        return np.where(at == counts, values[1], values[0]).astype(values.dtype)


@register
class TensorScatter(Op):
    """Writes `update` into a cache along the sequence axis, from `write_indices[batch]` on."""

    inputs = ("past_cache: T", "update: T", "write_indices: i64?")
    outputs = ("present_cache: T",)
    attributes = {"axis": Attr("int", -2), "mode": Attr("string", "linear")}

    @staticmethod
    def ranges(call: Call) -> Mapping[int, Range]:
        size, count = call.shape(0)[call.axis], call.shape(1)[call.axis]
        return {2: (0, size - count)} if call.mode == "linear" else {}

    @staticmethod
    def infer(call: Call) -> Sequence[TensorType]:
        cache, update = call.type(0), call.type(1)
        axis = call.axis_of(call.axis, cache.rank)
        if axis == 0:
            call.fail("axis 0 is the batch; another axis would fit", "bad-attribute")
        if call.mode not in ("linear", "circular"):
            call.fail(f"mode is {call.mode!r}; linear, circular would fit", "bad-attribute")
        if update.rank != cache.rank or not all(
            i == axis or may_equal(a, b)
            for i, (a, b) in enumerate(zip(cache.shape, update.shape, strict=True))
        ):
            call.fail(f"update is {update} and the cache {cache}: only dim {axis} may differ")
        return [cache]

    @staticmethod
    def reference(
        call: Call, cache: np.ndarray, update: np.ndarray, write_indices: np.ndarray | None = None
    ) -> np.ndarray:
        axis = call.axis % cache.ndim
        made, size, count = cache.copy(), cache.shape[axis], update.shape[axis]
        starts = np.zeros(cache.shape[0], np.int64) if write_indices is None else write_indices
        for batch, start in enumerate(starts.tolist()):
            at = np.arange(start, start + count)
            at = at % size if call.mode == "circular" else at
            np.moveaxis(made[batch], axis - 1, 0)[at] = np.moveaxis(update[batch], axis - 1, 0)
        return made
