"""Pointwise arithmetic."""

from __future__ import annotations

from dataclasses import dataclass

from layercc.buffers import Tensor
from layercc.jobs.job import Job


@dataclass(frozen=True, eq=False)
class Pointwise(Job):
    """`outputs` = `expression` of the elements of `operands`, which are broadcast to `shape`.

    The outputs are dense. `flops`: operations for one element. An output may lie where an operand
    of the same size does.
    """

    expression: tuple  # see `layercc.kernels.expressions`
    operands: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    shape: tuple[int, ...]
    flops: int = 0
