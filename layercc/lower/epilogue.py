"""Epilogues: the pointwise ops that a contraction applies to its result on the way out."""

from __future__ import annotations

from collections.abc import Sequence

from ir.diagnostics import UnsupportedError
from layercc.buffers import Tensor
from layercc.jobs.contraction import Epilogue, Operand
from layercc.lower.context import Context
from layercc.lower.expressions import expression_of
from layercc.lower.group import Group


def epilogue_of(
    context: Context, group: Group, groups: Sequence[int], row: int, channels: int = 0
) -> Epilogue:
    """The epilogue of a group whose output has the element strides `groups` and `row`, dense along
    the columns.

    The strides tell how an element's position in the output is taken apart: an operand that is
    broadcast is followed with stride 0. `channels`: elements of a channel vector between the last
    dim's groups, where these divide the channels. Raises UnsupportedError when an operand cannot be
    followed, or has another element type than the result.
    """
    if not group.rest:
        return Epilogue()
    total = group.anchor.outputs[0]
    steps, names = expression_of(group.rest, group.types, [total], [group.output], context.value)
    shape, kind = context.shape(group.output), group.types[group.output]
    operands = []
    for name in names:
        operand = _operand(context.tensor(name), shape, tuple(groups), row, channels)
        if operand is None or group.types[name].dtype is not kind.dtype:
            reader = next(node for node in group.rest if name in node.inputs)
            raise UnsupportedError(
                f"{reader}, fused behind {group.anchor}: operand {name!r} is "
                f"{group.types[name]}, the result {kind}; {kind.dtype} of one element, a vector "
                "along the last axis, or the result's own shape would fit"
            )
        operands.append(operand)
    return Epilogue(steps, tuple(operands))


def _operand(
    tensor: Tensor, shape: tuple[int, ...], groups: tuple[int, ...], row: int, channels: int
) -> Operand | None:
    """How the operand is read along the output; None where strides cannot say it."""
    if tensor.shape == shape:
        return Operand(tensor, groups, row, 1)
    given = (1,) * (len(shape) - len(tensor.shape)) + tensor.shape
    if all(dim == 1 for dim in given[:-1]):  # one value a column, or a single one
        column = int(given[-1] != 1)
        between = (*(0,) * (len(groups) - 1), channels * column) if groups else ()
        return Operand(tensor, between, 0, column)
    return None
