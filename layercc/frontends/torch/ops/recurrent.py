"""RNN, LSTM and GRU layers: one op for each layer of a stack."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ir.graph import Graph, Value
from ir.types import TensorType
from layercc.frontends.torch.registry import Refused, translates
from layercc.frontends.torch.reshaping import sliced, transposed, unsqueezed
from layercc.frontends.torch.translator import Tensor, Translator

#: Our order of the gates, as places in PyTorch's.
_LSTM = (0, 3, 1, 2)  # i o f c, of i f g o
_GRU = (1, 0, 2)  # z r h, of r z n
_RNN = (0,)


def _layers(
    t: Translator,
    op: str,
    order: Sequence[int],
    x: Tensor,
    states: Sequence[Tensor],
    params: Sequence[Tensor],
    has_biases: bool,
    num_layers: int,
    dropout: float,
    train: bool,
    bidirectional: bool,
    batch_first: bool,
    **attributes: Any,
) -> tuple[Tensor, ...]:
    """The layers of a stack, one after another; the output and the last states of all."""
    if train and dropout > 0 and num_layers > 1:
        raise Refused("in training mode; module.eval() would fit")
    directions = 2 if bidirectional else 1
    each = 4 if has_biases else 2
    if op == "LSTM" and states[0].shape[-1] != states[1].shape[-1]:
        return _projected(t, x, states, params, has_biases, num_layers, directions, batch_first)
    if batch_first:
        x = transposed(t, x, [1, 0, 2])
    hidden = params[1].shape[1]
    last: list[list[Tensor]] = [[] for _ in states]
    for layer in range(num_layers):
        own = [params[(layer * directions + d) * each :][:each] for d in range(directions)]
        first = layer * directions
        initial = [sliced(t, state, 0, first, first + directions) for state in states]
        y, *ends = t.emit(
            op, x, _joined(t, [_gates(t, p[0], order) for p in own]),
            _joined(t, [_gates(t, p[1], order) for p in own]), _biases(t, own, order, has_biases),
            None, *initial, outputs=1 + len(states), hidden_size=hidden,
            direction="bidirectional" if bidirectional else "forward", **attributes,
        )  # fmt: skip
        for found, end in zip(last, ends, strict=True):
            found.append(end)
        # [time, directions, batch, hidden] → [time, batch, directions * hidden]
        x = transposed(t, y, [0, 2, 1, 3])
        x = t.emit("Reshape", x, t.ints(0, 0, directions * int(hidden)))  # type: ignore[arg-type]
    if batch_first:
        x = transposed(t, x, [1, 0, 2])
    ends = [f[0] if len(f) == 1 else t.emit("Concat", *f, axis=0) for f in last]
    return (x, *ends)


def _projected(
    t: Translator, x: Tensor, states: Sequence[Tensor], params: Sequence[Tensor],
    has_biases: bool, num_layers: int, directions: int, batch_first: bool,
) -> tuple[Tensor, ...]:  # fmt: skip
    """An LSTM with `proj_size`, which our op LSTM lacks: a Scan for each layer and direction."""
    each = 5 if has_biases else 3
    if batch_first:
        x = transposed(t, x, [1, 0, 2])
    last: list[list[Tensor]] = [[], []]
    for layer in range(num_layers):
        sides = []
        for direction in range(directions):
            number = layer * directions + direction
            w, r, *biases, projection = params[number * each :][:each]
            gates = t.emit("MatMul", x, transposed(t, w, [1, 0]))
            for bias in biases:
                gates = t.emit("Add", gates, bias)
            h, c = (t.emit("Gather", state, t.scalar_i64(number), axis=0) for state in states)
            body = _projected_step(t, h, c, gates, r, projection)
            h, c, y = t.emit(
                "Scan", h, c, gates, outputs=3, body=body, num_scan_inputs=1,
                scan_input_directions=(direction,), scan_output_directions=(direction,),
            )  # fmt: skip
            sides.append(y)
            for found, end in zip(last, (h, c), strict=True):
                found.append(unsqueezed(t, end, 0))
        x = sides[0] if len(sides) == 1 else t.emit("Concat", *sides, axis=2)
    if batch_first:
        x = transposed(t, x, [1, 0, 2])
    ends = [f[0] if len(f) == 1 else t.emit("Concat", *f, axis=0) for f in last]
    return (x, *ends)


def _projected_step(
    t: Translator, h: Tensor, c: Tensor, gates: Tensor, r: Tensor, projection: Tensor
) -> Graph:
    """One step: h [batch, proj_size], c [batch, hidden], and the gates of an input, to the next h
    and c, and h once more as the output."""
    kinds = (h.type, c.type, TensorType(gates.dtype, gates.shape[1:]))
    back, down = transposed(t, r, [1, 0]), transposed(t, projection, [1, 0])
    with t.body("step") as graph:
        for name, kind in zip(("h", "c", "gates"), kinds, strict=True):
            own = t.names.fresh(f"{graph.name}.{name}")
            graph.inputs.append(Value(own, kind))
        h, c, given = (t.add_input(value.name, value.type) for value in graph.inputs)
        given = t.emit("Add", given, t.emit("MatMul", h, back))
        i, f, g, o = t.emit("Split", given, outputs=4, axis=1, num_outputs=4)
        kept = t.emit("Mul", t.emit("Sigmoid", f), c)
        c = t.emit("Add", kept, t.emit("Mul", t.emit("Sigmoid", i), t.emit("Tanh", g)))
        wide = t.emit("Mul", t.emit("Sigmoid", o), t.emit("Tanh", c))
        h = t.emit("MatMul", wide, down)
        for made in (h, c, t.emit("Identity", h)):
            graph.outputs.append(Value(made.name, made.type))
    return graph


def _gates(t: Translator, weight: Tensor, order: Sequence[int]) -> Tensor:
    """The rows of a weight with the gates in our order."""
    if len(order) == 1:
        return weight
    parts = t.emit("Split", weight, outputs=len(order), axis=0, num_outputs=len(order))
    return t.emit("Concat", *(parts[i] for i in order), axis=0)


def _joined(t: Translator, parts: Sequence[Tensor]) -> Tensor:
    """Parts of the directions along a new first axis."""
    wide = [unsqueezed(t, part, 0) for part in parts]
    return wide[0] if len(wide) == 1 else t.emit("Concat", *wide, axis=0)


def _biases(
    t: Translator, own: Sequence[Sequence[Tensor]], order: Sequence[int], has_biases: bool
) -> Tensor | None:
    if not has_biases:
        return None
    rows = [t.emit("Concat", *(_gates(t, b, order) for b in p[2:4]), axis=0) for p in own]
    return _joined(t, rows)


@translates("lstm.input")
def lstm(
    t: Translator, x: Tensor, hx: Sequence[Tensor], params: Sequence[Tensor], *settings: Any
) -> tuple[Tensor, ...]:
    return _layers(t, "LSTM", _LSTM, x, hx, params, *settings)


@translates("gru.input")
def gru(
    t: Translator, x: Tensor, hx: Tensor, params: Sequence[Tensor], *settings: Any
) -> tuple[Tensor, ...]:
    return _layers(t, "GRU", _GRU, x, [hx], params, *settings, linear_before_reset=1)


def _rnn(t: Translator, activation: str, x: Tensor, hx: Tensor, params: Any, settings: Any) -> Any:
    directions = 2 if settings[4] else 1
    names = (activation,) * directions
    return _layers(t, "RNN", _RNN, x, [hx], params, *settings, activations=names)


@translates("rnn_tanh.input")
def rnn_tanh(t: Translator, x: Tensor, hx: Tensor, params: Any, *settings: Any) -> Any:
    return _rnn(t, "Tanh", x, hx, params, settings)


@translates("rnn_relu.input")
def rnn_relu(t: Translator, x: Tensor, hx: Tensor, params: Any, *settings: Any) -> Any:
    return _rnn(t, "Relu", x, hx, params, settings)
