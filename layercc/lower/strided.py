"""Tensors as the arguments of kernels that take groups of rows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Self

from layercc.lower.context import Tensor


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
