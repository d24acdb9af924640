"""Taps along the width joined into one long tap, for windows over few channels.

A row of `taps` pixels is `taps · channels` consecutive elements of an image that is padded with
zeros; so a first layer of three channels has sums of a useful length. Fits one group, undilated
along the width. Costs the direct sum with fewer look-ups, and the padded copy.
"""

from __future__ import annotations

from dataclasses import replace

from layercc.buffers import Tensor
from layercc.cpu.algorithms.algorithm import Algorithm, rows_of
from layercc.cpu.algorithms.direct import LOOK_UP
from layercc.cpu.algorithms.panels import Product, multiply_groups, packed
from layercc.cpu.emit.builder import Builder
from layercc.cpu.emit.movement import pad_spatial
from layercc.cpu.emit.records import Strided
from layercc.jobs.contraction import Contraction
from layercc.jobs.windows import Axes, Axis
from layercc.kernels.element_types import FLOATS
from layercc.limits import Limits

#: With as many channels, sums are long enough as they are.
_ENOUGH_CHANNELS = 16


def fits(job: Contraction, precision: str) -> bool:
    """At every precision; floats of few channels, all of which lie side by side."""
    return (
        str(job.x.dtype) in FLOATS
        and job.window is not None
        and job.group_count == 1
        and job.depth < _ENOUGH_CHANNELS
        and job.x_row == job.depth
        and job.window.w.dilation == 1
    )


def cost(job: Contraction, limits: Limits) -> float:
    """Multiplications and additions at the peak, look-ups, and a copy of the image."""
    assert job.window is not None
    width = job.window.w.taps
    terms = job.taps // max(width, 1) * (width * job.depth + LOOK_UP)
    window = job.window
    image = window.d.inputs * window.h.inputs * window.w.inputs * job.depth
    copied = 2 * image * job.x.dtype.itemsize
    copying = copied / limits.bytes_per_second["memory"] / 100
    return 2 * rows_of(job) * job.columns * terms / limits.flops["f32"] + copying


def emit(builder: Builder, job: Contraction) -> None:
    """A padded copy, where the window leaves the image, and one call."""
    assert job.window is not None
    width = job.window.w.taps
    x, window = _padded(builder, job.x, job.window, job.depth)
    weights, groups = packed(builder, job, str(job.x.dtype), taps_joined=width)
    product = Product(
        x=Strided(x, 0, 0, job.x_row),
        weights=weights,
        y=Strided(job.y, 0, 0, job.y_row),
        rows=job.rows,
        columns=job.columns,
        depth=job.depth * width,
        window=replace(window, w=replace(window.w, taps=1)),
        epilogue=job.epilogue,
    )
    multiply_groups(builder, product, groups)


def _padded(builder: Builder, x: Tensor, window: Axes, channels: int) -> tuple[Tensor, Axes]:
    """A zero-padded copy of the images, and the window over it, without pads."""
    axes = (window.d, window.h, window.w)
    begins = [axis.pad for axis in axes]
    ends = [max(_reach(axis) - axis.pad - axis.inputs, 0) for axis in axes]
    if any(begins) or any(ends):
        sizes = [axis.inputs for axis in axes]
        images = x.size // max(sizes[0] * sizes[1] * sizes[2] * channels, 1)
        x = pad_spatial(builder, x.reshaped((images, *sizes, channels)), begins, ends)
        padded = [
            replace(axis, inputs=begin + axis.inputs + end, pad=0)
            for axis, begin, end in zip(axes, begins, ends, strict=True)
        ]
        window = Axes(*padded)
    return x, window


def _reach(axis: Axis) -> int:
    """Inputs from the first to the last that the window meets, pads in front included."""
    return (axis.outputs - 1) * axis.stride + (axis.taps - 1) * axis.dilation + 1


ALGORITHMS = (Algorithm("joined_taps", fits, cost, emit),)
