"""Emission of RNN, LSTM and GRU.

The inputs of all time steps are projected by one contraction. Then each step is a contraction of
the state with the recurrent weights, for all directions at once, and a cell
(`layercc.cpu.kernels.recurrent`) that applies the gates and updates the states in place.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from layercc.buffers import Tensor
from layercc.cpu.algorithms.panels import Packed, Product, multiply, pack_at_run_time, pack_weights
from layercc.cpu.emit.builder import Builder, part_of
from layercc.cpu.emit.records import Strided
from layercc.cpu.emit.registry import emitter
from layercc.cpu.kernels.recurrent import gru_cell, gru_gates, lstm_cell, rnn_cell
from layercc.cpu.tiles import choose_vectors
from layercc.jobs.contraction import Epilogue, Operand
from layercc.jobs.movement import Fill, Move
from layercc.jobs.recurrence import Recurrence, RecurrentLayer
from layercc.kernels.declaration import KernelKey
from layercc.kernels.expressions import Expression, ExpressionBuilder

#: Hidden units of a cell's task, and operations for one.
_CELL_TASK, _CELL_FLOPS = 1 << 12, 50


@emitter(Recurrence)
def recurrence(builder: Builder, job: Recurrence) -> None:
    """The projection, then the first step, whose calls are repeated for all others."""
    projected = _projected(builder, job)
    states = states_of(builder, job)
    if not job.time:
        return
    apart = job.kind == "GRU" and not job.linear_before_reset  # r h has a product of its own
    gates = job.gates - 1 if apart else job.gates
    r = _weights(builder, job, job.r, 0, gates)
    r_apart = _weights(builder, job, job.r, gates, 1) if apart else None
    first = len(builder.program.calls)
    kind, written = str(job.dtype), output_of(builder, job)
    sums = _product(builder, job, states[0], r, gates)
    tensors: dict[str, Any] = {"projected": projected, "h": states[0], "sums": sums}
    if job.kind == "RNN":
        cells(builder, job, lambda f: rnn_cell.key(kind, f[0]), {**tensors, "y": written})
    elif job.kind == "LSTM":
        options = job.peepholes is not None, job.coupled
        if job.peepholes is not None:
            tensors["peepholes"] = Strided(job.peepholes, 3 * job.hidden, 0, 0)
        tensors |= {"y": written, "c": states[1]}
        cells(builder, job, lambda f: lstm_cell.key(kind, f, *options), tensors)
    else:
        _gru_cells(builder, job, tensors, written, r_apart)
    repeat(builder, first, job.time)


def _gru_cells(
    builder: Builder,
    job: Recurrence,
    tensors: dict[str, Any],
    written: Strided,
    r_apart: Packed | None,
) -> None:
    """The reset gate is applied to the product; or to h, before a product with rows `r_apart`."""
    kind, biased, linear = str(job.dtype), job.bias is not None, r_apart is None
    if job.bias is not None:
        rb = job.bias.moved(job.rows * job.dtype.itemsize)
        tensors["bias"] = Strided(rb, 2 * job.rows, 0, 0)
    if r_apart is not None:
        cells(builder, job, lambda f: gru_gates.key(kind, f[0], biased), tensors)
        reset = tensors["sums"].moved(job.hidden)
        tensors["products"] = _product(builder, job, reset, r_apart, 1)
    tensors["y"] = written
    cells(builder, job, lambda f: gru_cell.key(kind, f, biased, linear), tensors)


# --- products, seen as [directions, time, batch, columns], with stride 0 where there is no time


def _projected(builder: Builder, job: Recurrence) -> Strided:
    """W x + Wb, and but for a GRU also Rb."""
    count, wide = job.time * job.batch, job.directions * job.rows
    y = builder.scratch(job.dtype, (count, job.directions, job.rows))
    product = Product(
        Strided(job.x, 0, 0, job.features),
        _weights(builder, job, job.w, 0, job.gates),
        Strided(y, job.rows, 0, wide),
        count,
        job.rows,
        job.features,
        outer=job.directions,
        epilogue=_biases(job),
    )
    multiply(builder, product)
    between = (wide, job.time * wide) if job.batch_first else (job.batch * wide, wide)
    return Strided(part_of(y, job.batch * wide), job.rows, *between)  # what a step reads


def _biases(job: Recurrence) -> Epilogue:
    """What is added to all steps' W x together."""
    if job.bias is None:
        return Epilogue()
    kind, bias = str(job.dtype), job.bias
    wb = Operand(bias, (2 * job.rows, 0), 0, 1)
    biases = [wb]
    if job.kind != "GRU":
        biases.append(replace(wb, tensor=bias.moved(job.rows * job.dtype.itemsize)))
    steps = ExpressionBuilder(1 + len(biases))
    total = 0
    for operand in range(1, 1 + len(biases)):
        total = steps("add", total, operand, dtype=kind)
    return Epilogue(steps.expression([kind] * (1 + len(biases)), total), tuple(biases))


