"""Lowering of DynamicQuantizeLSTM: exact products of bytes, cells in f32.

As an LSTM (`layercc.lower.recurrent`), with X quantised whole, and h before each step, that of all
samples of a direction together. Sums of bytes go from the contraction to the cell, which brings
them to scale (`layercc.cpu.quantized`).
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, Self

import numpy as np

from ir.diagnostics import UnsupportedError
from ir.dtypes import DType
from ir.graph import Node
from ir.ops.recurrent import LSTM, direction_count
from layercc.cpu.algorithms.panels import BYTES, Packed, Product, multiply, pack_bytes
from layercc.cpu.emit.records import Strided
from layercc.cpu.kernels.recurrent_quantized import quantize_rows, quantized_lstm_cell
from layercc.cpu.tiles import QUADS, choose_vectors
from layercc.lower.context import Context, Tensor
from layercc.lower.gathering import in_range
from layercc.lower.recurrent import (
    Cells,
    Layer,
    functions_of,
    layer_words,
    optional_input,
    output_strides,
    repeat,
    state_of,
)
from layercc.lower.registry import lowering

#: The gates' functions are approximated as onnxruntime does it: with the same sums, and those are
#: exact, h is the same to the bit, and so it is quantised the same.
_FUNCTIONS = {"sigmoid": "rational_sigmoid", "tanh": "rational_tanh"}


@dataclass(frozen=True)
class Quantized:
    """A matrix a of each group, as bytes in whole words, with `layercc.cpu.quantized`'s
    parameters of it."""

    words: Strided
    totals: Strided
    scale: Strided
    zero: Strided


@dataclass(frozen=True)
class QuantizedProduct:
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


@lowering("com.microsoft.DynamicQuantizeLSTM")
def quantized_lstm(context: Context, node: Node) -> None:
    """An LSTM with weights of 8 bits, which with their scales and zero points are constants."""
    call = context.call_of(node)
    x, h0, c0 = (optional_input(context, node, index) for index in (0, 5, 6))
    bias, lengths, peepholes = (optional_input(context, node, index) for index in (3, 4, 7))
    assert x is not None
    (time, batch, features), hidden = x.shape, context.shape(node.inputs[2])[1]
    directions = direction_count(call)
    if lengths is not None:
        lengths = in_range(context, node, 4)
    layer = Layer(call, context, x.dtype, time, batch, features, hidden, directions, LSTM.gates)
    line = directions * layer.rows  # of the projected inputs

    whole = _quantize(context, Strided(x, 0, 0, features), (1, time * batch, features))
    projected = _product(
        layer,
        replace(whole, totals=replace(whole.totals, inner=batch)),
        _Weights.of(context, node, 1),
        Strided(context.scratch(DType.i32, (time, batch, line)), layer.rows, batch * line, line),
        time * batch,
    )

    outputs = [*node.outputs, "", ""]
    shape = (directions, batch, hidden)
    h, c = (
        Strided(state_of(context, name, initial, x.dtype, shape), batch * hidden, 0, hidden)
        for name, initial in zip(outputs[1:3], (h0, c0), strict=True)
    )
    y = context.output(outputs[0]) if outputs[0] else context.scratch(x.dtype, shape)
    written = Strided(y, *output_strides(layer, outputs[0] != ""))
    if time == 0:
        return

    first = len(context.program.calls)
    sums = _product(
        layer,
        _quantize(context, h, shape),
        _Weights.of(context, node, 2),
        Strided(context.scratch(DType.i32, (*shape[:2], layer.rows)), batch * layer.rows, 0,
                layer.rows),
        batch,
    )  # fmt: skip
    tensors: dict[str, Any] = {"sums": sums, "projected": projected, "y": written, "h": h, "c": c}
    if bias is not None:
        tensors["bias"] = Strided(bias, 2 * layer.rows, 0, 0)
    if peepholes is not None:
        tensors["peepholes"] = Strided(peepholes, 3 * hidden, 0, 0)
    options = peepholes is not None, bool(call.input_forget), bias is not None
    functions = functions_of(layer, LSTM, _FUNCTIONS)
    cells = Cells(layer, layer_words(layer, lengths), tensors)
    cells.emit(lambda f: quantized_lstm_cell.key(f, *options), functions)
    repeat(context, first, time)


def _quantize(context: Context, x: Strided, shape: tuple[int, int, int]) -> Quantized:
    """`x`, of the shape (groups, rows, columns), each group with a scale of its own."""
    groups, rows, columns = shape
    length = -(-columns // BYTES)
    q = context.scratch(DType.u8, (groups, rows, length * BYTES))
    totals = context.scratch(DType.i32, (groups, rows))
    scale, zero = context.scratch(DType.f32, (groups,)), context.scratch(DType.i32, (groups,))
    context.call(
        quantize_rows.key(),
        tasks=groups,
        flops=10 * groups * rows * columns,
        x=x.words(),
        q=Strided(q, rows * length * BYTES, 0, length * BYTES).words(),
        totals=totals,
        scale=scale,
        zero=zero,
        rows=rows,
        columns=columns,
    )
    one = int(groups > 1)
    return Quantized(
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
    def of(context: Context, node: Node, index: int) -> _Weights:
        """The weights that are input `index` of the node."""
        name, place = node.inputs[index], 6 + 2 * index
        scale, zero = node.inputs[place], node.inputs[place + 1]
        for given in (name, scale, zero):
            if given not in context.graph.constants:
                raise UnsupportedError(f"{node}: {given!r} is computed; a constant would fit")
        directions, depth, columns = context.shape(name)
        vectors = choose_vectors(context.isa, columns, QUADS)
        zeros = context.graph.constants[zero]
        levels = zeros.astype(np.int32).reshape(directions, 1, -1)
        # unsigned weights are moved into the range of signed ones, and so are their zero points
        shift = 128 if zeros.dtype == np.uint8 else 0

        def pack(array: np.ndarray) -> np.ndarray:
            signed = (array.astype(np.int16) - shift).astype(np.int8)
            return pack_bytes(context.isa, signed[:, None], vectors)

        def sums(array: np.ndarray) -> np.ndarray:
            return (array.astype(np.int32) - levels).sum(axis=1, dtype=np.int32)

        def spread(array: np.ndarray) -> np.ndarray:
            return np.broadcast_to(array.reshape(directions, -1), (directions, columns)).copy()

        packed = context.packed(name, f"bytes {vectors}", pack)
        return _Weights(
            packed=Packed(packed, vectors, packed.size // directions, words=QUADS),
            depth=-(-depth // BYTES),
            scale=context.packed(scale, f"spread {columns}", spread),
            zero=context.packed(
                zero, f"spread {columns} i32", lambda z: spread(z.astype(np.int32) - shift)
            ),
            sums=context.packed(name, f"sums less {levels.tolist()}", sums),
        )


def _product(layer: Layer, a: Quantized, b: _Weights, sums: Strided, rows: int) -> QuantizedProduct:
    """The product of `a` with the weights of each direction; its sums are put into `sums`."""
    job = Product(a.words, b.packed, sums, rows, layer.rows, b.depth, outer=layer.directions)
    multiply(layer.context.builder, job)
    of_weights = (Strided(tensor, layer.rows, 0, 0) for tensor in (b.scale, b.zero, b.sums))
    return QuantizedProduct(sums, a.totals, a.scale, a.zero, *of_weights)
