"""Emission of RNN, LSTM and GRU.

The inputs of all time steps are projected by one contraction. Then one launch does all steps
(`layercc.cuda.kernels.recurrent`), or, where hidden units are many, each step is a contraction of
the state with the recurrent weights and a launch of cells. Which, hangs on the layer alone, so that
a sample gives the same within any batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from layercc.buffers import Tensor
from layercc.cuda.architecture import WARP
from layercc.cuda.emit.builder import Builder, countable
from layercc.cuda.emit.registry import emitter
from layercc.cuda.kernels import recurrent as kernels
from layercc.jobs.contraction import Contraction, Epilogue, GroupDim, Matrices, Operand
from layercc.jobs.movement import Fill, Move
from layercc.jobs.recurrence import Recurrence, RecurrentLayer
from layercc.kernels.declaration import KernelKey
from layercc.kernels.expressions import Expression, ExpressionBuilder

#: Operations for a hidden unit, beside the products.
_CELL_FLOPS = 50
#: Samples of a block: one, so that they are on many multiprocessors, or where there are more than
#: these have, several (by the bytes of an element).
_MANY_SAMPLES, _SAMPLES = 132, {4: 4, 8: 2}
#: Hidden units whose weights a thread sums up at least.
_LEAST_DEPTH = 8
#: By the bytes of an element, those of weights that a thread may hold in registers, where its block
#: has one sample, and where it has several.
_ONE_HELD, _SEVERAL_HELD = {4: 384, 8: 256}, {4: 160, 8: 192}


@dataclass(frozen=True)
class Strided:
    """A tensor seen as [directions, time, batch, columns], columns dense; strides in elements."""

    tensor: Tensor
    outer: int
    inner: int
    row: int

    def from_direction(self, index: int) -> Self:
        """The tensor from a direction on."""
        step = index * self.outer * self.tensor.dtype.itemsize
        return replace(self, tensor=self.tensor.moved(step))

    def words(self) -> dict[str, Any]:
        """The record `layercc.cuda.kernels.recurrent.strided`."""
        return {"data": self.tensor, "outer": self.outer, "inner": self.inner, "row": self.row}


@emitter(Recurrence)
def recurrence(builder: Builder, job: Recurrence) -> None:
    """The projection, and one launch for all steps, or the launches of each."""
    countable("the inputs of a recurrent layer", job.time * job.batch * job.directions * job.rows)
    states = states_of(builder, job)
    if not job.time * job.batch * job.hidden:
        return
    tensors = {"projected": _projected(builder, job), **dict(zip("hc", states, strict=False))}
    if job.y is not None:
        tensors["y"] = output_of(job, job.y)
    if job.hidden <= kernels.MOST_HIDDEN[job.kind]:
        _whole_layer(builder, job, tensors)
    else:
        _step_by_step(builder, job, tensors)


def _whole_layer(builder: Builder, job: Recurrence, tensors: Mapping[str, Strided]) -> None:
    width = -(-job.hidden // WARP) * WARP
    parts = max(min(kernels.THREADS // width, -(-job.hidden // _LEAST_DEPTH)), 1)
    depth = -(-job.hidden // parts)
    depth = -(-depth // _LEAST_DEPTH) * _LEAST_DEPTH
    size = job.dtype.itemsize
    r = _transposed(builder, job)
    for d, count in alike(job):
        several = count * job.batch > _MANY_SAMPLES
        rows, room = (_SAMPLES, _SEVERAL_HELD) if several else ({size: 1}, _ONE_HELD)
        held = depth if job.gates * depth * size <= room[size] else 0
        row_blocks = -(-job.batch // rows[size])
        builder.call(
            kernels.recurrent_layer.key(
                job.kind, str(job.dtype), job.activations[d], rows[size], held, *_options(job)
            ),
            count * row_blocks,
            flops=(2 * job.rows + _CELL_FLOPS) * job.hidden * count * job.batch * job.time,
            algorithm="whole layer",
            r=r.moved(d * job.rows * job.hidden * size),
            layer=layer_words(job, d),
            row_blocks=row_blocks,
            width=width,
            parts=parts,
            depth=depth,
            **parameters_of(job, d),
            **{name: at.from_direction(d).words() for name, at in tensors.items()},
        )


def _step_by_step(builder: Builder, job: Recurrence, tensors: dict[str, Strided]) -> None:
    """The calls of the first step, which are repeated for all others."""
    apart = job.kind == "GRU" and not job.linear_before_reset  # r h has a product of its own
    gates = job.gates - apart
    weights = job.r if job.r.array is not None else _transposed(builder, job)
    first = len(builder.program.calls)
    kind, (limited, _, _, biased, _, _) = str(job.dtype), _options(job)
    sums = _product(builder, job, tensors["h"], weights, 0, gates)
    if apart:
        taken = {"sums": sums, "projected": tensors["projected"], "h": tensors["h"]}
        cells(builder, job, taken, lambda f: kernels.step_reset.key(kind, f, limited, biased))
        reset = replace(sums, tensor=sums.tensor.moved(job.hidden * job.dtype.itemsize))
        tensors["products"] = _product(builder, job, reset, weights, gates, 1)
    tensors["sums"] = sums
    cells(
        builder, job, tensors, lambda f: kernels.step_cells.key(job.kind, kind, f, *_options(job))
    )
    repeat(builder, first, job.time)


def _options(job: Recurrence) -> tuple[bool, ...]:
    """What of a job is compiled into its kernels: whether it is limited, peeping, coupled, biased
    (by Rb, which only a GRU takes apart), linear before reset, and written."""
    return (
        job.lengths is not None,
        job.peepholes is not None,
        job.coupled,
        job.bias is not None and job.kind == "GRU",
        job.linear_before_reset,
        job.y is not None,
    )


# --- products


def _projected(builder: Builder, job: Recurrence) -> Strided:
    """W x + Wb, and but for a GRU also Rb, of all steps."""
    count, wide = job.time * job.batch, job.directions * job.rows
    y = builder.scratch(job.dtype, (count, job.directions, job.rows))
    w = _of_type(builder, job.w, job)
    builder.emit(
        Contraction(
            x=job.x,
            x_row=job.features,
            weights=Matrices(w, 1, ((job.rows, job.features),)),
            y=y,
            y_row=wide,
            rows=count,
            columns=job.rows,
            depth=job.features,
            groups=(GroupDim(job.directions, 0, job.rows * job.features, job.rows),),
            epilogue=_biases(job),
        )
    )
    return Strided(y, job.rows, *over_time(job, wide))


def over_time(job: RecurrentLayer, wide: int) -> tuple[int, int]:
    """Elements between steps and between samples, of each of which there are `wide`."""
    return (wide, job.time * wide) if job.batch_first else (job.batch * wide, wide)


def _biases(job: Recurrence) -> Epilogue:
    """What is added to all steps' W x together."""
    if job.bias is None:
        return Epilogue()
    kind, bias = str(job.dtype), job.bias
    wb = Operand(bias, (2 * job.rows,), 0, 1)
    biases = [wb]
    if job.kind != "GRU":
        biases.append(replace(wb, tensor=bias.moved(job.rows * job.dtype.itemsize)))
    steps = ExpressionBuilder(1 + len(biases))
    total = 0
    for operand in range(1, 1 + len(biases)):
        total = steps("add", total, operand, dtype=kind)
    return Epilogue(steps.expression([kind] * (1 + len(biases)), total), tuple(biases))


