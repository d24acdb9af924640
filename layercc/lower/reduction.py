"""Lowering of reductions: any axes, as a chain of calls that reduce [outer, reduced, inner]."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ir.dtypes import DType
from ir.graph import Node
from ir.ops.reductions import reduction_axes
from layercc.cpu.kernels.reduce import COLUMNS, reduce_columns, reduce_rows
from layercc.kernels.expressions import Expression, compute_dtype
from layercc.lower.context import Context, Tensor
from layercc.lower.registry import lowering

#: Elements of a task.
_TASK = 1 << 15

Steps = tuple[tuple[str, tuple[int, ...], tuple[tuple[str, object], ...], str], ...]


@dataclass(frozen=True)
class Recipe:
    """What a reduction does with an element before it is combined, and with the total.

    `before` are steps of an expression whose value 0 is the element (and value 1 the shift, where
    `shift` names its type); `after` those of one whose value 0 is the total, value 1 the number of
    elements (f64) and value 2 the shift. The last step's value counts; it is converted to the
    accumulator's type, and the output's.
    """

    combine: str
    accumulator: str
    before: Steps = ()
    after: Steps = ()
    shift: str = ""

    def first(self, dtype: str) -> Expression:
        """The expression of the elements, of `dtype`."""
        inputs = (dtype, self.shift) if self.shift else (dtype,)
        return _converted(inputs, self.before, self.accumulator)

    def later(self) -> Expression:
        """The expression of partial results, which are combined as they are."""
        return _converted((self.accumulator,), (), self.accumulator)

    def partial(self) -> Expression:
        """The expression of a total that is not the last."""
        return _converted((self.accumulator, "f64"), (), self.accumulator)

    def last(self, dtype: str) -> Expression:
        """The expression of the total, converted to `dtype`."""
        inputs = (self.accumulator, "f64", *([self.shift] if self.shift else []))
        return _converted(inputs, self.after, dtype)


def _converted(inputs: tuple[str, ...], steps: Steps, dtype: str) -> Expression:
    """The last step's value (or the first input) as `dtype`."""
    value = len(inputs) + len(steps) - 1 if steps else 0
    if (steps[-1][-1] if steps else inputs[0]) == dtype:
        return (inputs, steps, (value,))
    return (inputs, (*steps, ("identity", (value,), (), dtype)), (len(inputs) + len(steps),))


def accumulator_of(dtype: DType) -> str:
    """The type in which sums of `dtype` are kept: the widest of its kind."""
    return {"f": "f64", "b": "f64", "i": "i64", "u": "u64"}[str(dtype)[0]]


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
    """Appends the calls that reduce the `axes` of `x` into `y`, whose shape does not matter."""
    plan = stages(x.shape, axes)
    count = math.prod(reduced for _, reduced, _ in plan)
    for number, shape in enumerate(plan, start=1):
        last = number == len(plan)
        kept = (shape[0], shape[2])
        target = y if last else context.scratch(DType[recipe.accumulator], kept)
        reduce_middle(context, x, target, shape, recipe, count, first=number == 1, last=last)
        x = target


