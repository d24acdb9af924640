"""Lowering of arg-max and arg-min, hard-max, and running totals."""

from __future__ import annotations

from ir.dtypes import HALVES, DType
from ir.graph import Node
from layercc.cpu.kernels.cumulate import COLUMNS as CUMULATE_COLUMNS
from layercc.cpu.kernels.cumulate import cumulate
from layercc.cpu.kernels.search import COLUMNS, one_hot_rows, search_columns, search_rows
from layercc.jobs.reductions import along_axis
from layercc.lower.context import Context, Tensor
from layercc.lower.gathering import in_range
from layercc.lower.pointwise import ExpressionBuilder
from layercc.lower.reduction import accumulator_of
from layercc.lower.registry import lowering

#: Elements of a task.
_TASK = 1 << 15


def emit_search(
    context: Context, x: Tensor, y: Tensor, axis: int, *, largest: bool, last: bool = False
) -> None:
    """Appends the call that finds the extreme element along `axis`; `y` takes i64 indices."""
    outer, n, inner = along_axis(x.shape, axis)
    params = (str(x.dtype), largest, last)
    if x.size == 0:
        return
    if inner == 1:
        outer_block = max(1, _TASK // n)
        context.call(
            search_rows.key(*params),
            tasks=-(-outer // outer_block),
            flops=x.size,
            x=x, y=y, outer=outer, outer_block=outer_block, n=n,
        )  # fmt: skip
        return
    context.call(
        search_columns.key(*params),
        tasks=outer * -(-inner // COLUMNS),
        flops=x.size,
        x=x, y=y, n=n, inner=inner,
    )  # fmt: skip


@lowering("ArgMax", "ArgMin")
def arg_extremum(context: Context, node: Node) -> None:
    """Indices of the largest or smallest elements along an axis."""
    call = context.call_of(node)
    x = context.tensor(node.inputs[0])
    emit_search(
        context, x, context.output(node.outputs[0]), call.axis,
        largest=node.op == "ArgMax", last=bool(call.select_last_index),
    )  # fmt: skip


@lowering("Hardmax")
def hardmax(context: Context, node: Node) -> None:
    """1 at the first largest element along an axis."""
    call = context.call_of(node)
    x = context.tensor(node.inputs[0])
    outer, n, inner = along_axis(x.shape, call.axis)
    places = context.scratch(DType.i64, (outer, inner))
    emit_search(context, x, places, call.axis, largest=True)
    y = context.output(node.outputs[0])
    context.call(
        one_hot_rows.key(str(y.dtype)), tasks=outer, flops=x.size,
        index=places, y=y, n=n, inner=inner,
    )  # fmt: skip


@lowering("CumSum", "CumProd")
def cumulative(context: Context, node: Node) -> None:
    """Running totals along an axis."""
    call = context.call_of(node)
    x = context.tensor(node.inputs[0])
    y = context.output(node.outputs[0])
    accumulator = "f32" if x.dtype in HALVES else accumulator_of(x.dtype)
    key = cumulate.key(str(x.dtype), accumulator, node.op == "CumProd", bool(call.exclusive))
    known = context.value(node.inputs[1])
    rank = len(x.shape)
    chosen = range(rank) if known is None else [int(known.reshape(-1)[0]) % rank]
    asked: dict[str, int | Tensor] = {}
    if known is None:
        axis = context.scratch(DType.i64, ())
        convert = ExpressionBuilder(1)
        given = in_range(context, node, 1).reshaped(())
        convert.emit(context, [given], [axis], [convert("identity", 0, dtype="i64")])
        asked = {"axis": axis, "rank": rank}
    for only in chosen:
        outer, n, inner = along_axis(x.shape, only)
        context.call(
            key,
            tasks=outer * -(-inner // CUMULATE_COLUMNS),
            flops=x.size,
            x=x, y=y, n=n, inner=inner, reverse=int(bool(call.reverse)), only=only, **asked,
        )  # fmt: skip
