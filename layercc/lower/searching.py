"""Lowering of arg-max and arg-min, hard-max, and running totals."""

from __future__ import annotations

import numpy as np

from ir.dtypes import HALVES, DType
from ir.graph import Node
from layercc.buffers import Tensor
from layercc.jobs.indexing import OneHot
from layercc.jobs.reductions import along_axis
from layercc.jobs.searching import Cumulate, Search
from layercc.lower.casting import cast
from layercc.lower.context import Context
from layercc.lower.gathering import in_range
from layercc.lower.reduction import accumulator_of
from layercc.lower.registry import lowering


@lowering("ArgMax", "ArgMin")
def arg_extremum(context: Context, node: Node) -> None:
    """Indices of the largest or smallest elements along an axis."""
    call = context.call_of(node)
    x, y = context.tensor(node.inputs[0]), context.output(node.outputs[0])
    largest, last = node.op == "ArgMax", bool(call.select_last_index)
    if x.size:
        context.emit(Search(x, y, call.axis, largest, last))


@lowering("Hardmax")
def hardmax(context: Context, node: Node) -> None:
    """1 at the first largest element along an axis."""
    axis = context.call_of(node).axis
    x, y = context.tensor(node.inputs[0]), context.output(node.outputs[0])
    if x.size == 0:
        return
    outer, n, inner = along_axis(x.shape, axis)
    places = context.scratch(DType.i64, (outer, inner))
    context.emit(Search(x, places, axis, largest=True))
    values = context.constant(np.array([0, 1], y.dtype.value))
    context.emit(OneHot(places, values, y.reshaped((outer, n, inner)), axis=1))


@lowering("CumSum", "CumProd")
def cumulative(context: Context, node: Node) -> None:
    """Running totals along an axis."""
    call = context.call_of(node)
    x, y = context.tensor(node.inputs[0]), context.output(node.outputs[0])
    known = context.value(node.inputs[1])
    axis: int | Tensor
    if known is None:
        axis = context.scratch(DType.i64, ())
        cast(context, in_range(context, node, 1).reshaped(()), axis)
    else:
        axis = int(known.reshape(-1)[0]) % len(x.shape)
    job = Cumulate(
        x, y, axis,
        accumulator="f32" if x.dtype in HALVES else accumulator_of(x.dtype),
        product=node.op == "CumProd",
        exclusive=bool(call.exclusive),
        reverse=bool(call.reverse),
    )  # fmt: skip
    context.emit(job)
