"""Lowering of reductions: any axes, as a chain of jobs that reduce [outer, reduced, inner]."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

from ir.dtypes import DType
from ir.graph import Node
from ir.ops.reductions import reduction_axes
from layercc.buffers import Tensor
from layercc.jobs.reductions import Recipe, Reduction, Steps, number_type
from layercc.kernels.element_types import ELEMENT_TYPES
from layercc.kernels.expressions import ExpressionBuilder, compute_dtype
from layercc.lower.context import Context
from layercc.lower.registry import lowering


def accumulator_of(dtype: DType) -> str:
    """The type in which sums of `dtype` are kept: the widest of its kind."""
    return ELEMENT_TYPES[str(dtype)].summed


def stages(shape: Sequence[int], axes: Sequence[int]) -> list[tuple[int, int, int]]:
    """How to reduce `axes`: shapes [outer, reduced, inner], each made of what the last one left.

    Neighbouring axes are one stage; the longest comes first. There is at least one stage.
    """
    runs: list[list[int]] = []  # [whether reduced, size]
    for axis, size in enumerate(shape):
        reduced = axis in axes
        if runs and runs[-1][0] == reduced:
            runs[-1][1] *= size
        elif size != 1:
            runs.append([reduced, size])
    if not any(reduced for reduced, _ in runs):
        runs.append([True, 1])
    sizes = [size for _, size in runs]
    found = []
    for at in sorted((i for i, run in enumerate(runs) if run[0]), key=lambda i: -sizes[i]):
        found.append((math.prod(sizes[:at]), sizes[at], math.prod(sizes[at + 1 :])))
        sizes[at] = 1
    return found


def emit_reduction(
    context: Context, x: Tensor, y: Tensor, axes: Sequence[int], recipe: Recipe
) -> None:
    """Reduces the `axes` of `x` into `y`, whose shape does not matter; the recipe has no shift."""
    plan = stages(x.shape, axes)
    count = math.prod(reduced for _, reduced, _ in plan)
    for number, shape in enumerate(plan, start=1):
        part = recipe if number == 1 else recipe.combining()
        target = y
        if number < len(plan):
            part = part.partial()
            target = context.scratch(DType[recipe.accumulator], (shape[0], shape[2]))
        context.emit(Reduction(x, target, shape, part, count))
        x = target


# --- the ops


def _one(function: str, *operands: int, dtype: str) -> Steps:
    """A single step."""
    return ((function, operands, (), dtype),)


def _square(dtype: str) -> Steps:
    steps = ExpressionBuilder(1)
    wide = steps("identity", 0, dtype=dtype)
    steps("multiply", wide, wide, dtype=dtype)
    return steps.steps


def _in_f64(function: str) -> Steps:
    """The function on the total, as f64."""
    steps = ExpressionBuilder(2)
    steps(function, steps("identity", 0, dtype="f64"), dtype="f64")
    return steps.steps


@functools.cache
def recipe_of(op: str, dtype: DType) -> Recipe:
    """The recipe of the reduction `op` on elements of `dtype`; KeyError where it is none."""
    wide = accumulator_of(dtype)
    kind = compute_dtype(number_type(dtype))
    recipes = {
        "ReduceSum": Recipe("sum", wide),
        "ReduceMean": Recipe("sum", "f64", after=_one("divide", 0, 1, dtype="f64")),
        "ReduceProd": Recipe("prod", wide),
        "ReduceMax": Recipe("max", kind),
        "ReduceMin": Recipe("min", kind),
        "ReduceL1": Recipe("sum", wide, _one("absolute", 0, dtype=kind)),
        "ReduceL2": Recipe("sum", "f64", _square("f64"), _in_f64("sqrt")),
        "ReduceSumSquare": Recipe("sum", wide, _square(wide)),
        "ReduceLogSum": Recipe("sum", wide, after=_in_f64("log")),
    }
    return recipes[op]


@lowering(
    "ReduceSum", "ReduceMean", "ReduceProd", "ReduceMax", "ReduceMin", "ReduceL1", "ReduceL2",
    "ReduceSumSquare", "ReduceLogSum",
)  # fmt: skip
def reduction(context: Context, node: Node) -> None:
    """One reduction over any axes."""
    call = context.call_of(node)
    x = context.tensor(node.inputs[0])
    axes = reduction_axes(call, len(x.shape))
    recipe = recipe_of(node.op, x.dtype)
    if not axes and not recipe.before and not recipe.after:
        context.bind(node.outputs[0], x)
        return
    emit_reduction(context, x, context.output(node.outputs[0]), axes, recipe)


@lowering("GlobalAveragePool", "GlobalMaxPool")
def global_pool(context: Context, node: Node) -> None:
    """Reductions over the spatial dims."""
    call = context.call_of(node)
    x = context.tensor(node.inputs[0])
    rank = len(x.shape)
    axes = range(1, rank - 1) if call.channels_last else range(2, rank)
    op = "ReduceMean" if node.op == "GlobalAveragePool" else "ReduceMax"
    emit_reduction(context, x, context.output(node.outputs[0]), list(axes), recipe_of(op, x.dtype))


def _finite(steps: ExpressionBuilder, shift: int, dtype: str) -> int:
    """The shift where it is finite, else 0."""
    infinite = steps("isinf", shift, dtype="bool")
    return steps("select", infinite, steps.constant(0.0, dtype), shift, dtype=dtype)


@functools.cache
def _log_sum_exp(dtype: str) -> Recipe:
    """log(sum(exp(x - shift))) + shift, where the shift is the largest x."""
    kind = dtype if dtype == "f64" else "f32"
    before, after = ExpressionBuilder(2), ExpressionBuilder(3)
    shift = _finite(before, 1, kind)
    before("exp", before("subtract", 0, shift, dtype=kind), dtype=kind)
    shift = _finite(after, 2, "f64")
    after("add", after("log", 0, dtype="f64"), shift, dtype="f64")
    return Recipe("sum", "f64", before.steps, after.steps, shift=kind)


@lowering("ReduceLogSumExp")
def log_sum_exp(context: Context, node: Node) -> None:
    """Shifted by the maximum, so that nothing overflows."""
    call = context.call_of(node)
    x = context.tensor(node.inputs[0])
    plan = stages(x.shape, reduction_axes(call, len(x.shape)))
    y = context.output(node.outputs[0])
    for number, shape in enumerate(plan, start=1):  # log-sum-exps of log-sum-exps
        kept = (shape[0], shape[2])
        recipe = _log_sum_exp(str(x.dtype))
        target = y if number == len(plan) else context.scratch(DType.f64, kept)
        top = context.scratch(DType[recipe.shift], kept)
        context.emit(Reduction(x, top, shape, recipe_of("ReduceMax", x.dtype), 1))
        context.emit(Reduction(x, target, shape, recipe, 1, shift=top))
        x = target