def _product(
    builder: Builder, job: Recurrence, x: Strided, weights: Tensor, gate: int, gates: int
) -> Strided:
    """R x for some gates, by R as it is if it is constant, else transposed."""
    hidden, rows = job.hidden, gates * job.hidden
    y = builder.scratch(job.dtype, (job.directions, job.batch, rows))
    if weights.array is None:
        matrices = Matrices(weights, job.rows, ((rows, 1),), start=gate * hidden)
    else:
        weights = _of_type(builder, weights, job)
        matrices = Matrices(weights, 1, ((rows, hidden),), start=gate * hidden * hidden)
    builder.emit(
        Contraction(
            x=x.tensor,
            x_row=x.row,
            weights=matrices,
            y=y,
            y_row=rows,
            rows=job.batch,
            columns=rows,
            depth=hidden,
            groups=(GroupDim(job.directions, x.outer, job.rows * hidden, job.batch * rows),),
        )
    )
    return Strided(y, job.batch * rows, 0, rows)


def _of_type(builder: Builder, w: Tensor, job: Recurrence) -> Tensor:
    """W or R in the type that is computed in; constants may be of another."""
    dtype = job.dtype
    if w.dtype is dtype:
        return w
    return builder.packed(w, f"as {dtype}", lambda array: array.astype(dtype.value))


