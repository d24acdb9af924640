"""Lowering of matrix products."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from layercc.buffers import Tensor
from layercc.jobs.contraction import Contraction, GroupDim, Matrices
from layercc.lower.context import Context
from layercc.lower.epilogue import epilogue_of
from layercc.lower.group import Group, anchor


@anchor("MatMul")
def product(context: Context, group: Group) -> None:
    """Batched matrix product with broadcasting, and its epilogue."""
    left, right = group.anchor.inputs
    a, b = context.tensor(left), context.tensor(right)
    y = context.output(group.output)
    job = dense_product(a, b, y)
    epilogue = epilogue_of(context, group, [g.y for g in job.groups], job.columns)
    context.emit(replace(job, epilogue=epilogue))


def dense_product(a: Tensor, b: Tensor, y: Tensor) -> Contraction:
    """y = a @ b, of dense tensors, as `numpy.matmul` has it."""
    if len(a.shape) == 1:
        a = a.reshaped((1, *a.shape))
    if len(b.shape) == 1:
        b = b.reshaped((*b.shape, 1))
    rows, depth = a.shape[-2:]
    columns = b.shape[-1]
    groups = batch_dims(a.shape, b.shape)
    if math.prod(b.shape[:-2]) == 1 and len(a.shape) > 2:
        rows, groups = math.prod(a.shape[:-1]), ()  # one matrix for all: rows are rows
    return Contraction(
        x=a,
        x_row=depth,
        weights=Matrices(b, columns, ((columns, 1),)),
        y=y,
        y_row=columns,
        rows=rows,
        columns=columns,
        depth=depth,
        groups=groups,
    )


def batch_dims(a: Sequence[int], b: Sequence[int]) -> tuple[GroupDim, ...]:
    """The batch dims of a product of dense matrices, of the shapes `a` and `b`, broadcast."""
    batch = np.broadcast_shapes(tuple(a[:-2]), tuple(b[:-2]))
    strides = (
        _batch_strides(batch, a[:-2], a[-2] * a[-1]),
        _batch_strides(batch, b[:-2], b[-2] * b[-1]),
        _batch_strides(batch, batch, a[-2] * b[-1]),
    )
    return tuple(GroupDim(size, *steps) for size, *steps in zip(batch, *strides, strict=True))


def _batch_strides(batch: Sequence[int], dims: Sequence[int], size: int) -> list[int]:
    """Elements between matrices along each batch dim, 0 where `dims` is broadcast."""
    strides: list[int] = []
    step = size
    for dim in reversed((1,) * (len(batch) - len(dims)) + tuple(dims)):
        strides.insert(0, step if dim != 1 else 0)
        step *= dim
    return strides
