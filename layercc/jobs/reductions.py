"""Many elements become one: sums, products, the largest and the smallest."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ir.dtypes import DType
from layercc.buffers import Tensor
from layercc.jobs.job import Job
from layercc.kernels.expressions import Expression, Step

Steps = tuple[Step, ...]


@dataclass(frozen=True)
class Recipe:
    """What a reduction does with an element before it is combined, and with the total.

    `combine` is sum, prod, max or min, in the type `accumulator`. `before` are steps of an
    expression whose value 0 is the element (and value 1 the shift, where `shift` names its type);
    `after` those of one whose value 0 is the total, value 1 the number of elements (f64) and value
    2 the shift. The last step's value counts; it is converted to the accumulator's type, and to
    the result's. bool is reduced as u8.
    """

    combine: str
    accumulator: str
    before: Steps = ()
    after: Steps = ()
    shift: str = ""

    def of_element(self, dtype: DType) -> Expression:
        """The expression of an element of `dtype`, and of the shift where `before` takes one."""
        shift = (self.shift,) if self.shift and self.before else ()
        return _converted((number_type(dtype), *shift), self.before, self.accumulator)

    def of_total(self, dtype: DType) -> Expression:
        """The expression of the total, the count, and the shift where `after` takes one; it gives
        a result of `dtype`."""
        shift = (self.shift,) if self.shift and self.after else ()
        inputs = (self.accumulator, "f64", *shift)
        return _converted(inputs, self.after, number_type(dtype))

    def partial(self) -> Recipe:
        """The recipe for a part of the elements: its totals are for `combining`."""
        return replace(self, after=())

    def combining(self) -> Recipe:
        """The recipe for totals of parts."""
        return replace(self, before=())


def _converted(inputs: tuple[str, ...], steps: Steps, dtype: str) -> Expression:
    """The last step's value (or the first input) as `dtype`."""
    value = len(inputs) + len(steps) - 1 if steps else 0
    if (steps[-1][-1] if steps else inputs[0]) == dtype:
        return (inputs, steps, (value,))
    return (inputs, (*steps, ("identity", (value,), (), dtype)), (len(inputs) + len(steps),))


def number_type(dtype: DType) -> str:
    """The type under which elements are reduced: u8 for bool."""
    return "u8" if dtype is DType.bool else str(dtype)


@dataclass(frozen=True, eq=False)
class Reduction(Job):
    """Reduces x, seen as `shape` = [outer, reduced, inner], over the middle dim.

        y[o, i] = after( combine_r before(x[o, r, i], shift[o, i]), count, shift[o, i] )

    `count` is what the recipe takes for the number of elements. Of no elements the total is the
    neutral element of `combine`.
    """

    x: Tensor
    y: Tensor
    shape: tuple[int, int, int]
    recipe: Recipe
    count: int
    shift: Tensor | None = None


def along_axis(shape: Sequence[int], axis: int) -> tuple[int, int, int]:
    """The sizes [outer, n, inner] before, along and behind an axis; a scalar has one element."""
    shape = tuple(shape) or (1,)
    axis %= len(shape)
    return math.prod(shape[:axis]), shape[axis], math.prod(shape[axis + 1 :])
