"""Transposed convolutions as convolutions of stride 1, one for each phase of the output.

Output o = s · q + r (s: the stride, r < s: its phase) meets taps t with t ≡ r + pad (mod s) only,
at the inputs q + (r + pad - t) / s. So the outputs of a phase are a convolution by every s-th tap,
from the last to the first; nothing is multiplied by zeros between inputs, and nothing is added up
afterwards. Neighbouring phases with as many taps at the same inputs are one convolution with as
many times the filters. Along each axis there are at most four such runs. Convolutions write to
memory of their own, from which a move puts pixels in order.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

from ir.ops.windows import Window
from layercc.buffers import Tensor
from layercc.jobs.contraction import Contraction, Epilogue, Matrices, Operand
from layercc.jobs.movement import Move, strides_of
from layercc.jobs.windows import Axes, Axis, three
from layercc.lower.context import Context
from layercc.lower.movement import strided_copy

#: Runs of phases that are worth a convolution each.
_MOST_RUNS = 27
#: Columns of a convolution at least: fewer leave too much of a vector empty.
_LEAST_COLUMNS = 8


class Run(NamedTuple):
    """Neighbouring phases of an axis that are one convolution."""

    first: int  # phase
    phases: int
    tap: int  # the first that the first phase meets
    stride: int
    length: int  # of the output's axis
    axis: Axis

    def segments(self) -> Iterator[tuple[int, int, int]]:
        """First position, positions and phases of rectangles that cover the output."""
        whole = max(-(-(self.length - self.first - self.phases + 1) // self.stride), 0)
        if whole:
            yield 0, whole, self.phases
        if whole < self.axis.outputs:
            yield whole, 1, self.length - self.first - self.stride * whole


def runs_of(window: Window, spatial: Sequence[int]) -> list[list[Run]] | None:
    """The runs of each of three axes of a transposed convolution over inputs of dims `spatial`.

    None where a phase meets no tap, or it is not worth while.
    """
    numbers = (three(given, fill) for given, fill in (
        (spatial, 1), (window.output_dims, 1), (window.kernel, 1), (window.strides, 1),
        (window.pads_begin, 0), (window.dilations, 1),
    ))  # fmt: skip
    axes: list[list[Run]] = []
    for inputs, outputs, taps, stride, pad, dilation in zip(*numbers, strict=True):
        if stride > taps or (dilation != 1 and taps != 1) or not outputs:
            return None
        runs: list[Run] = []
        for phase in range(min(stride, outputs)):
            tap, shift = (phase + pad) % stride, (phase + pad) // stride
            count = -(-(taps - tap) // stride)
            positions = -(-(outputs - phase) // stride)
            axis = Axis(inputs, positions, count, 1, count - 1 - shift)
            if axis.pad < 0 or inputs < count:
                return None
            if runs and _alike(runs[-1], axis, tap):
                runs[-1] = runs[-1]._replace(phases=runs[-1].phases + 1)
            else:
                runs.append(Run(phase, 1, tap, stride, outputs, axis))
        axes.append(runs)
    many = len(axes[0]) * len(axes[1]) * len(axes[2])
    return axes if many <= _MOST_RUNS else None


def _alike(run: Run, axis: Axis, tap: int) -> bool:
    """Whether a phase meets as many inputs, at the same places, as those of the run before it."""
    same = (run.axis.taps, run.axis.pad) == (axis.taps, axis.pad)
    return same and tap == run.tap + run.phases


def fits(axes: list[list[Run]], epilogue: Epilogue, y: Tensor) -> bool:
    """Whether phases can be written and are worth it: enough columns, and nothing but vectors of
    channels in the epilogue where pixels are put in order afterwards."""
    filters = y.shape[-1]
    least = min(filters * d.phases * h.phases * w.phases for d, h, w in itertools.product(*axes))
    alone = all(len(runs) == 1 and runs[0].stride == 1 for runs in axes)
    vectors = all(operand.row == 0 for operand in epilogue.operands)
    return least >= _LEAST_COLUMNS and (alone or vectors) and y.size > 0


def convolve(
    context: Context, axes: list[list[Run]], x: Tensor, weight: Tensor, y: Tensor,
    epilogue: Epilogue,
) -> None:  # fmt: skip
    """Jobs for `y`, [images, spatial..., filters], from `x` and weights [channels, filters,
    taps...]."""
    images, depth, filters = x.shape[0], x.shape[-1], y.shape[-1]
    kernel = three(weight.shape[2:], 1)
    steps = (kernel[1] * kernel[2], kernel[2], 1)
    taps = kernel[0] * steps[0]
    for runs in itertools.product(*axes):
        window = Axes(*(run.axis for run in runs))
        counts = tuple(run.phases for run in runs)
        of_phases = [(n, step) for n, step in zip(counts, steps, strict=True) if n > 1]
        columns = filters * counts[0] * counts[1] * counts[2]
        places = tuple(run.axis.outputs for run in runs)
        direct = all(run.stride == 1 for run in runs)
        made = y if direct else context.scratch(y.dtype, (images, *places, *counts, filters))
        last = [run.tap + run.stride * (run.axis.taps - 1) for run in runs]
        context.emit(
            Contraction(
                x=x,
                x_row=depth,
                weights=Matrices(
                    weight,
                    filters * taps,
                    (*of_phases, (filters, taps)),
                    tuple(-run.stride * step for run, step in zip(runs, steps, strict=True)),  # type: ignore[arg-type]
                    sum(tap * step for tap, step in zip(last, steps, strict=True)),
                ),
                y=made,
                y_row=columns,
                rows=images * window.outputs,
                columns=columns,
                depth=depth,
                window=window,
                epilogue=_repeated(context, epilogue, columns // filters, filters),
            )
        )
        if not direct:
            _put_in_order(context, runs, made, y)


def _put_in_order(context: Context, runs: Sequence[Run], made: Tensor, y: Tensor) -> None:
    """Pixels of phases, [images, positions..., phases..., filters], to where they belong in y."""
    images, filters = y.shape[0], y.shape[-1]
    target = strides_of((images, *(run.length for run in runs), filters))
    source = strides_of(made.shape)
    for segments in itertools.product(*(run.segments() for run in runs)):
        shape, froms, tos = [images], [source[0]], [target[0]]
        start = origin = 0
        for axis, (run, (first, positions, phases)) in enumerate(
            zip(runs, segments, strict=True), 1
        ):
            shape += [positions, phases]
            froms += [source[axis], source[axis + 3]]
            tos += [run.stride * target[axis], target[axis]]
            start += first * source[axis]
            origin += (run.stride * first + run.first) * target[axis]
        context.emit(Move(made, y, (*shape, filters), (*froms, 1), (*tos, 1), start, origin))


def _repeated(context: Context, epilogue: Epilogue, count: int, filters: int) -> Epilogue:
    """An epilogue of vectors of channels, for columns that are the channels `count` times."""

    def repeated(operand: Operand) -> Operand:
        if count == 1 or not operand.column:
            return operand
        made = context.scratch(operand.tensor.dtype, (count, filters))
        strided_copy(context, operand.tensor, made, made.shape, (0, 1), (filters, 1))
        return replace(operand, tensor=made)

    return replace(epilogue, operands=tuple(map(repeated, epilogue.operands)))