def _product(builder: Builder, job: Recurrence, x: Strided, r: Packed, gates: int) -> Strided:
    """R x, for so many gates, whose rows of R are `r`."""
    rows = gates * job.hidden
    y = builder.scratch(job.dtype, (job.directions, job.batch, rows))
    sums = Strided(y, job.batch * rows, 0, rows)
    product = Product(x, r, sums, job.batch, rows, job.hidden, outer=job.directions)
    multiply(builder, product)
    return sums


def _weights(builder: Builder, job: Recurrence, w: Tensor, first: int, gates: int) -> Packed:
    """Rows of W or R for some gates, transposed, in panels; packed by each run if not constant."""
    depth = w.shape[2]
    start, rows = first * job.hidden, gates * job.hidden
    vectors = choose_vectors(builder.isa, rows, str(job.dtype))
    if w.array is None:
        return pack_at_run_time(
            builder,
            w.moved(start * depth * w.dtype.itemsize),
            (job.directions, 1),
            (job.rows * depth, 0, 1, depth),
            depth,
            rows,
        )
    dtype = job.dtype.value

    def pack(array: np.ndarray) -> np.ndarray:
        part = array[:, start : start + rows].astype(dtype, copy=False)
        return pack_weights(builder.isa, part.swapaxes(1, 2)[:, None], vectors)

    packed = builder.packed(w, f"recurrent {start} {rows} {vectors} {dtype}", pack)
    return Packed(packed, vectors, packed.size // job.directions)


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


def output_of(builder: Builder, job: RecurrentLayer) -> Strided:
    """Y; or memory for one step of it, where nobody reads it."""
    batch, hidden = job.batch, job.hidden
    line = job.directions * hidden
    if job.y is None:
        step = builder.scratch(job.dtype, (job.directions, batch, hidden))
        return Strided(step, batch * hidden, 0, hidden)
    y = part_of(job.y, batch * line)  # what a step writes
    if job.batch_first:
        return Strided(y, hidden, line, job.time * line)
    return Strided(y, batch * hidden, batch * line, hidden)


def cells(
    builder: Builder,
    job: RecurrentLayer,
    key: Callable[[tuple[Expression, ...]], KernelKey],
    tensors: Mapping[str, Any],
) -> None:
    """Appends the calls of the cell `key` for step 0: one for all directions, or where these have
    different functions, one for each. `tensors` are of `Strided`, or records of such."""
    together = len(set(job.activations)) == 1
    count = job.directions if together else 1
    row_block = max(_CELL_TASK // max(job.hidden, 1), 1)
    lengths = {} if job.lengths is None else {"lengths": job.lengths}
    for d in range(0, job.directions, count):
        builder.call(
            key(job.activations[d]),
            tasks=-(-count * job.batch // row_block),
            flops=_CELL_FLOPS * count * job.batch * job.hidden,
            step=0,
            layer={
                **lengths,
                "limited": int(job.lengths is not None),
                "time": job.time,
                "directions": count,
                "first_backward": int(job.direction == "reverse") + d,
                "batch": job.batch,
                "hidden": job.hidden,
                "row_block": row_block,
            },
            **{name: at.from_outer(d).words() for name, at in tensors.items()},
        )


def repeat(builder: Builder, first: int, time: int) -> None:
    """Appends the calls of steps 1, 2, ... after those of step 0, which begin at `first`."""
    calls = builder.program.calls
    block: Sequence[Any] = calls[first:]
    for step in range(1, time):
        for call in block:
            if "step" in call.arguments:
                call = replace(call, arguments={**call.arguments, "step": step})
            calls.append(call)
