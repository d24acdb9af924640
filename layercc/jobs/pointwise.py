"""Pointwise arithmetic."""

from __future__ import annotations

from collections.abc import Sequence
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


def row_major_strides(shape: Sequence[int], rank: int) -> list[int]:
    """Element strides of a dense tensor broadcast to `rank` dims; 0 where it is broadcast."""
    strides = [0] * rank
    step = 1
    for axis in range(1, len(shape) + 1):
        if shape[-axis] != 1:
            strides[-axis] = step
        step *= shape[-axis]
    return strides


def collapse(
    shape: Sequence[int], strides: Sequence[Sequence[int]]
) -> tuple[list[int], list[list[int]]]:
    """Fewer, longer dims: those that every operand walks as if they were one are merged.

    `strides[k]` are the element strides of operand k over `shape`. At least one dim remains.
    """
    sizes: list[int] = []
    merged: list[list[int]] = [[] for _ in strides]
    for axis, size in enumerate(shape):
        if size == 1:
            continue
        steps = [operand[axis] for operand in strides]
        if sizes and all(
            walked[-1] == step * size for walked, step in zip(merged, steps, strict=True)
        ):
            sizes[-1] *= size
            for walked, step in zip(merged, steps, strict=True):
                walked[-1] = step
            continue
        sizes.append(size)
        for walked, step in zip(merged, steps, strict=True):
            walked.append(step)
    if not sizes:
        return [1], [[0] for _ in strides]
    return sizes, merged
