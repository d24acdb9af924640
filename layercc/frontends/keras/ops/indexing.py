"""Ops that take elements by index."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from ir.dims import SymbolicDim
from ir.dtypes import DTYPE_SETS, DType, dtype_of
from layercc.frontends.keras.registry import Refused, translates_op
from layercc.layers import emit
from layercc.layers.layer import cast
from layercc.layers.tensor import SymbolicTensor, ints


@translates_op("numpy.GetItem")
def get_item(c: Any, x: Any, key: Any) -> Any:
    x = c.tensor(x)
    parts = list(key) if isinstance(key, tuple) else [key]
    if any(isinstance(part, list | np.ndarray | SymbolicTensor) for part in parts):
        if len(parts) == 1:
            return emit("Gather", x, _index(c, parts[0]), axis=0)
        raise Refused("indexed by arrays along several axes")
    if Ellipsis in parts:
        at = parts.index(Ellipsis)
        used = sum(part is not None for part in parts) - 1
        parts[at : at + 1] = [slice(None)] * (x.rank - used)
    axis = 0
    cuts: list[tuple[int, Any, Any, int]] = []  # axis, start, end, step
    gone: list[int] = []
    new: list[int] = []
    result = 0
    for part in parts:
        if part is None:
            new.append(result)
            result += 1
            continue
        if isinstance(part, slice):
            if part != slice(None):
                step = 1 if part.step is None else int(part.step)
                first = (0 if step > 0 else -1) if part.start is None else part.start
                last = (2**31 - 1 if step > 0 else -(2**31)) if part.stop is None else part.stop
                cuts.append((axis, first, last, step))
            result += 1
        else:
            index = part if isinstance(part, SymbolicDim) else int(part)
            cuts.append((axis, index, index + 1 if index != -1 else 2**31 - 1, 1))
            gone.append(axis)
        axis += 1
    if cuts:
        axes, starts, ends, steps = zip(*cuts, strict=True)
        x = emit("Slice", x, c.sizes(starts), c.sizes(ends), ints(*axes), ints(*steps))
    if gone:
        x = emit("Squeeze", x, ints(*gone))
    if new:
        x = emit("Unsqueeze", x, ints(*new))
    return x if cuts or new else emit("Identity", x)


def _index(c: Any, indices: Any) -> Any:
    found = c.tensor(indices)
    if found.dtype is DType.bool:
        raise Refused("indexed by booleans: the number of results depends on data")
    return found if found.dtype in DTYPE_SETS["index"] else cast(found, DType.i32)


@translates_op("numpy.Take")
def take(c: Any, x: Any, indices: Any) -> Any:
    x, axis = c.tensor(x), c.op.axis
    if axis is None:
        x, axis = emit("Reshape", x, ints(-1)), 0
    return emit("Gather", x, _index(c, indices), axis=int(axis))


@translates_op("numpy.TakeAlongAxis")
def take_along_axis(c: Any, x: Any, indices: Any) -> Any:
    x, indices, axis = c.tensor(x), _index(c, indices), c.op.axis
    if axis is None:
        x, indices, axis = emit("Reshape", x, ints(-1)), emit("Reshape", indices, ints(-1)), 0
    return emit("GatherElements", x, indices, axis=int(axis))


@translates_op("nn.OneHot")
def one_hot(c: Any, x: Any) -> Any:
    if getattr(c.op, "sparse", False):
        raise Refused("sparse")
    values = np.array([0, 1], encoded_type(c).value)
    # ONNX counts negative indices from the end; Keras gives zeros
    x = cast(c.tensor(x), DType.i64)
    outside = np.asarray(c.op.num_classes, np.int64)
    x = emit("Where", emit("Less", x, np.int64(0)), outside, x)
    return emit("OneHot", x, ints(c.op.num_classes), values, axis=int(c.op.axis))


@translates_op("nn.MultiHot")
def multi_hot(c: Any, inputs: Any) -> Any:
    if getattr(c.op, "sparse", False):
        raise Refused("sparse")
    made = one_hot_of(c, inputs)
    axis = 1 if made.rank > 2 else 0
    return emit("ReduceMax", made, ints(axis), keepdims=0)


def encoded_type(c: Any) -> DType:
    """The type that an encoding asks for; on PyTorch, Keras describes another."""
    return dtype_of(keras.backend.standardize_dtype(c.op.dtype or keras.config.floatx()))


def one_hot_of(c: Any, x: Any) -> Any:
    values = np.array([0, 1], encoded_type(c).value)
    return emit("OneHot", cast(c.tensor(x), DType.i64), ints(c.op.num_classes), values, axis=-1)


@translates_op("core.Slice")
def slice_(c: Any, inputs: Any, start_indices: Any) -> Any:
    x = c.tensor(inputs)
    if isinstance(start_indices, SymbolicTensor):
        raise Refused("start indices that are computed")
    starts = list(start_indices)
    ends = [start + size for start, size in zip(starts, c.op.shape, strict=True)]
    return emit("Slice", x, c.sizes(starts), c.sizes(ends), ints(*range(x.rank)))


@translates_op("numpy.Digitize")
def digitize(c: Any, x: Any, bins: Any) -> Any:
    """How many bounds each element is not below."""
    bounds = np.sort(np.asarray(bins))
    x = emit("Unsqueeze", c.tensor(x, DType.f32), ints(-1))
    reached = cast(emit("GreaterOrEqual", x, bounds.astype(np.float32)), DType.i32)
    return cast(emit("ReduceSum", reached, ints(-1), keepdims=0), c.dtype)
