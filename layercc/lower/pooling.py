"""Lowering of pools over sliding windows."""

from __future__ import annotations

import math

from ir.graph import Node
from ir.ops.pooling import MaxUnpool, pool_window
from ir.ops.windows import Window
from layercc.jobs.movement import strides_of
from layercc.jobs.pooling import Pool, PoolIndices, PoolKind, Unpool
from layercc.jobs.reductions import Recipe
from layercc.jobs.windows import three
from layercc.kernels.expressions import ExpressionBuilder
from layercc.lower.context import Context, Tensor
from layercc.lower.layout import channels_last_input, channels_last_output, put_back
from layercc.lower.movement import fill_with, strided_copy
from layercc.lower.reduction import emit_reduction
from layercc.lower.registry import lowering
from layercc.lower.windows import axes_of


@lowering("MaxPool")
def max_pool(context: Context, node: Node) -> None:
    """MaxPool; Indices are a job of their own."""
    window, x, last = _start(context, node)
    if node.outputs[0]:
        _pool(context, node, x, window, "max")
    if len(node.outputs) > 1 and node.outputs[1]:
        _indices(context, node, x, window, last)


@lowering("AveragePool")
def average_pool(context: Context, node: Node) -> None:
    """AveragePool."""
    window, x, _ = _start(context, node)
    include_pad = bool(context.call_of(node).count_include_pad)
    _pool(context, node, x, window, "average", include_pad=include_pad)


@lowering("LpPool")
def lp_pool(context: Context, node: Node) -> None:
    """LpPool."""
    window, x, _ = _start(context, node)
    _pool(context, node, x, window, "lp", power=int(context.call_of(node).p))


def _start(context: Context, node: Node) -> tuple[Window, Tensor, bool]:
    call = context.call_of(node)
    last = bool(call.channels_last)
    x = channels_last_input(context, context.tensor(node.inputs[0]), last)
    return pool_window(call), x, last


def _pool(
    context: Context,
    node: Node,
    x: Tensor,
    window: Window,
    kind: PoolKind,
    *,
    power: int = 0,
    include_pad: bool = False,
) -> None:
    target = context.output(node.outputs[0])
    y = channels_last_output(context, target, bool(context.call_of(node).channels_last))
    axes = axes_of(x.shape[1:-1], window)
    context.emit(Pool(kind, x, y, axes, power, include_pad, three(window.pads_end, 0)))
    put_back(context, y, target)


def _indices(context: Context, node: Node, x: Tensor, window: Window, last: bool) -> None:
    target = context.output(node.outputs[1])
    y = channels_last_output(context, target, last)
    spatial = x.shape[1:-1]
    places = strides_of(spatial)
    if context.call_of(node).storage_order:
        places = strides_of(spatial[::-1])[::-1]
    context.emit(PoolIndices(x, y, axes_of(spatial, window), three(places, 0)))
    put_back(context, y, target)


@lowering("GlobalLpPool")
def global_lp_pool(context: Context, node: Node) -> None:
    """The p-norm over the spatial dims: a reduction."""
    call = context.call_of(node)
    x = context.tensor(node.inputs[0])
    rank = len(x.shape)
    axes = range(1, rank - 1) if call.channels_last else range(2, rank)
    emit_reduction(context, x, context.output(node.outputs[0]), list(axes), _norm(call.p))


def _norm(p: int) -> Recipe:
    """(Σ |x|^p)^(1/p)."""
    before, after = ExpressionBuilder(1), ExpressionBuilder(2)
    size = before("absolute", before("identity", 0, dtype="f64"), dtype="f64")
    before("power", size, before.constant(float(p), "f64"), dtype="f64")
    after("power", 0, after.constant(1 / p, "f64"), dtype="f64")
    return Recipe("sum", "f64", before.steps, after.steps)


@lowering("MaxUnpool")
def unpool(context: Context, node: Node) -> None:
    """Zeros, into which elements are written one after another."""
    call = context.call_of(node)
    x, indices = context.tensor(node.inputs[0]), context.tensor(node.inputs[1])
    target = context.output(node.outputs[0])
    inner = tuple(map(int, MaxUnpool.pooled_shape(call)))
    direct = math.prod(inner) == target.size
    y = target if direct else context.scratch(x.dtype, inner)
    fill_with(context, y)
    context.emit(Unpool(x, indices, y, context.check(1)))
    if not direct:
        fill_with(context, target)
        common = [min(a, b) for a, b in zip(inner, target.shape, strict=True)]
        strided_copy(context, y, target, common, strides_of(inner), strides_of(target.shape))
