"""A target in one file: jobs in NumPy. No file of layercc knows of it."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ir.diagnostics import UnsupportedError
from ir.dtypes import DType
from layercc.buffers import Tensor
from layercc.jobs.contraction import Contraction
from layercc.jobs.movement import Fill, Move, strides_of
from layercc.jobs.pointwise import Pointwise
from layercc.jobs.reductions import Reduction
from layercc.jobs.windows import Axes
from layercc.jobs.workload import Workload
from layercc.kernels.functions import resolve
from layercc.target import Backend, Runnable, Target

COMBINE = {"sum": np.add, "prod": np.multiply, "min": np.minimum, "max": np.maximum}


class NumpyPlan(Runnable):
    """Runs a workload job by job; the methods are named after the jobs."""

    def __init__(self, workload: Workload) -> None:
        self.workload = workload

    def run(self, inputs: Sequence[np.ndarray], threads: int) -> list[np.ndarray]:
        run = NumpyPlan(self.workload)  # memory of its own
        outputs = [np.empty(port.shape, port.dtype) for port in self.workload.outputs]
        run.ports, run.scratch = {"input": inputs, "output": outputs}, {}
        for each in self.workload.jobs:
            getattr(run, type(each.job).__name__)(each.job)
        return outputs

    def flat(self, tensor: Tensor, start: int = 0) -> np.ndarray:
        """The elements from `start` on, to the end of the buffer."""
        buffer = tensor.buffer
        if buffer.array is not None:
            whole = np.ascontiguousarray(buffer.array)
        elif buffer.space in self.ports:
            whole = self.ports[buffer.space][buffer.slot]
        else:
            whole = self.scratch.setdefault(id(buffer), np.empty(buffer.nbytes, np.uint8))
        return whole.reshape(-1).view(np.uint8)[tensor.offset :].view(tensor.dtype.value)[start:]

    def seen(self, tensor: Tensor, shape: Any, strides: Any, start: int = 0) -> np.ndarray:
        """Elements of a tensor, in place."""
        flat = self.flat(tensor, start)
        steps = [flat.itemsize * step for step in strides]
        return np.lib.stride_tricks.as_strided(flat, shape, steps) if 0 not in shape else flat[:0]

    def Move(self, job: Move) -> None:
        source = self.seen(job.source, job.shape, job.source_strides, job.source_start).copy()
        self.seen(job.target, job.shape, job.target_strides, job.target_start)[...] = source

    def Fill(self, job: Fill) -> None:
        value = 0 if job.value is None else self.flat(job.value)[0]
        self.flat(job.target)[: job.target.size] = value

    def Pointwise(self, job: Pointwise) -> None:
        given = [self.seen(x, x.shape, strides_of(x.shape)) for x in job.operands]
        for target, value in zip(job.outputs, evaluate(job.expression, given), strict=True):
            full = np.broadcast_to(value, job.shape)
            self.flat(target)[: target.size] = full.reshape(-1)

    def Reduction(self, job: Reduction) -> None:
        outer, _, inner = job.shape
        x = self.seen(job.x, job.shape, strides_of(job.shape))
        shift = [] if job.shift is None else [self.seen(job.shift, (outer, inner), (inner, 1))]
        first, last = job.recipe.of_element(job.x.dtype), job.recipe.of_total(job.y.dtype)
        (each,) = evaluate(first, [x, *(s[:, None] for s in shift)][: len(first[0])])
        total = COMBINE[job.recipe.combine].reduce(each, axis=1)
        (made,) = evaluate(last, [total, np.float64(job.count), *shift][: len(last[0])])
        self.flat(job.y)[: made.size] = made.reshape(-1)

    def Contraction(self, job: Contraction) -> None:
        window, w = job.window or Axes(), job.weights
        taps = itertools.product(*(range(a.taps) for a in (window.d, window.h, window.w)))
        under = [(rows_under(job, tap), int(np.dot(tap, w.taps)) + w.start) for tap in taps]
        shape, columns = zip(*w.column, strict=True)
        for index in itertools.product(*(range(group.size) for group in job.groups)):
            sides = [[getattr(g, side) for g in job.groups] for side in "xwy"]
            x, of_w, y = (int(np.dot(index, steps)) for steps in sides)
            sums: Any = np.zeros((job.rows, job.columns))
            for (rows, inside), start in under:
                terms = self.flat(job.x, x)[(rows * job.x_row)[:, None] + np.arange(job.depth)]
                matrix = self.seen(w.tensor, (job.depth, *shape), (w.row, *columns), start + of_w)
                sums += np.where(inside, terms, 0) @ matrix.reshape(job.depth, -1)
            values = [sums.astype(job.y.dtype.value)]
            for o in job.epilogue.operands:
                start = int(np.dot(index, o.groups[len(o.groups) - len(index) :]))
                values.append(self.seen(o.tensor, sums.shape, (o.row, o.column), start))
            made = evaluate(job.epilogue.steps, values) if job.epilogue.steps else values
            self.seen(job.y, sums.shape, (job.y_row, 1), y)[...] = made[0]


def rows_under(job: Contraction, tap: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """The rows of x under a tap, and which of them are inside, as a column."""
    rows, inside = np.arange(job.rows), np.ones(job.rows, bool)
    if job.window is not None:
        axes = (job.window.d, job.window.h, job.window.w)
        images = max(job.rows // max(job.window.outputs, 1), 1)
        rows, *places = np.unravel_index(rows, (images, *(axis.outputs for axis in axes)))
        for axis, place, t in zip(axes, places, tap, strict=True):
            at = place * axis.stride - axis.pad + t * axis.dilation
            inside = inside & (at >= 0) & (at < axis.inputs)
            rows = rows * axis.inputs + np.clip(at, 0, axis.inputs - 1)
    return rows, inside[:, None]


def evaluate(expression: tuple, values: Sequence[Any]) -> list[np.ndarray]:
    """The outputs of an expression."""
    found = list(values)
    for name, operands, settings, dtype in expression[1]:
        given = [None if index < 0 else found[index] for index in operands]
        keywords = dict(settings)
        made = keywords["value"] if name == "constant" else resolve(name)(*given, **keywords)
        found.append(np.asarray(made).astype(DType[dtype].value))
    return [found[index] for index in expression[2]]


class NumpyBackend(Backend):
    def plan(self, workload: Workload) -> Runnable:
        nodes = {j.name for j in workload.jobs if not hasattr(NumpyPlan, type(j.job).__name__)}
        if nodes:
            raise UnsupportedError(f"no NumPy for {', '.join(sorted(nodes))}", nodes=sorted(nodes))
        return NumpyPlan(workload)


@dataclass(frozen=True)
class NumpyTarget(Target):
    def open(self, **options: Any) -> Backend:
        return NumpyBackend()
