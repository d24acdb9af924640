"""Lowering of matrix products."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np

from layercc.cpu.tiles import choose_vectors
from layercc.lower.context import Context
from layercc.lower.contraction import (
    Contraction,
    Packed,
    emit,
    pack_at_run_time,
    pack_weights,
)
from layercc.lower.epilogue import Epilogue, epilogue_of
from layercc.lower.group import Group, anchor
from layercc.lower.strided import Strided


@anchor("MatMul")
def product(context: Context, group: Group) -> None:
    """Batched matrix product with broadcasting, and its epilogue."""
    left, right = group.anchor.inputs
    a, b = context.tensor(left), context.shape(right)
    y = context.output(group.output)
    if len(a.shape) == 1:
        a = a.reshaped((1, *a.shape))
    b_shape = b if len(b) > 1 else (*b, 1)
    rows, depth = a.shape[-2:]
    columns = b_shape[-1]
    batch = np.broadcast_shapes(a.shape[:-2], b_shape[:-2])
    if math.prod(b_shape[:-2]) == 1 and len(a.shape) > 2:
        rows, batch = math.prod(a.shape[:-1]), ()  # one matrix for all: rows are rows
    weights, b_size = _weights(context, right, b_shape)
    a_strides = _batch_strides(batch, a.shape[:-2], rows * depth)
    b_strides = _batch_strides(batch, b_shape[:-2], b_size)
    y_strides = _batch_strides(batch, batch, rows * columns)
    *leading, outer, inner = (1, 1, *batch)[-max(len(batch), 2) :]
    strides = [(0, 0, *s)[-max(len(batch), 2) :] for s in (a_strides, b_strides, y_strides)]
    for index in itertools.product(*map(range, leading)):
        at = [
            a.dtype.itemsize * sum(i * s for i, s in zip(index, stride, strict=False))
            for stride in strides
        ]
        epilogue = _epilogue(context, group, strides[2][-2:], columns, at[2])
        emit(
            context,
            Contraction(
                x=Strided(a.moved(at[0]), strides[0][-2], strides[0][-1], depth),
                weights=replace(
                    weights,
                    tensor=weights.tensor.moved(at[1]),
                    outer=strides[1][-2],
                    inner=strides[1][-1],
                ),
                y=Strided(y.moved(at[2]), strides[2][-2], strides[2][-1], columns),
                rows=rows,
                columns=columns,
                depth=depth,
                outer=outer,
                inner=inner,
                epilogue=epilogue,
            ),
        )


def _weights(context: Context, name: str, shape: tuple[int, ...]) -> tuple[Packed, int]:
    """The right operand in panels, and the elements of each of its matrices."""
    depth, columns = shape[-2:]
    count = math.prod(shape[:-2])
    dtype = context.dtype(name)
    vectors = choose_vectors(context.isa, columns, str(dtype))
    if name in context.graph.constants:

        def pack(array: np.ndarray) -> np.ndarray:
            return pack_weights(context.isa, array.reshape(count, 1, depth, columns), vectors)

        packed = context.packed(name, f"matrix panels {vectors}", pack)
        return Packed(packed, vectors), packed.size // max(count, 1)
    matrix = depth * columns
    made = pack_at_run_time(
        context, context.tensor(name), (1, count), (0, matrix, columns, 1), depth, columns
    )
    return made, made.inner


def _batch_strides(batch: tuple[int, ...], dims: tuple[int, ...], size: int) -> tuple[int, ...]:
    """Elements between matrices along each batch dim, 0 where `dims` is broadcast."""
    strides: list[int] = []
    step = size
    for dim in reversed((1,) * (len(batch) - len(dims)) + dims):
        strides.insert(0, step if dim != 1 else 0)
        step *= dim
    return tuple(strides)


def _epilogue(
    context: Context, group: Group, batch: tuple[int, ...], columns: int, start: int
) -> Epilogue:
    epilogue = epilogue_of(context, group, (*batch, columns, 1))
    if not start:
        return epilogue
    shape = context.shape(group.output)
    return replace(
        epilogue,
        operands=tuple(
            replace(o, tensor=o.tensor.moved(start)) if o.tensor.shape == shape else o
            for o in epilogue.operands
        ),
    )
