"""Epilogues: the pointwise ops that a contraction applies to its result on the way out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ir.diagnostics import UnsupportedError
from layercc.lower.context import Context, Tensor
from layercc.lower.expressions import expression_of
from layercc.lower.group import Group
from layercc.lower.strided import Strided


@dataclass(frozen=True)
class Operand(Strided):
    """A tensor that an epilogue reads besides the sum, over the groups, rows and columns of the
    output. A stride of 0 is for the same element throughout; `column` is 0 or 1."""

    column: int


@dataclass(frozen=True)
class Epilogue:
    """A scalar expression of the sum and the operands; the plain sum if there is none."""

    steps: tuple = ()  # an expression; see `layercc.kernels.expressions`
    operands: tuple[Operand, ...] = ()

    @property
    def columns(self) -> tuple[int, ...]:
        """Whether the operands vary along the columns, for the kernel's key."""
        return tuple(operand.column for operand in self.operands)

    def words(self) -> list[dict[str, Any]]:
        """The operands, for the kernel's call."""
        return [operand.words() for operand in self.operands]

    def expression(self, dtype: str) -> tuple:
        """The expression, for a sum of `dtype`."""
        return self.steps or ((dtype,), (), (0,))


def epilogue_of(
    context: Context, group: Group, strides: tuple[int, ...], channels: int = 0
) -> Epilogue:
    """The epilogue of a group whose output has the element `strides` (outer, inner, row, column).

    The strides tell how an element's position in the output is taken apart: an operand that is
    broadcast is followed with stride 0. `channels`: elements of a channel vector between inner
    groups, where these divide the channels. Raises UnsupportedError when an operand cannot be
    followed, or has another element type than the result.
    """
    if not group.rest:
        return Epilogue()
    total = group.anchor.outputs[0]
    steps, names = expression_of(group.rest, group.types, [total], [group.output], context.value)
    shape, kind = context.shape(group.output), group.types[group.output]
    operands = []
    for name in names:
        operand = _operand(context.tensor(name), shape, strides, channels)
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
    tensor: Tensor, shape: tuple[int, ...], strides: tuple[int, ...], channels: int
) -> Operand | None:
    """How the operand is read along the output; None where strides cannot say it."""
    if tensor.shape == shape:
        return Operand(tensor, *strides)
    given = (1,) * (len(shape) - len(tensor.shape)) + tensor.shape
    if all(dim == 1 for dim in given[:-1]):  # one value a column, or a single one
        column = int(given[-1] != 1)
        return Operand(tensor, 0, channels * column, 0, column)
    return None
