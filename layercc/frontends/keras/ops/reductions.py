"""Reductions, searches, sums along an axis."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from ir.dtypes import DType, dtype_of
from layercc.frontends.keras.ops.elementwise import truth
from layercc.frontends.keras.registry import OPS, Refused, enter, translates_op
from layercc.layers import emit
from layercc.layers.layer import cast
from layercc.layers.tensor import ints


def axes_of(c: Any, x: Any, axis: Any) -> Any:
    """The operand of axes, None for all."""
    if axis is None:
        return None
    return ints(*([int(axis)] if isinstance(axis, int | np.integer) else map(int, axis)))


def reduced(c: Any, op: str, x: Any, axis: Any, keepdims: bool) -> Any:
    axes = axes_of(c, x, axis)
    if axes is not None and not axes.size:
        return x
    return emit(op, x, *([] if axes is None else [axes]), keepdims=int(bool(keepdims)))


def _reduction(op: str) -> Callable[..., Any]:
    def translation(c: Any, x: Any) -> Any:
        if getattr(c.op, "initial", None) is not None:
            raise Refused("initial")
        return reduced(c, op, c.tensor(x, c.dtype), c.op.axis, c.op.keepdims)

    return translation


for _name, _op in {
    "numpy.Sum": "ReduceSum", "numpy.Mean": "ReduceMean", "numpy.Max": "ReduceMax",
    "numpy.Min": "ReduceMin", "numpy.Amax": "ReduceMax", "numpy.Amin": "ReduceMin",
    "numpy.Prod": "ReduceProd", "math.Logsumexp": "ReduceLogSumExp",
}.items():  # fmt: skip
    enter(OPS, _name, _reduction(_op))


@translates_op("numpy.Any", "numpy.All")
def any_or_all(c: Any, x: Any) -> Any:
    op = "ReduceMax" if type(c.op).__name__ == "Any" else "ReduceMin"
    return reduced(c, op, truth(c, x), c.op.axis, c.op.keepdims)


def moments(c: Any, x: Any, axis: Any, keepdims: bool) -> tuple[Any, Any]:
    """Mean and variance."""
    mean = reduced(c, "ReduceMean", x, axis, True)
    centred = x - mean
    variance = reduced(c, "ReduceMean", centred * centred, axis, keepdims)
    return (mean if keepdims else reduced(c, "ReduceMean", x, axis, False)), variance


@translates_op("numpy.Var", "numpy.Std")
def variance(c: Any, x: Any) -> Any:
    _, found = moments(c, c.tensor(x, c.dtype), c.op.axis, c.op.keepdims)
    return emit("Sqrt", found) if type(c.op).__name__ == "Std" else found


@translates_op("nn.Moments")
def moments_(c: Any, x: Any) -> Any:
    return moments(c, c.tensor(x, c.dtype), c.op.axes, c.op.keepdims)


@translates_op("numpy.Ptp")
def peak_to_peak(c: Any, x: Any) -> Any:
    x = c.tensor(x, c.dtype)
    high, low = (reduced(c, op, x, c.op.axis, c.op.keepdims) for op in ("ReduceMax", "ReduceMin"))
    return high - low


@translates_op("numpy.CountNonzero")
def count_nonzero(c: Any, x: Any) -> Any:
    found = cast(truth(c, x), DType.i32)
    return cast(reduced(c, "ReduceSum", found, c.op.axis, False), c.dtype)


@translates_op("numpy.Argmax", "numpy.Argmin")
def search(c: Any, x: Any) -> Any:
    x = c.tensor(x)
    op = "ArgMax" if type(c.op).__name__ == "Argmax" else "ArgMin"
    axis, keepdims = c.op.axis, c.op.keepdims
    rank = x.rank
    if axis is None:
        x = emit("Reshape", x, ints(-1))
    found = emit(op, x, axis=0 if axis is None else int(axis), keepdims=int(bool(keepdims)))
    if axis is None and keepdims:
        found = emit("Reshape", found, ints(*[1] * rank))
    elif axis is None:
        found = emit("Reshape", found, np.zeros(0, np.int64))
    return cast(found, c.dtype)


@translates_op("numpy.Cumsum", "numpy.Cumprod")
def cumulative(c: Any, x: Any) -> Any:
    x = c.tensor(x, c.dtype)
    axis = c.op.axis
    if axis is None:
        x, axis = emit("Reshape", x, ints(-1)), 0
    return emit("CumSum" if type(c.op).__name__ == "Cumsum" else "CumProd", x, ints(axis)[0])


@translates_op("math.TopK")
def top_k(c: Any, x: Any) -> Any:
    values, indices = emit("TopK", c.tensor(x), ints(c.op.k), results=2, axis=-1)
    return values, cast(indices, dtype_of(c.outputs[1].dtype))


@translates_op("numpy.Sort", "numpy.Argsort")
def sort(c: Any, x: Any) -> Any:
    x = c.tensor(x)
    axis = c.op.axis
    if axis is None:
        x, axis = emit("Reshape", x, ints(-1)), 0
    size = emit("Shape", x, start=axis % x.rank, end=axis % x.rank + 1)
    values, order = emit("TopK", x, size, results=2, axis=int(axis), largest=0)
    return values if type(c.op).__name__ == "Sort" else cast(order, c.dtype)


@translates_op("numpy.Average")
def average(c: Any, x: Any, weights: Any = None) -> Any:
    x = c.tensor(x, c.dtype)
    if weights is None:
        return reduced(c, "ReduceMean", x, c.op.axis, False)
    weights = c.tensor(weights, c.dtype)
    if weights.rank == 1 and x.rank > 1 and c.op.axis is not None:
        behind = x.rank - 1 - int(c.op.axis) % x.rank
        weights = emit("Reshape", weights, ints(-1, *[1] * behind))
    whole = weights + x * 0.0
    total = reduced(c, "ReduceSum", x * weights, c.op.axis, False)
    return total / reduced(c, "ReduceSum", whole, c.op.axis, False)


@translates_op("linalg.Norm")
def norm(c: Any, x: Any) -> Any:
    x = c.tensor(x, c.dtype)
    order, axis = c.op.ord, c.op.axis
    several = (axis is None and x.rank > 1) or (isinstance(axis, list | tuple) and len(axis) > 1)
    if order in (None, 2, "fro") and not (order == 2 and several):
        op = "ReduceL2"
    elif order == 1 and not several:
        op = "ReduceL1"
    elif order in (np.inf, -np.inf) and not several:
        return reduced(
            c, "ReduceMax" if order > 0 else "ReduceMin", emit("Abs", x), axis, c.op.keepdims
        )
    else:
        raise Refused(f"ord {order}")
    return reduced(c, op, x, axis, c.op.keepdims)


@translates_op("nn.Normalize")
def normalize(c: Any, x: Any) -> Any:
    x = c.tensor(x, c.dtype)
    if c.op.order != 2:
        raise Refused(f"order {c.op.order}")
    total = reduced(c, "ReduceSumSquare", x, c.op.axis, True)
    epsilon = keras.config.epsilon() if c.op.epsilon is None else c.op.epsilon
    most = np.asarray(1.0 / epsilon, x.dtype.value)
    return x * emit("Min", emit("Reciprocal", emit("Sqrt", total)), most)
