"""Recurrent layers, and wrappers around layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from layercc import layers as L
from layercc.frontends.keras.layers.common import arrays, float_of, options
from layercc.frontends.keras.registry import Refused, layer_class, translates_layer
from layercc.layers.activations import RECURRENT
from layercc.layers.recurrent import Recurrent
from layercc.layers.tensor import SymbolicTensor, ints

_CELLS = {"LSTMCell": L.LSTM, "GRUCell": L.GRU, "SimpleRNNCell": L.SimpleRNN}


def _gate(function: Any) -> str:
    """The name of an activation of a recurrent layer. Refused unless ONNX's ops have it."""
    name = "linear" if function is None else getattr(function, "__name__", str(function))
    if name not in RECURRENT or keras.activations.get(name) not in (function, None):
        raise Refused(f"activation {name}; there are {', '.join(RECURRENT)}")
    return name


def _of_cell(cell: Any, **arguments: Any) -> Recurrent:
    """The builder's layer for one of Keras' cells. Refused for a cell of another class."""
    made = _CELLS[type(cell).__name__]
    arguments |= {"activation": _gate(cell.activation), "use_bias": cell.use_bias}
    if made is not L.SimpleRNN:
        arguments["recurrent_activation"] = _gate(cell.recurrent_activation)
    if made is L.GRU:
        arguments["reset_after"] = cell.reset_after
    return made(cell.units, **arguments)  # type: ignore[no-any-return]


def _flags(layer: Any) -> dict[str, Any]:
    if layer.stateful:
        raise Refused("stateful=True: a model that takes and returns the state would fit")
    return {
        "return_sequences": layer.return_sequences,
        "return_state": layer.return_state,
        "go_backwards": layer.go_backwards,
        "zero_output_for_mask": layer.zero_output_for_mask,
    }


@translates_layer("LSTM", "GRU", "SimpleRNN")
def recurrent(t: Any, layer: Any) -> L.Layer:
    return _of_cell(layer.cell, **_flags(layer), **options(t, layer))


@translates_layer("RNN")
def rnn(t: Any, layer: Any) -> L.Layer:
    cell = layer.cell
    flags = _flags(layer)
    if type(cell).__name__ in _CELLS and type(cell).__module__.startswith("keras."):
        return _of_cell(cell, **flags, **options(t, layer))
    cells = getattr(cell, "cells", ())
    if cells and all(type(c).__name__ in _CELLS for c in cells):
        made = [
            _of_cell(
                c,
                **flags | {"return_sequences": True, "return_state": True},
                name=c.name,
                weights=arrays(c),
                dtype=float_of(layer),
            )
            for c in cells
        ]
        return _Stacked(made, flags, **options(t, layer, weights=False))
    return _Unrolled(t, layer, flags, **options(t, layer, weights=False))


class _Stacked(L.Layer):
    """Recurrent layers one on the other, that are one layer with several states in Keras."""

    masking = True

    def __init__(self, parts: list[Recurrent], flags: dict[str, Any], **options: Any) -> None:
        super().__init__(**options)
        self.parts, self.flags = parts, flags
        for part in parts:
            part.in_time_order = True
            self.own(part, str(part.name))

    def call(
        self,
        x: SymbolicTensor,
        initial_state: Sequence[Any] | None = None,
        mask: SymbolicTensor | None = None,
    ) -> Any:
        states: list[Any] = []
        for i, part in enumerate(self.parts):
            given = None if initial_state is None else initial_state[i]
            x, *final = part(x, initial_state=given, mask=mask)
            states.append(final if len(final) > 1 else final[0])
        backwards = self.flags["go_backwards"]
        if not self.flags["return_sequences"]:
            last = states[-1]
            x = last[0] if isinstance(last, list) else last
        elif backwards:
            x = L.emit("Slice", x, ints(-1), ints(-(2**31)), ints(1), ints(-1))
        return (x, *states) if self.flags["return_state"] else x

    def compute_mask(self, inputs: Any, mask: Any) -> Any:
        return mask if self.flags["return_sequences"] else None


@translates_layer("ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D")
def convolutional_lstm(t: Any, layer: Any) -> L.Layer:
    return _Unrolled(t, layer, _flags(layer), **options(t, layer, weights=False))