def reduce_middle(
    context: Context,
    x: Tensor,
    y: Tensor,
    shape: tuple[int, int, int],
    recipe: Recipe,
    count: int,
    *,
    first: bool = True,
    last: bool = True,
    shift: Tensor | None = None,
) -> None:
    """Reduces `x`, seen as [outer, reduced, inner], over the middle; `count` goes to `after`.

    Unless `first`, `x` holds partial results; unless `last`, `y` does. `shift` has [outer, inner].
    """
    outer, reduced, inner = shape
    block = _block(outer, reduced, inner)
    blocks = max(-(-reduced // block), 1)
    target = y
    split = blocks > 1
    if split:
        target = context.scratch(DType[recipe.accumulator], (outer, blocks, inner))
    before = recipe.first(_plain(x.dtype)) if first else recipe.later()
    after = recipe.last(_plain(y.dtype)) if last and not split else recipe.partial()
    family = reduce_rows if inner == 1 else reduce_columns
    parts = -(-inner // COLUMNS)
    outer_block = max(1, _TASK // max(min(reduced, block) * min(inner, COLUMNS), 1))
    arguments = {"outer": outer, "outer_block": outer_block, "reduced": reduced, "block": block}
    if inner != 1:
        arguments["inner"] = inner
    context.call(
        family.key(before, after, recipe.combine),
        tasks=-(-outer // outer_block) * blocks * parts,
        flops=outer * reduced * inner * (1 + 2 * len(recipe.before)),
        x=x,
        y=target,
        count=float(count),
        **({} if shift is None else {"shift": shift}),
        **arguments,
    )
    if split:
        reduce_middle(
            context, target, y, (outer, blocks, inner), recipe, count,
            first=False, last=last, shift=shift,
        )  # fmt: skip


def _block(outer: int, reduced: int, inner: int) -> int:
    """How many of `reduced` a task combines: all, unless too few tasks would remain."""
    columns = min(inner, COLUMNS)
    tasks = outer * -(-inner // COLUMNS)
    if tasks * 2 * _TASK >= outer * reduced * inner or tasks >= 64:
        return max(reduced, 1)
    return max(_TASK // columns, 1)


def _plain(dtype: DType) -> str:
    """bool is reduced as u8."""
    return "u8" if dtype is DType.bool else str(dtype)


# --- the ops


def _sum(dtype: DType, before: Steps = (), after: Steps = ()) -> Recipe:
    return Recipe("sum", accumulator_of(dtype), before, after)


def _square(dtype: str) -> Steps:
    return (("identity", (0,), (), dtype), ("multiply", (1, 1), (), dtype))


def _in_f64(function: str) -> Steps:
    """The function on the total, as f64."""
    return (("identity", (0,), (), "f64"), (function, (2,), (), "f64"))


def recipe_of(op: str, dtype: DType) -> Recipe:
    """The recipe of the reduction `op` on elements of `dtype`; KeyError where it is none."""
    wide = accumulator_of(dtype)
    kind = compute_dtype(_plain(dtype))
    mean: Steps = (("divide", (0, 1), (), "f64"),)
    recipes = {
        "ReduceSum": Recipe("sum", wide),
        "ReduceMean": Recipe("sum", "f64", (), mean),
        "ReduceProd": Recipe("prod", wide),
        "ReduceMax": Recipe("max", kind),
        "ReduceMin": Recipe("min", kind),
        "ReduceL1": Recipe("sum", wide, (("absolute", (0,), (), kind),)),
        "ReduceL2": Recipe("sum", "f64", _square("f64"), _in_f64("sqrt")),
        "ReduceSumSquare": Recipe("sum", wide, _square(wide)),
        "ReduceLogSum": Recipe("sum", wide, (), _in_f64("log")),
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


def _finite(dtype: str, shift: int, at: int) -> Steps:
    """The shift where it is finite, else 0: the last of these steps, numbered from `at`."""
    return (
        ("isinf", (shift,), (), "bool"),
        ("constant", (), (("value", 0.0),), dtype),
        ("select", (at, at + 1, shift), (), dtype),
    )


def _log_sum_exp(dtype: str) -> Recipe:
    """log(sum(exp(x - shift))) + shift, where the shift is the largest x."""
    kind = dtype if dtype == "f64" else "f32"
    before = (
        *_finite(kind, 1, 2),
        ("subtract", (0, 4), (), kind),
        ("exp", (5,), (), kind),
    )
    after = (
        *_finite("f64", 2, 3),
        ("log", (0,), (), "f64"),
        ("add", (6, 5), (), "f64"),
    )
    return Recipe("sum", "f64", before, after, shift=kind)


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
        reduce_middle(context, x, top, shape, recipe_of("ReduceMax", x.dtype), 1)
        reduce_middle(context, x, target, shape, recipe, 1, shift=top)
        x = target