def _transposed(builder: Builder, job: Recurrence) -> Tensor:
    """R as [directions, hidden, gates * hidden]; by each run if it is not constant."""
    dtype, shape = job.dtype, (job.directions, job.hidden, job.rows)
    if job.r.array is not None:

        def transpose(array: np.ndarray) -> np.ndarray:
            return np.ascontiguousarray(array.astype(dtype.value).swapaxes(1, 2))

        return builder.packed(job.r, f"recurrent, transposed, {dtype}", transpose)
    r = builder.scratch(dtype, shape)
    size = job.rows * job.hidden
    builder.emit(Move(job.r, r, shape, (size, 1, job.hidden), (size, job.rows, 1)))
    return r


# --- what all recurrent layers share


def states_of(builder: Builder, job: RecurrentLayer) -> list[Strided]:
    """The states, where their last values go if anybody reads these, holding their first ones."""
    batch, hidden, directions = job.batch, job.hidden, job.directions
    shape, strides = (directions, batch, hidden), (batch * hidden, 0, hidden)
    if job.batch_first:
        shape, strides = (batch, directions, hidden), (hidden, 0, directions * hidden)
    size, states = math.prod(shape), []
    for initial, wanted in zip(job.initial, job.states, strict=True):
        state = wanted or builder.scratch(job.dtype, shape)
        builder.emit(Move(initial, state, (size,), (1,), (1,)) if initial else Fill(state))
        states.append(Strided(state, *strides))
    return states


def output_of(job: RecurrentLayer, y: Tensor) -> Strided:
    """Y as kernels see it."""
    batch, hidden = job.batch, job.hidden
    line = job.directions * hidden
    if job.batch_first:
        return Strided(y, hidden, line, job.time * line)
    return Strided(y, batch * hidden, batch * line, hidden)


def alike(job: RecurrentLayer) -> Iterator[tuple[int, int]]:
    """(first direction, how many) for those that have the same functions."""
    together = len(set(job.activations)) == 1
    count = job.directions if together else 1
    for d in range(0, job.directions, count):
        yield d, count


def layer_words(job: RecurrentLayer, direction: int) -> dict[str, Any]:
    """The record `layercc.cuda.kernels.recurrent.LAYER`, from a direction on."""
    lengths = {} if job.lengths is None else {"lengths": job.lengths}
    return {
        **lengths, "time": job.time, "batch": job.batch, "hidden": job.hidden,
        "first_backward": int(job.direction == "reverse") + direction,
    }  # fmt: skip


def parameters_of(job: RecurrentLayer, direction: int) -> dict[str, Tensor]:
    """Rb and peepholes from a direction on, where a layer has them."""
    size = job.dtype.itemsize
    found: dict[str, Tensor] = {}
    if job.bias is not None:
        found["bias"] = job.bias.moved((2 * direction + 1) * job.rows * size)
    if job.peepholes is not None:
        found["peepholes"] = job.peepholes.moved(3 * direction * job.hidden * size)
    return found


def cells(
    builder: Builder,
    job: RecurrentLayer,
    tensors: Mapping[str, Strided],
    key: Callable[[tuple[Expression, ...]], KernelKey],
    **more: Any,
) -> None:
    """Appends the launches of the cells `key` for step 0, for all directions that are alike."""
    for d, count in alike(job):
        kernel = key(job.activations[d])
        n = count * job.batch * job.hidden
        parameters = parameters_of(job, d)
        if kernel.family == kernels.step_reset.name:
            parameters.pop("peepholes", None)
        builder.call(
            kernel,
            -(-n // kernels.CELL_THREADS),
            flops=_CELL_FLOPS * n,
            algorithm="step by step",
            step=0,
            n=n,
            layer=layer_words(job, d),
            **parameters,
            **{name: at.from_direction(d).words() for name, at in tensors.items()},
            **more,
        )


def repeat(builder: Builder, first: int, time: int) -> None:
    """Appends the launches of steps 1, 2, ... after those of step 0, which begin at `first`."""
    calls = builder.program.calls
    block = calls[first:]
    for step in range(1, time):
        for call in block:
            if "step" in call.arguments:
                call = replace(call, arguments={**call.arguments, "step": step})
            calls.append(call)
