"""Lowering of normalizations: rows as one job, others as moments and a pointwise expression."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np

from ir.diagnostics import UnsupportedError
from ir.dtypes import DType
from ir.graph import Node
from layercc.buffers import Tensor
from layercc.jobs.normalization import LocalResponse, NormalizeRows
from layercc.jobs.reductions import Recipe, Reduction
from layercc.kernels.expressions import ExpressionBuilder
from layercc.lower.context import Context
from layercc.lower.pointwise import emit_built
from layercc.lower.reduction import recipe_of, stages
from layercc.lower.registry import lowering


@functools.cache
def _mean_of_squares() -> Recipe:
    """The mean of (x - shift)^2."""
    before, after = ExpressionBuilder(2), ExpressionBuilder(3)
    apart = before("subtract", before("identity", 0, dtype="f64"), 1, dtype="f64")
    before("multiply", apart, apart, dtype="f64")
    after("divide", 0, 1, dtype="f64")
    return Recipe("sum", "f64", before.steps, after.steps, shift="f64")


def moments(context: Context, x: Tensor, axes: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Mean and (biased) variance of `x` over `axes`, which remain with size 1; both f64.

    Each in a pass of its own. Over several runs of axes, variances are combined after Chan, Golub
    and LeVeque (1979): the variance of a union is the mean of the variances and the variance of
    the means.
    """
    shape = tuple(1 if axis in axes else size for axis, size in enumerate(x.shape))
    variance: Tensor | None = None
    for stage in stages(x.shape, axes):
        kept = (stage[0], stage[2])
        mean, spread = context.scratch(DType.f64, kept), context.scratch(DType.f64, kept)
        context.emit(Reduction(x, mean, stage, recipe_of("ReduceMean", x.dtype), stage[1]))
        context.emit(Reduction(x, spread, stage, _mean_of_squares(), stage[1], shift=mean))
        if variance is not None:
            within = context.scratch(DType.f64, kept)
            recipe = recipe_of("ReduceMean", DType.f64)
            context.emit(Reduction(variance, within, stage, recipe, stage[1]))
            total = context.scratch(DType.f64, kept)
            add = ExpressionBuilder(2)
            emit_built(context, add, [within, spread], [total], [add("add", 0, 1, dtype="f64")])
            spread = total
        x, variance = mean, spread
    assert variance is not None
    return x.reshaped(shape), variance.reshaped(shape)


def standardize(
    context: Context,
    x: Tensor,
    y: Tensor,
    mean: Tensor,
    variance: Tensor,
    epsilon: float,
    scale: Tensor | None = None,
    bias: Tensor | None = None,
) -> None:
    """`(x - mean) / sqrt(variance + epsilon) * scale + bias`, broadcast.

    First, for each mean: `center`, which is the mean rounded, `factor` and `offset`; then
    `(x - center) * factor + offset` for each element, in f32 (or f64 for an f64 result).
    """
    dtype = "f64" if y.dtype is DType.f64 else "f32"
    operands = [mean, variance, *(t for t in (scale, bias) if t is not None)]
    shape = np.broadcast_shapes(*(tensor.shape for tensor in operands))
    center, factor, offset = (context.scratch(DType[dtype], shape) for _ in range(3))
    per_mean = ExpressionBuilder(len(operands))
    wide = [per_mean("identity", k, dtype="f64") for k in range(len(operands))]
    small = per_mean("identity", wide[0], dtype=dtype)
    raised = per_mean("add", wide[1], per_mean.constant(epsilon, "f64"), dtype="f64")
    slope = per_mean("reciprocal", per_mean("sqrt", raised, dtype="f64"), dtype="f64")
    if scale is not None:
        slope = per_mean("multiply", slope, wide[2], dtype="f64")
    rest = per_mean("subtract", per_mean("identity", small, dtype="f64"), wide[0], dtype="f64")
    base = per_mean("multiply", rest, slope, dtype="f64")
    if bias is not None:
        base = per_mean("add", base, wide[-1], dtype="f64")
    results = [small, *(per_mean("identity", value, dtype=dtype) for value in (slope, base))]
    emit_built(context, per_mean, operands, [center, factor, offset], results)

    each = ExpressionBuilder(4)
    value = each("subtract", each("identity", 0, dtype=dtype), 1, dtype=dtype)
    value = each("add", each("multiply", value, 2, dtype=dtype), 3, dtype=dtype)
    value = each("identity", value, dtype=str(y.dtype))
    emit_built(context, each, [x, center, factor, offset], [y], [value])


@lowering("LayerNormalization")
def layer_normalization(context: Context, node: Node) -> None:
    """Over the last dims; scale and bias usually have these dims."""
    call = context.call_of(node)
    x = context.tensor(node.inputs[0])
    axis = call.axis_of(call.axis, len(x.shape))
    scale = context.tensor(node.inputs[1])
    bias = context.tensor(node.inputs[2]) if call.has(2) else None
    y = context.output(node.outputs[0])
    names = (*node.outputs[1:], "", "")[:2]
    means, inverses = (context.output(name) if name else None for name in names)
    if all(t is None or _covers(t, x.shape[axis:]) for t in (scale, bias)):
        rows = NormalizeRows(
            x, scale, bias, y, axis, float(call.epsilon),
            centered=True, means=means, inverses=inverses,
        )  # fmt: skip
        context.emit(rows)
        return
    if means or inverses:
        raise UnsupportedError(f"{node}: mean and deviation with scale {list(scale.shape)}")
    axes = range(axis, len(x.shape))
    standardize(context, x, y, *moments(context, x, axes), call.epsilon, scale, bias)


