"""Emission of an LSTM by products of bytes: exact sums, cells in f32.

As an LSTM (`layercc.cpu.emit.recurrence`). Sums of bytes go from the contraction to the cell, which
brings them to scale (`layercc.cpu.quantized`).
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, Self

import numpy as np

from ir.dtypes import DType
from layercc.buffers import Tensor
from layercc.cpu.algorithms.panels import BYTES, Packed, Product, multiply, pack_bytes
from layercc.cpu.emit.builder import Builder
from layercc.cpu.emit.records import Strided
from layercc.cpu.emit.recurrence import cells, output_of, repeat, states_of
from layercc.cpu.emit.registry import emitter
from layercc.cpu.kernels.recurrent_quantized import quantize_rows, quantized_lstm_cell
from layercc.cpu.tiles import QUADS, choose_vectors
from layercc.jobs.quantized_recurrence import QuantizedRecurrence, QuantizedWeights

_QUANTIZE_FLOPS = 10  # an element


@dataclass(frozen=True)
class _Quantized:
    """A matrix a of each group, as bytes in whole words, with `layercc.cpu.quantized`'s
    parameters of it."""

    words: Strided
    totals: Strided
    scale: Strided
    zero: Strided


@dataclass(frozen=True)
class _QuantizedProduct:
    """The record `layercc.cpu.quantized.PRODUCT`."""

    sums: Strided
    totals: Strided
    scale: Strided
    zero: Strided
    b_scale: Strided
    b_zero: Strided
    b_sums: Strided

    def from_outer(self, index: int) -> Self:
        """The product from the outer group `index` on."""
        parts = {part.name: getattr(self, part.name) for part in fields(self)}
        return replace(self, **{name: part.from_outer(index) for name, part in parts.items()})

    def words(self) -> dict[str, Any]:
        return {part.name: getattr(self, part.name).words() for part in fields(self)}


@emitter(QuantizedRecurrence)
def quantized_recurrence(builder: Builder, job: QuantizedRecurrence) -> None:
    """x quantised and projected, then the first step, whose calls are repeated for all others."""
    time, batch, features, hidden = job.time, job.batch, job.features, job.hidden
    line = job.directions * job.rows  # of the projected inputs
    count = time * batch
    whole = _quantize(builder, Strided(job.x, 0, 0, features), (1, count, features))
    y = builder.scratch(DType.i32, (count, line))
    between = (line, time * line) if job.batch_first else (batch * line, line)
    inner, row = (1, time) if job.batch_first else (batch, 1)
    projected = _product(builder, job, whole, job.w, Strided(y, job.rows, 0, line), count)
    tensors: dict[str, Any] = {
        "projected": replace(
            projected,
            sums=Strided(y, job.rows, *between),
            totals=replace(projected.totals, inner=inner, row=row),
        )
    }
    h, c = states_of(builder, job)
    written = output_of(builder, job)
    if time == 0:
        return

    first = len(builder.program.calls)
    shape = (job.directions, batch, hidden)
    y = builder.scratch(DType.i32, (*shape[:2], job.rows))
    target = Strided(y, batch * job.rows, 0, job.rows)
    sums = _product(builder, job, _quantize(builder, h, shape), job.r, target, batch)
    tensors |= {"sums": sums, "y": written, "h": h, "c": c}
    if job.bias is not None:
        tensors["bias"] = Strided(job.bias, 2 * job.rows, 0, 0)
    if job.peepholes is not None:
        tensors["peepholes"] = Strided(job.peepholes, 3 * hidden, 0, 0)
    options = job.peepholes is not None, job.coupled, job.bias is not None
    cells(builder, job, lambda f: quantized_lstm_cell.key(f, *options), tensors)
    repeat(builder, first, time)


def _quantize(builder: Builder, x: Strided, shape: tuple[int, int, int]) -> _Quantized:
    """`x`, of the shape (groups, rows, columns), each group with a scale of its own."""
    groups, rows, columns = shape
    length = -(-columns // BYTES)
    q = builder.scratch(DType.u8, (groups, rows, length * BYTES))
    totals = builder.scratch(DType.i32, (groups, rows))
    scale, zero = builder.scratch(DType.f32, (groups,)), builder.scratch(DType.i32, (groups,))
    builder.call(
        quantize_rows.key(),
        tasks=groups,
        flops=_QUANTIZE_FLOPS * groups * rows * columns,
        x=x.words(),
        q=Strided(q, rows * length * BYTES, 0, length * BYTES).words(),
        totals=totals,
        scale=scale,
        zero=zero,
        rows=rows,
        columns=columns,
    )
    one = int(groups > 1)
    return _Quantized(
        words=Strided(replace(q, dtype=DType.u32, shape=(groups, rows, length)),
                      one * rows * length, 0, length),
        totals=Strided(totals, one * rows, 0, 1),
        scale=Strided(scale, one, 0, 0),
        zero=Strided(zero, one, 0, 0),
    )  # fmt: skip


@dataclass(frozen=True)
class _Weights:
    """W or R in panels of words, with a row of each parameter for each direction."""

    packed: Packed
    depth: int  # words
    scale: Tensor
    zero: Tensor
    sums: Tensor

    @staticmethod
    def of(builder: Builder, given: QuantizedWeights) -> _Weights:
        """Unsigned weights are moved into the range of signed ones, and so are their zeros."""
        directions, depth, columns = given.tensor.shape
        vectors = choose_vectors(builder.isa, columns, QUADS)
        zeros = given.zero.array
        assert zeros is not None
        levels = zeros.astype(np.int32).reshape(directions, 1, -1)
        shift = 128 if given.zero.dtype is DType.u8 else 0

        def pack(array: np.ndarray) -> np.ndarray:
            signed = (array.astype(np.int16) - shift).astype(np.int8)
            return pack_bytes(builder.isa, signed[:, None], vectors)

        def sums(array: np.ndarray) -> np.ndarray:
            return (array.astype(np.int32) - levels).sum(axis=1, dtype=np.int32)

        def spread(array: np.ndarray) -> np.ndarray:
            return np.broadcast_to(array.reshape(directions, -1), (directions, columns)).copy()

        packed = builder.packed(given.tensor, f"bytes {vectors}", pack)
        return _Weights(
            packed=Packed(packed, vectors, packed.size // directions, words=QUADS),
            depth=-(-depth // BYTES),
            scale=builder.packed(given.scale, f"spread {columns}", spread),
            zero=builder.packed(
                given.zero, f"spread {columns} i32", lambda z: spread(z.astype(np.int32) - shift)
            ),
            sums=builder.packed(given.tensor, f"sums less {levels.tolist()}", sums),
        )


def _product(
    builder: Builder,
    job: QuantizedRecurrence,
    a: _Quantized,
    weights: QuantizedWeights,
    sums: Strided,
    rows: int,
) -> _QuantizedProduct:
    """The product of `a` with the weights of each direction; its sums are put into `sums`."""
    b = _Weights.of(builder, weights)
    product = Product(a.words, b.packed, sums, rows, job.rows, b.depth, outer=job.directions)
    multiply(builder, product)
    of_weights = (Strided(tensor, job.rows, 0, 0) for tensor in (b.scale, b.zero, b.sums))
    return _QuantizedProduct(sums, a.totals, a.scale, a.zero, *of_weights)
