"""Faults to plant in layercc: in its passes, its emitters, its memory plan."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from layercc.buffers import Buffer, Tensor
from layercc.cpu.emit import registry
from layercc.cpu.emit.builder import Builder
from layercc.jobs.job import Job
from layercc.jobs.movement import Fill

Patch = pytest.MonkeyPatch


def plant_emitter(
    patch: Patch, kind: type[Job], faulty: Callable[[Any, Builder, Any], None]
) -> None:
    """`faulty(emit, builder, job)` emits jobs of a kind; `emit` is the emitter that there was."""
    right = registry.emitter_of(_bare(kind))
    assert right is not None
    known = registry.EMITTERS._known
    patch.setitem(known, kind, lambda builder, job: faulty(right, builder, job))


def _bare(kind: type[Job]) -> Job:
    return object.__new__(kind)


def spoil_last(builder: Builder, tensor: Tensor, value: float) -> None:
    """Writes a value over the last element of a tensor, as part of the node being emitted."""
    last = (tensor.size - 1) * tensor.dtype.itemsize
    array = np.full(1, value, tensor.dtype.value)
    constant = Tensor(Buffer("constant", array.nbytes, array=array), tensor.dtype, (1,))
    target = replace(tensor, shape=(1,), offset=tensor.offset + last)
    builder.emit(Fill(target, constant))


def plant_step(expression: tuple, op: str, other: str) -> tuple:
    """An expression in which one op stands for another."""
    operands, steps, results = expression
    changed = tuple((other, *step[1:]) if step[0] == op else step for step in steps)
    return operands, changed, results