@lowering("RMSNormalization")
def rms_normalization(context: Context, node: Node) -> None:
    """Over the last dims."""
    call = context.call_of(node)
    x = context.tensor(node.inputs[0])
    axis = call.axis_of(call.axis, len(x.shape))
    scale = context.tensor(node.inputs[1])
    y = context.output(node.outputs[0])
    if not _covers(scale, x.shape[axis:]):
        raise UnsupportedError(
            f"{node}: scale is {list(scale.shape)}; only {list(x.shape[axis:])} is supported"
        )
    context.emit(NormalizeRows(x, scale, None, y, axis, float(call.epsilon), centered=False))


def _covers(parameter: Tensor, dims: tuple[int, ...]) -> bool:
    """Whether a parameter has an element for each of the normalized elements."""
    rest = parameter.shape[: -len(dims)]
    return parameter.shape[-len(dims) :] == dims and all(size == 1 for size in rest)


@lowering("BatchNormalization")
def batch_normalization(context: Context, node: Node) -> None:
    """At inference: given mean and variance."""
    call = context.call_of(node)
    if call.training_mode:
        raise UnsupportedError(f"{node}: training mode is not compiled")
    x = context.tensor(node.inputs[0])
    spread = _per_channel(x, bool(call.channels_last))
    scale, bias, mean, variance = (
        context.tensor(name).reshaped(spread) for name in node.inputs[1:5]
    )
    y = context.output(node.outputs[0], reuse=x)
    standardize(context, x, y, mean, variance, call.epsilon, scale, bias)


def _per_channel(x: Tensor, channels_last: bool) -> tuple[int, ...]:
    """The shape in which one element a channel broadcasts with `x`."""
    rank = len(x.shape)
    if rank == 1:
        return (1,)
    at = rank - 1 if channels_last else 1
    return tuple(size if axis == at else 1 for axis, size in enumerate(x.shape))


@lowering("InstanceNormalization", "GroupNormalization")
def group_normalization(context: Context, node: Node) -> None:
    """Over the spatial dims, and the channels of a group (instances: one channel)."""
    call = context.call_of(node)
    x = context.tensor(node.inputs[0])
    batch = x.shape[0]
    channels = x.shape[-1] if call.channels_last else x.shape[1]
    groups = channels if node.op == "InstanceNormalization" else call.num_groups
    size = x.size // max(batch * channels, 1)
    scale, bias = (context.tensor(name) for name in node.inputs[1:3])
    y = context.output(node.outputs[0])
    spread: tuple[int, ...] = (groups, channels // max(groups, 1))
    if call.channels_last:
        view, axes = (batch, size, *spread), (1, 3)
    else:
        view, axes = (batch, *spread, size), (2, 3)
        spread = (*spread, 1)
    grouped = x.reshaped(view)
    mean, variance = moments(context, grouped, axes)
    standardize(
        context, grouped, y.reshaped(view), mean, variance, call.epsilon,
        scale.reshaped(spread), bias.reshaped(spread),
    )  # fmt: skip


@lowering("MeanVarianceNormalization")
def mean_variance_normalization(context: Context, node: Node) -> None:
    """(x - mean) / (deviation + 1e-9)."""
    call = context.call_of(node)
    x = context.tensor(node.inputs[0])
    axes = [call.axis_of(axis, len(x.shape)) for axis in call.axes]
    mean, variance = moments(context, x, axes)
    y = context.output(node.outputs[0])
    steps = ExpressionBuilder(3)
    apart = steps("subtract", steps("identity", 0, dtype="f64"), 1, dtype="f64")
    deviation = steps("sqrt", 2, dtype="f64")
    deviation = steps("add", deviation, steps.constant(1e-9, "f64"), dtype="f64")
    made = steps("divide", apart, deviation, dtype="f64")
    made = steps("identity", made, dtype=str(y.dtype))
    emit_built(context, steps, [x, mean, variance], [y], [made])


@lowering("LpNormalization")
def lp_normalization(context: Context, node: Node) -> None:
    """x / norm along an axis; 0 where the norm is 0."""
    call = context.call_of(node)
    x = context.tensor(node.inputs[0])
    if call.p not in (1, 2):
        raise UnsupportedError(f"{node}: p is {call.p}; 1 or 2 would fit")
    axis = call.axis_of(call.axis, len(x.shape))
    shape = tuple(1 if i == axis else size for i, size in enumerate(x.shape))
    norm = context.scratch(DType.f64, shape)
    recipe = recipe_of("ReduceL1" if call.p == 1 else "ReduceL2", x.dtype)
    (stage,) = stages(x.shape, [axis])
    context.emit(Reduction(x, norm, stage, recipe, 1))
    y = context.output(node.outputs[0])
    steps = ExpressionBuilder(2)
    zero = steps.constant(0.0, "f64")
    empty = steps("equal", 1, zero, dtype="bool")
    part = steps("divide", steps("identity", 0, dtype="f64"), 1, dtype="f64")
    made = steps("select", empty, zero, part, dtype="f64")
    made = steps("identity", made, dtype=str(y.dtype))
    emit_built(context, steps, [x, norm], [y], [made])


@lowering("LRN")
def local_response_normalization(context: Context, node: Node) -> None:
    """Across neighbouring channels, in either layout."""
    call = context.call_of(node)
    x = context.tensor(node.inputs[0])
    y = context.output(node.outputs[0])
    axis = len(x.shape) - 1 if call.channels_last else 1
    before = (call.size - 1) // 2
    if x.size == 0:
        return
    job = LocalResponse(
        x, y, axis,
        before=before,
        after=call.size - 1 - before,
        alpha=call.alpha / call.size,
        beta=float(call.beta),
        bias=float(call.bias),
    )  # fmt: skip
    context.emit(job)
