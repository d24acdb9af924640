"""RNN, LSTM and GRU layers: one op for each layer of a stack."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

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
    if len(params) != each * num_layers * directions:
        raise Refused("with proj_size")
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
