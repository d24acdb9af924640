"""Emission of an LSTM by products of bytes: exact sums, cells in f32.

As an LSTM that goes step by step (`layercc.cuda.emit.recurrence`): a step's state is quantised by
the range of all samples together, so that no block can go on alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from ir.dtypes import DType
from layercc.buffers import Tensor
from layercc.cuda.emit.builder import Builder, countable
from layercc.cuda.emit.byte_products import byte_product
from layercc.cuda.emit.recurrence import (
    Strided,
    alike,
    layer_words,
    output_of,
    over_time,
    repeat,
    states_of,
)
from layercc.cuda.emit.registry import emitter
from layercc.cuda.kernels import recurrent_quantized as kernels
from layercc.cuda.kernels.recurrent import CELL_THREADS
from layercc.jobs.contraction import Contraction, GroupDim, Matrices
from layercc.jobs.quantized_recurrence import QuantizedRecurrence, QuantizedWeights
from layercc.jobs.reductions import Recipe, Reduction

_QUANTIZE_FLOPS, _CELL_FLOPS = 10, 60


@dataclass(frozen=True)
class _Quantized:
    """Rows of bytes, with a scale and a zero point (i32) for each direction or for all."""

    q: Tensor
    scale: Tensor
    zero: Tensor
    of_direction: int  # elements of q between directions, 0 where they share it


@dataclass(frozen=True)
class _Product:
    """The record `layercc.cuda.kernels.recurrent_quantized.PRODUCT`."""

    sums: Strided
    scale: Tensor
    step: int
    b_scale: Tensor

    def from_direction(self, index: int) -> Self:
        """The product from a direction on."""
        columns = self.b_scale.shape[1]
        return replace(
            self,
            sums=self.sums.from_direction(index),
            scale=self.scale.moved(4 * index * self.step),
            b_scale=self.b_scale.moved(4 * index * columns),
        )

    def words(self) -> dict[str, Any]:
        return {
            "sums": self.sums.words(), "scale": self.scale, "step": self.step,
            "b_scale": self.b_scale,
        }  # fmt: skip


@emitter(QuantizedRecurrence)
def quantized_recurrence(builder: Builder, job: QuantizedRecurrence) -> None:
    """x quantised and projected, then the first step, whose calls are repeated for all others."""
    time, batch, hidden = job.time, job.batch, job.hidden
    wide = job.directions * job.rows
    countable("the inputs of a recurrent layer", time * batch * wide)
    h, c = states_of(builder, job)
    if not time * batch * hidden:
        return
    y = builder.scratch(DType.i32, (time * batch, job.directions, job.rows))
    target = Strided(y, job.rows, *over_time(job, wide))
    x = _quantize_input(builder, job.x)
    projected = _product(builder, job, x, job.w, replace(target, row=wide), time * batch)
    projected = replace(projected, sums=target)
    written = {} if job.y is None else {"y": output_of(job, job.y)}

    first = len(builder.program.calls)
    state = _quantize_state(builder, job, h)
    y = builder.scratch(DType.i32, (job.directions, batch, job.rows))
    target = Strided(y, batch * job.rows, 0, job.rows)
    sums = _product(builder, job, state, job.r, target, batch)
    tensors: dict[str, _Product | Strided] = {
        "projected": projected,
        "sums": sums,
        "h": h,
        "c": c,
        **written,
    }
    options = (
        job.lengths is not None, job.peepholes is not None, job.coupled, job.bias is not None,
        job.y is not None,
    )  # fmt: skip
    for d, count in alike(job):
        n = count * batch * hidden
        parameters: dict[str, Any] = {}
        if job.bias is not None:
            parameters["bias"] = job.bias.moved(8 * d * job.rows)
        if job.peepholes is not None:
            parameters["peepholes"] = job.peepholes.moved(12 * d * hidden)
        builder.call(
            kernels.quantized_cells.key(job.activations[d], *options),
            -(-n // CELL_THREADS),
            flops=_CELL_FLOPS * n,
            algorithm="step by step",
            step=0,
            n=n,
            layer=layer_words(job, d),
            **parameters,
            **{name: at.from_direction(d).words() for name, at in tensors.items()},
        )
    repeat(builder, first, time)


def _quantize_input(builder: Builder, x: Tensor) -> _Quantized:
    """All of x by one range."""
    shape = (1, x.size, 1)
    low, high = (builder.scratch(DType.f32, (1,)) for _ in range(2))
    for bound, combine in ((low, "min"), (high, "max")):
        builder.emit(Reduction(x, bound, shape, Recipe(combine, "f32"), x.size))
    q = builder.scratch(DType.u8, x.shape)
    scale, zero = builder.scratch(DType.f32, (1,)), builder.scratch(DType.i32, (1,))
    builder.call(
        kernels.quantize_input.key(), max(-(-x.size // CELL_THREADS), 1),
        flops=_QUANTIZE_FLOPS * x.size,
        x=x, low=low, high=high, q=q, scale=scale, zero=zero, n=x.size,
    )  # fmt: skip
    return _Quantized(q, scale, zero, 0)


def _quantize_state(builder: Builder, job: QuantizedRecurrence, h: Strided) -> _Quantized:
    """The states of each direction by a range of their own."""
    shape = (job.directions, job.batch, job.hidden)
    q = builder.scratch(DType.u8, shape)
    scale = builder.scratch(DType.f32, shape[:1])
    zero = builder.scratch(DType.i32, shape[:1])
    builder.call(
        kernels.quantize_state.key(), job.directions, flops=_QUANTIZE_FLOPS * math.prod(shape),
        x=h.words(), q=q, scale=scale, zero=zero, batch=job.batch, hidden=job.hidden,
    )  # fmt: skip
    return _Quantized(q, scale, zero, job.batch * job.hidden)


def _product(
    builder: Builder,
    job: QuantizedRecurrence,
    x: _Quantized,
    weights: QuantizedWeights,
    y: Strided,
    rows: int,
) -> _Product:
    """The product of `rows` rows with the weights of each direction, put into `y`."""
    directions, depth, columns = weights.tensor.shape
    own = int(x.of_direction > 0)
    byte_product(
        builder,
        Contraction(
            x=x.q,
            x_row=depth,
            weights=Matrices(weights.tensor, columns, ((columns, 1),)),
            y=y.tensor,
            y_row=y.row,
            rows=rows,
            columns=columns,
            depth=depth,
            groups=(GroupDim(directions, x.of_direction, depth * columns, y.outer),),
            w_zero=weights.zero.reshaped((directions, 1, weights.zero.size // directions)),
        ),
        {"data": x.zero, "row": 0, "groups": (own,)},
    )

    def spread(array: np.ndarray) -> np.ndarray:
        whole = array.reshape(directions, -1).astype(np.float32)
        return np.broadcast_to(whole, (directions, columns)).copy()

    b_scale = builder.packed(weights.scale, f"spread {columns}", spread)
    return _Product(y, x.scale, own, b_scale)
