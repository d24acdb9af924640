"""Recurrent layers inside kernels: the rows of a task, and where each is in time.

A row is one sample in one direction. Importing this module imports Numba.
"""

from __future__ import annotations

from typing import Any

from layercc.kernels.declaration import INT, optional, pointer, record
from layercc.kernels.helper import jit
from layercc.kernels.intrinsics import offset

#: The sizes of a recurrent layer. `lengths` are the steps of each sample, if these are `limited`;
#: directions are backward from number 1 - `first_backward` on; a task has `row_block` rows.
LAYER = record(
    "Layer",
    lengths=optional(pointer("i32")),
    limited=INT,
    time=INT,
    directions=INT,
    first_backward=INT,
    batch=INT,
    hidden=INT,
    row_block=INT,
)


@jit
def rows_of_task(layer: Any, task: Any) -> Any:
    """The first row of a task, and the one behind its last."""
    first = task * layer.row_block
    return first, min(first + layer.row_block, layer.directions * layer.batch)


@jit
def place_of(layer: Any, row: Any, step: Any) -> Any:
    """Direction and sample of a row, the time that it reads and writes in a step, and whether it
    has such a step.

    What is behind a sample's end stays where it is, backward too.
    """
    direction, sample = row // layer.batch, row % layer.batch
    steps = layer.lengths[sample] if layer.limited != 0 else layer.time
    inside = step < steps
    backward = direction + layer.first_backward != 0
    time = steps - 1 - step if backward and inside else step
    return direction, sample, time, inside


@jit
def clear(row: Any, count: Any) -> None:
    """Sets `count` elements to 0."""
    for j in range(count):
        row[j] = 0


@jit
def three_gates(row: Any, hidden: Any) -> Any:
    """Pointers to the stretches of three gates in a row."""
    return row, offset(row, hidden), offset(row, 2 * hidden)


@jit
def four_gates(row: Any, hidden: Any) -> Any:
    """Pointers to the stretches of four gates in a row."""
    return row, offset(row, hidden), offset(row, 2 * hidden), offset(row, 3 * hidden)
