"""Lowering of RNN, LSTM and GRU.

The inputs of all time steps are projected by one contraction. Then each step is a contraction of
the state with the recurrent weights, for all directions at once, and a cell
(`layercc.cpu.kernels.recurrent`) that applies the gates and updates the states in place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ir.dtypes import DType
from ir.graph import Node
from ir.ops.recurrent import Recurrent, direction_count, resolve_activations
from ir.registry import Call
from layercc.cpu.algorithms.panels import Packed, Product, multiply, pack_at_run_time, pack_weights
from layercc.cpu.emit.movement import CHUNK, moved_as
from layercc.cpu.emit.records import Strided
from layercc.cpu.kernels.fill import fill
from layercc.cpu.kernels.recurrent import gru_cell, gru_gates, lstm_cell, rnn_cell
from layercc.cpu.tiles import choose_vectors
from layercc.jobs.contraction import Epilogue, Operand
from layercc.kernels.declaration import KernelKey
from layercc.kernels.expressions import Expression, Step
from layercc.lower.casting import computable, result, rounded
from layercc.lower.context import Context, Tensor
from layercc.lower.gathering import in_range
from layercc.lower.movement import copy
from layercc.lower.registry import lowering

#: Hidden units of a cell's task.
_CELL_TASK = 1 << 12

Activation = tuple[str, float, float]


def activation_expression(activation: Activation, clip: float | None, dtype: str) -> Expression:
    """A gate's function (name, alpha, beta), of an input clipped to within `clip` of zero."""
    name, alpha, beta = activation
    steps: list[Step] = []
    if clip is not None:
        steps.append(("clip", (0,), (("high", clip), ("low", -clip)), dtype))
    for function, operands, settings in _steps(name, alpha, beta, len(steps)):
        kind = "bool" if function == "greater_or_equal" else dtype
        steps.append((function, operands, settings, kind))
    return ((dtype,), tuple(steps), (len(steps),))


def _steps(
    name: str, alpha: float, beta: float, x: int
) -> list[tuple[str, tuple[int, ...], tuple[tuple[str, float], ...]]]:
    """The function applied to value number `x`; its last step's value counts."""
    a, b = (("value", alpha),), (("value", beta),)
    if name == "affine":
        return [
            ("constant", (), a), ("multiply", (x, x + 1), ()),
            ("constant", (), b), ("add", (x + 2, x + 3), ()),
        ]  # fmt: skip
    if name == "scaledtanh":
        return [
            ("constant", (), b), ("multiply", (x, x + 1), ()), ("tanh", (x + 2,), ()),
            ("constant", (), a), ("multiply", (x + 3, x + 4), ()),
        ]  # fmt: skip
    if name == "thresholdedrelu":  # unlike the op of that name, alpha itself passes
        return [
            ("constant", (), a), ("greater_or_equal", (x, x + 1), ()),
            ("constant", (), (("value", 0.0),)), ("select", (x + 2, x, x + 3), ()),
        ]  # fmt: skip
    if name == "hardsigmoid":
        return [("hard_sigmoid", (x,), (("alpha", alpha), ("beta", beta)))]
    if name in ("leakyrelu", "elu"):
        return [(name.replace("leakyrelu", "leaky_relu"), (x,), (("alpha", alpha),))]
    return [(name, (x,), ())]  # relu, tanh, sigmoid, softsign, softplus, their replacements


