"""Lowering of convolutions."""

from __future__ import annotations

import math

from ir.ops.convolution import conv_window
from layercc.buffers import Tensor
from layercc.jobs.contraction import Contraction, GroupDim, Matrices
from layercc.lower.context import Context
from layercc.lower.epilogue import epilogue_of
from layercc.lower.group import Group, anchor, with_bias
from layercc.lower.windows import axes_of


@anchor("Conv")
def convolution(context: Context, group: Group) -> None:
    """Channels-last convolution and its epilogue."""
    call = group.call()
    if len(group.anchor.inputs) > 2 and group.anchor.inputs[2]:
        group = with_bias(group, group.anchor.inputs[2])
    x, weight = (context.tensor(name) for name in group.anchor.inputs[:2])
    y = context.output(group.output)
    filters, channels = weight.shape[:2]
    columns = filters // call.group
    groups = filter_groups(call.group, channels, weight)
    context.emit(
        Contraction(
            x=x,
            x_row=x.shape[-1],
            weights=filter_matrices(weight, call.group),
            y=y,
            y_row=filters,
            rows=math.prod(y.shape[:-1]),
            columns=columns,
            depth=channels,
            groups=groups,
            window=axes_of(x.shape[1:-1], conv_window(call)),
            epilogue=epilogue_of(context, group, [g.y for g in groups], filters, columns),
        )
    )


def filter_matrices(weight: Tensor, groups: int) -> Matrices:
    """Filters [M, C/g, kernel...] as matrices of C/g × M/g for each tap."""
    filters, channels, *kernel = weight.shape
    taps = math.prod(kernel)
    *_, h, w = (1, 1, *kernel)
    columns = (filters // groups, channels * taps)
    return Matrices(weight, taps, (columns,), (h * w, w, 1))


def filter_groups(groups: int, channels: int, weight: Tensor) -> tuple[GroupDim, ...]:
    """The groups of a convolution with `channels` input channels each; none if there is one."""
    if groups == 1:
        return ()
    columns = weight.shape[0] // groups
    return (GroupDim(groups, channels, columns * math.prod(weight.shape[1:]), columns),)
