"""Parts of jobs as kernels take them: records of argument words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

from layercc.buffers import Tensor
from layercc.jobs.contraction import Epilogue
from layercc.jobs.windows import Axes, three


@dataclass(frozen=True)
class Strided:
    """A tensor seen as [outer, inner, rows, columns], columns dense; strides in elements."""

    tensor: Tensor
    outer: int
    inner: int
    row: int

    def moved(self, elements: int) -> Self:
        """The same strides, from `elements` further on."""
        return replace(self, tensor=self.tensor.moved(elements * self.tensor.dtype.itemsize))

    def from_outer(self, index: int) -> Self:
        """The tensor from the outer group `index` on."""
        return self.moved(index * self.outer)

    def words(self) -> dict[str, Any]:
        """The record `layercc.cpu.strided.strided`."""
        return {"data": self.tensor, "outer": self.outer, "inner": self.inner, "row": self.row}


def window_words(window: Axes) -> dict[str, Any]:
    """The record `layercc.cpu.window_taps.WINDOW`."""
    return {name: vars(axis) for name, axis in vars(window).items()}


def spatial_words(values: Sequence[Any], fill: int) -> dict[str, int]:
    """What `three` gives, as the record `layercc.cpu.window_taps.SPATIAL`."""
    return dict(zip("dhw", three(values, fill), strict=True))


def epilogue_expression(epilogue: Epilogue, dtype: str) -> tuple:
    """The expression, for a sum of `dtype`."""
    return epilogue.steps or ((dtype,), (), (0,))


def epilogue_columns(epilogue: Epilogue) -> tuple[int, ...]:
    """Whether the operands vary along the columns, for the kernel's key."""
    return tuple(operand.column for operand in epilogue.operands)


def epilogue_words(epilogue: Epilogue) -> list[dict[str, Any]]:
    """The operands over an outer and an inner dim of groups, for the kernel's call."""
    return [
        Strided(operand.tensor, *_two(operand.groups), operand.row).words()
        for operand in epilogue.operands
    ]


def _two(groups: tuple[int, ...]) -> tuple[int, int]:
    outer, inner = (0, 0, *groups)[-2:]
    return outer, inner