@dataclass(frozen=True)
class Layer:
    """One recurrent layer at concrete sizes. Its tensors are seen as [directions, time, batch,
    columns], with stride 0 where there is no time."""

    call: Call
    context: Context
    dtype: DType
    time: int
    batch: int
    features: int
    hidden: int
    directions: int
    gates: int
    batch_first: bool = False

    @property
    def rows(self) -> int:
        """Rows of W and R of one direction."""
        return self.gates * self.hidden

    def projected(self, x: Tensor, weight: str, bias: Tensor | None, whole: bool) -> Strided:
        """W x + Wb, and with `whole` also Rb."""
        count = self.time * self.batch
        y = self.context.scratch(self.dtype, (count, self.directions, self.rows))
        epilogue = Epilogue()
        if bias is not None:
            parts = [bias, bias.moved(self.rows * self.dtype.itemsize)] if whole else [bias]
            operands = tuple(Operand(part, (2 * self.rows, 0), 0, 1) for part in parts)
            kind = str(self.dtype)
            add = [("add", (0, 1), (), kind), ("add", (3, 2), (), kind)]
            inputs = (kind,) * (1 + len(parts))
            steps: Any = (inputs, tuple(add[: len(parts)]), (2 * len(parts),))
            epilogue = Epilogue(steps, operands)
        wide = self.directions * self.rows
        self._contract(
            Strided(x, 0, 0, self.features),
            self.weights(weight, self.features, 0, self.rows),
            Strided(y, self.rows, 0, wide),
            (count, self.rows, self.features),
            epilogue,
        )
        between = (wide, self.time * wide) if self.batch_first else (self.batch * wide, wide)
        return Strided(y, self.rows, *between)

    def product(self, x: Strided, weight: str, first: int, gates: int) -> Strided:
        """R x, for `gates` gates from number `first` on."""
        rows, batch = gates * self.hidden, self.batch
        shape = (self.directions, batch, rows)
        y = Strided(self.context.scratch(self.dtype, shape), batch * rows, 0, rows)
        packed = self.weights(weight, self.hidden, first * self.hidden, rows)
        self._contract(x, packed, y, (batch, rows, self.hidden), Epilogue())
        return y

    def _contract(
        self, x: Strided, w: Packed, y: Strided, sizes: tuple[int, int, int], epilogue: Epilogue
    ) -> None:
        rows, columns, depth = sizes
        multiply(
            self.context.builder,
            Product(x, w, y, rows, columns, depth, outer=self.directions, epilogue=epilogue),
        )

    def weights(self, name: str, depth: int, first: int, rows: int) -> Packed:
        """Rows of W or R, transposed, in panels."""
        context = self.context
        vectors = choose_vectors(context.isa, rows, str(self.dtype))
        if name in context.graph.constants:
            dtype = self.dtype.value

            def pack(array: np.ndarray) -> np.ndarray:
                part = array[:, first : first + rows].astype(dtype, copy=False)
                return pack_weights(context.isa, part.swapaxes(1, 2)[:, None], vectors)

            packed = context.packed(name, f"recurrent {first} {rows} {vectors} {dtype}", pack)
            return Packed(packed, vectors, packed.size // self.directions)
        matrix = computable(context, context.tensor(name))
        return pack_at_run_time(
            context.builder,
            matrix.moved(first * depth * self.dtype.itemsize),
            (self.directions, 1),
            (matrix.shape[1] * depth, 0, 1, depth),
            depth,
            rows,
        )


@lowering("RNN", "LSTM", "GRU")
def recurrent(context: Context, node: Node) -> None:
    """A recurrent layer in all its variants."""
    call = context.call_of(node)
    op: type[Recurrent] = call.op  # type: ignore[assignment]
    x = computable(context, context.tensor(node.inputs[0]))
    time, batch, features = x.shape if not call.layout else (x.shape[1], x.shape[0], x.shape[2])
    hidden, directions = context.shape(node.inputs[2])[2], direction_count(call)
    sizes = (time, batch, features, hidden, directions, op.gates)
    layer = Layer(call, context, x.dtype, *sizes, batch_first=bool(call.layout))
    given = [optional_input(context, node, index) for index in range(3, 6 + op.states)]
    bias, lengths, *initial = given
    if lengths is not None:
        lengths = in_range(context, node, 4)
    peepholes = initial.pop()
    projected = layer.projected(x, node.inputs[1], bias, whole=node.op != "GRU")

    outputs = [*node.outputs, "", ""]
    state_shape, state_strides = (directions, batch, hidden), (batch * hidden, 0, hidden)
    if call.layout:
        state_shape, state_strides = (batch, directions, hidden), (hidden, 0, directions * hidden)
    states = [
        state_of(context, outputs[1 + i], initial[i], layer.dtype, state_shape)
        for i in range(op.states)
    ]
    y = (
        result(context, outputs[0], layer.dtype) if outputs[0]
        else context.scratch(layer.dtype, (directions, batch, hidden))  # what one step writes
    )  # fmt: skip

    h = Strided(states[0], *state_strides)
    cells = Cells(layer, layer_words(layer, lengths), {"projected": projected, "h": h})
    written = Strided(y, *output_strides(layer, outputs[0] != ""))
    functions = functions_of(layer, op)
    kind, recurrent_weights = str(layer.dtype), node.inputs[2]

    first = len(context.program.calls)
    if time == 0:
        pass
    elif node.op == "GRU":
        biased, linear = bias is not None, bool(call.linear_before_reset)
        if bias is not None:
            rb = bias.moved(layer.rows * layer.dtype.itemsize)
            cells.tensors["bias"] = Strided(rb, 2 * layer.rows, 0, 0)
        cells.tensors["sums"] = sums = layer.product(h, recurrent_weights, 0, 3 if linear else 2)
        if not linear:
            cells.emit(lambda f: gru_gates.key(kind, f[0], biased), functions)
            cells.tensors["products"] = layer.product(sums.moved(hidden), recurrent_weights, 2, 1)
        cells.tensors["y"] = written
        cells.emit(lambda f: gru_cell.key(kind, f, biased, linear), functions)
    else:
        cells.tensors["sums"] = layer.product(h, recurrent_weights, 0, layer.gates)
        cells.tensors["y"] = written
        if node.op == "RNN":
            cells.emit(lambda f: rnn_cell.key(kind, f[0]), functions)
        else:
            cells.tensors["c"] = Strided(states[1], *state_strides)
            peeping, coupled = peepholes is not None, bool(call.input_forget)
            if peepholes is not None:
                cells.tensors["peepholes"] = Strided(peepholes, 3 * hidden, 0, 0)
            cells.emit(lambda f: lstm_cell.key(kind, f, peeping, coupled), functions)
    repeat(context, first, time)

    for name, value in zip(outputs, (y, *states), strict=False):
        if name:
            rounded(context, value, name)


@dataclass
class Cells:
    """Calls of a cell for all directions, or where these have different functions, for each."""

    layer: Layer
    words: dict[str, Any]  # the record `layercc.cpu.recurrence.LAYER`
    tensors: dict[str, Any]  # of `Strided`, or records of such

    def emit(
        self,
        key: Callable[[tuple[Expression, ...]], KernelKey],
        functions: Sequence[tuple[Expression, ...]],
    ) -> None:
        """Appends the calls of the cell `key`; `functions` are those of each direction."""
        layer = self.layer
        together = len(set(functions)) == 1
        count = layer.directions if together else 1
        for d in range(0, layer.directions, count):
            words = {**self.words, "directions": count}
            words["first_backward"] += d
            layer.context.call(
                key(functions[d]),
                tasks=-(-count * layer.batch // words["row_block"]),
                flops=50 * count * layer.batch * layer.hidden,
                step=0,
                layer=words,
                **{name: at.from_outer(d).words() for name, at in self.tensors.items()},
            )


def optional_input(context: Context, node: Node, index: int) -> Tensor | None:
    """Input `index` in a type that is computed with, or None where it is absent."""
    if index >= len(node.inputs) or not node.inputs[index]:
        return None
    return computable(context, context.tensor(node.inputs[index]))


def state_of(
    context: Context, name: str, initial: Tensor | None, dtype: DType, shape: tuple[int, ...]
) -> Tensor:
    """A state, in its output's memory where there is one, holding its initial value."""
    same = bool(name) and context.dtype(name) is dtype
    state = context.output(name) if same else context.scratch(dtype, shape)
    if initial is not None:
        copy(context, initial, state)
        return state
    context.call(
        fill.key(moved_as(dtype)),
        tasks=-(-state.size // CHUNK),
        value=context.constant(np.zeros(1, dtype.value)),
        y=state,
        n=state.size,
        chunk=CHUNK,
    )
    return state


def output_strides(layer: Layer, wanted: bool) -> tuple[int, int, int]:
    """Elements between directions, steps and samples of Y, or of what stands for one step of it."""
    batch, hidden = layer.batch, layer.hidden
    line = layer.directions * hidden
    if not wanted:
        return batch * hidden, 0, hidden
    if layer.batch_first:
        return hidden, line, layer.time * line
    return batch * hidden, batch * line, hidden


def layer_words(layer: Layer, lengths: Tensor | None) -> dict[str, Any]:
    """The record `layercc.cpu.recurrence.LAYER`."""
    words = {
        "limited": int(lengths is not None),
        "time": layer.time,
        "directions": layer.directions,
        "first_backward": int(layer.call.direction == "reverse"),
        "batch": layer.batch,
        "hidden": layer.hidden,
        "row_block": max(_CELL_TASK // max(layer.hidden, 1), 1),
    }
    return words if lengths is None else {"lengths": lengths, **words}


def functions_of(
    layer: Layer, op: type[Recurrent], instead: Mapping[str, str] | None = None
) -> list[tuple[Expression, ...]]:
    """The gates' functions, for each direction; `instead`: scalar functions to be used in place of
    those of the same name as an activation."""
    resolved = [
        ((instead or {}).get(name, name), alpha, beta)
        for name, alpha, beta in resolve_activations(layer.call, op.default_activations)
    ]
    count, kind = len(op.clipped), str(layer.dtype)
    made = [
        activation_expression(activation, layer.call.clip if clipped else None, kind)
        for activation, clipped in zip(resolved, op.clipped * layer.directions, strict=True)
    ]
    return [tuple(made[d * count : (d + 1) * count]) for d in range(layer.directions)]


def repeat(context: Context, first: int, time: int) -> None:
    """Appends the calls of steps 1, 2, ... after those of step 0, which begin at `first`."""
    calls = context.program.calls
    block: Sequence[Any] = calls[first:]
    for step in range(1, time):
        for call in block:
            if "step" in call.arguments:
                call = replace(call, arguments={**call.arguments, "step": step})
            calls.append(call)
