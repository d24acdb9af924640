"""Contractions: convolutions of one to three dims and matrix products alike."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from layercc.buffers import Tensor
from layercc.jobs.job import Job
from layercc.jobs.windows import Axes


@dataclass(frozen=True)
class GroupDim:
    """A dim of the groups: its size, and the elements between neighbours in each operand.

    A stride of 0 is for an operand that all share.
    """

    size: int
    x: int
    w: int
    y: int


@dataclass(frozen=True, eq=False)
class Matrices:
    """Weights seen as [groups..., taps of d, h and w, depth, columns]; strides in elements.

    `row` is that along the depth; columns are one dim or several, each of a size and a stride.
    """

    tensor: Tensor
    row: int
    column: tuple[tuple[int, int], ...]
    taps: tuple[int, int, int] = (0, 0, 0)
    start: int = 0


@dataclass(frozen=True, eq=False)
class Operand:
    """A tensor that an epilogue reads besides the sum: strides over the groups, rows and columns of
    the output. A stride of 0 is for the same element throughout; `column` is 0 or 1."""

    tensor: Tensor
    groups: tuple[int, ...]
    row: int
    column: int


@dataclass(frozen=True, eq=False)
class Epilogue:
    """A scalar expression of the sum and the operands; the plain sum if there is none."""

    steps: tuple = ()  # an expression; see `layercc.kernels.expressions`
    operands: tuple[Operand, ...] = ()


@dataclass(frozen=True, eq=False)
class Contraction(Job):
    """Y[g, m, n] = epilogue(Σ_t Σ_k (X[g, row(m, t), k] - x_zero) · (W[g, t, k, n] - w_zero))

    `m` counts rows (output pixels), `t` the taps of the window, `k` the depth (input channels), `n`
    columns (output channels). Columns of Y, and the depth in X, are dense; `x_row` and `y_row` are
    the elements between rows. Without a window, row m of Y is of row m of X; with one, X is
    [images, spatial..., channels], and outside of it lies `x_zero`, or 0.

    Operands of 8 bits have sums in i32, with zero points that broadcast to the tensors of X and W.
    """

    x: Tensor
    x_row: int
    weights: Matrices
    y: Tensor
    y_row: int
    rows: int
    columns: int
    depth: int
    groups: tuple[GroupDim, ...] = ()
    window: Axes | None = None
    epilogue: Epilogue = field(default_factory=Epilogue)
    x_zero: Tensor | None = None
    w_zero: Tensor | None = None

    @property
    def taps(self) -> int:
        return 1 if self.window is None else self.window.taps

    @property
    def group_count(self) -> int:
        return math.prod(group.size for group in self.groups)

    @property
    def flops(self) -> int:
        """Multiplications and additions."""
        return 2 * self.group_count * self.rows * self.columns * self.depth * self.taps