class _Unrolled(L.Layer):
    """A cell of any kind, traced for each step of a known number."""

    masking = True

    def __init__(self, t: Any, layer: Any, flags: dict[str, Any], **options: Any) -> None:
        super().__init__(**options)
        self.t, self.layer, self.flags = t, layer, flags

    def call(
        self,
        x: SymbolicTensor,
        initial_state: Sequence[Any] | None = None,
        mask: SymbolicTensor | None = None,
    ) -> Any:
        steps = x.shape[1]
        if not isinstance(steps, int) or steps < 1:
            raise Refused(f"a cell of its own class over {steps} steps; a known number would fit")
        states = self._zeros(x) if initial_state is None else list(initial_state)
        y: Any = None
        every: list[Any] = []
        cell = self.layer.cell
        for step in reversed(range(steps)) if self.flags["go_backwards"] else range(steps):
            given = _at(x, step)
            made, after = self.t.apply(cell, (given, states), {})
            after = list(after) if isinstance(after, list | tuple) else [after]
            if mask is not None:
                kept = _spread(_at(mask, step), made.rank)
                before = _zeros_like(made) if y is None else y
                made = L.emit("Where", kept, made, before)
                after = [
                    L.emit("Where", _spread(_at(mask, step), new.rank), new, old)
                    for new, old in zip(after, states, strict=True)
                ]
            y, states = made, after
            if mask is not None and self.flags["zero_output_for_mask"]:
                kept = _spread(_at(mask, step), made.rank)
                made = L.emit("Where", kept, made, _zeros_like(made))
            every.append(made)
        if self.flags["return_sequences"]:
            result = L.emit("Concat", *(L.emit("Unsqueeze", z, ints(1)) for z in every), axis=1)
        else:
            result = every[-1]
        return (result, *states) if self.flags["return_state"] else result

    def compute_mask(self, inputs: Any, mask: Any) -> Any:
        return mask if self.flags["return_sequences"] else None

    def _zeros(self, x: SymbolicTensor) -> list[SymbolicTensor]:
        """Zeros, as Keras begins with unless a cell says otherwise."""
        cell = self.layer.cell
        own = getattr(type(cell), "get_initial_state", None)
        if own is not None and not own.__module__.startswith("keras."):
            raise Refused("a cell with a get_initial_state of its own")
        sizes = cell.state_size
        sizes = list(sizes) if isinstance(sizes, list | tuple) else [sizes]
        if "ConvLSTM" in type(self.layer).__name__:
            shape = [dim if isinstance(dim, int) else None for dim in x.shape]
            out = self.layer.compute_output_shape(tuple(shape))
            if self.flags["return_state"]:
                out = out[0]
            spatial = out[2:] if self.flags["return_sequences"] else out[1:]
            if None in spatial:
                raise Refused("spatial sizes that are not known")
            sizes = [tuple(spatial)] * 2
        dtype = x.dtype.value
        batch = L.emit("Shape", x, start=0, end=1)
        found = []
        for size in sizes:
            dims = size if isinstance(size, list | tuple) else (size,)
            target = L.emit("Concat", batch, ints(*dims), axis=0)
            found.append(L.emit("Expand", np.zeros((), dtype), target))
        return found


class Inner(L.Layer):
    """A Keras layer, or model, inside a layer of the builder: traced when it is called."""

    masking = True

    def __init__(self, t: Any, layer: Any) -> None:
        super().__init__(name=layer.name)
        self.t, self.layer = t, layer

    def call(self, *args: Any, **kwargs: Any) -> Any:
        with self.t.at(self.layer.name):
            return self.t.layer(self.layer, args, kwargs)


@translates_layer("TimeDistributed")
def time_distributed(t: Any, layer: Any) -> L.Layer:
    return L.TimeDistributed(Inner(t, layer.layer), **options(t, layer, weights=False))


@translates_layer("Bidirectional")
def bidirectional(t: Any, layer: Any) -> L.Layer | None:
    halves = (layer.forward_layer, layer.backward_layer)
    for half in halves:
        if layer_class(type(half)) not in ("LSTM", "GRU", "SimpleRNN"):
            return None
    ahead, back = (
        _of_cell(
            half.cell, **_flags(half), name=half.name, weights=arrays(half), dtype=float_of(half)
        )
        for half in halves
    )
    made = L.Bidirectional(
        ahead, layer.merge_mode, backward_layer=back, **options(t, layer, weights=False)
    )
    for part, half in zip((made.forward, made.backward), halves, strict=True):
        part.go_backwards = half.go_backwards
        part.zero_output_for_mask = half.zero_output_for_mask
        part.name = half.name
        part.in_time_order = True
    return made


def _at(x: SymbolicTensor, step: int) -> SymbolicTensor:
    made: SymbolicTensor = L.emit("Gather", x, ints(step)[0], axis=1)
    return made


def _spread(mask: SymbolicTensor, rank: int) -> SymbolicTensor:
    extra = rank - mask.rank
    return L.emit("Unsqueeze", mask, ints(*range(1, 1 + extra))) if extra > 0 else mask


def _zeros_like(x: SymbolicTensor) -> SymbolicTensor:
    made: SymbolicTensor = L.emit("Expand", np.zeros((), x.dtype.value), L.emit("Shape", x))
    return made
