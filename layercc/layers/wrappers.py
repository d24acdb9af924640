"""Layers around a layer: both directions of time, each time step."""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Sequence
from typing import Any

from layercc.layers.layer import Layer
from layercc.layers.recurrent import Recurrent
from layercc.layers.tensor import SymbolicTensor, emit, ints


class Bidirectional(Layer):
    """A recurrent layer and its copy that runs backwards in time, their results merged.

    merge_mode: `concat`, `sum`, `mul`, `ave`, or None for both results. Weights: those of the
    forward layer, then those of the backward one.
    """

    masking = True

    def __init__(
        self,
        layer: Recurrent,
        merge_mode: str | None = "concat",
        *,
        backward_layer: Recurrent | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        if not isinstance(layer, Recurrent):
            raise TypeError(f"Bidirectional takes a recurrent layer, not {layer!r}")
        if merge_mode not in ("concat", "sum", "mul", "ave", None):
            raise ValueError(f"Bidirectional: merge_mode {merge_mode!r}")
        self.merge_mode = merge_mode
        self.forward = _copy(layer, layer.go_backwards)
        self.backward = _copy(backward_layer or layer, not layer.go_backwards)
        if backward_layer is None:
            self.backward._initial = deque()
        parts = (self.forward, self.backward)
        for part in parts:  # as in Keras: repeated results would not fit together
            part.zero_output_for_mask = part.return_sequences
        if len({(part.return_sequences, part.return_state) for part in parts}) > 1:
            raise ValueError("Bidirectional: return_sequences and return_state must be the same")
        self.own(self.forward, "forward")
        self.own(self.backward, "backward")

    def call(
        self,
        x: SymbolicTensor,
        initial_state: Sequence[SymbolicTensor] | None = None,
        mask: SymbolicTensor | None = None,
    ) -> Any:
        halves: list[Any] = [None, None]
        if initial_state is not None:
            half = len(initial_state) // 2
            halves = [initial_state[:half], initial_state[half:]]
        ahead = self.forward(x, initial_state=halves[0], mask=mask)
        back = self.backward(x, initial_state=halves[1], mask=mask)
        if not self.forward.return_state:
            return self._merge(ahead, back)
        merged = self._merge(ahead[0], back[0])
        states = (*ahead[1:], *back[1:])
        return (*merged, *states) if self.merge_mode is None else (merged, *states)

    def compute_mask(self, inputs: Any, mask: Any) -> Any:
        if not self.forward.return_sequences:
            return None
        return [mask, mask] if self.merge_mode is None else mask

    def _merge(self, ahead: SymbolicTensor, back: SymbolicTensor) -> Any:
        if self.merge_mode is None:
            return ahead, back
        if self.merge_mode == "concat":
            return emit("Concat", ahead, back, axis=-1)
        if self.merge_mode == "mul":
            return ahead * back
        return ahead + back if self.merge_mode == "sum" else (ahead + back) * 0.5


def _copy(layer: Recurrent, go_backwards: bool) -> Recurrent:
    """A layer with the same settings, and weights of its own."""
    made = copy.copy(layer)
    made.own_weights, made.weights, made.built, made.owner = {}, [], False, None
    made.go_backwards, made.in_time_order = go_backwards, True
    return made


class TimeDistributed(Layer):
    """A layer, or a model, applied to each step of `[batch, steps, ...]`.

    A mask of three dims or more goes to the layer, step by step.
    """

    masking = True

    def __init__(self, layer: Any, **options: Any) -> None:
        super().__init__(**options)
        self.layer = layer
        if isinstance(layer, Layer):
            self.own(layer, layer.name or "layer")

    def call(self, x: SymbolicTensor, mask: SymbolicTensor | None = None) -> SymbolicTensor:
        if x.rank < 3:
            self.fail(f"the input is {x.type}; [batch, steps, features...] would fit")
        folded = _reshape(x, ints(-1), _dims(x, 2))
        if mask is not None and mask.rank > 2:
            folded.mask = _reshape(mask, ints(-1), _dims(mask, 2))
        y = self.layer(folded)
        if not isinstance(y, SymbolicTensor):
            self.fail("the layer inside must give one tensor")
        return _reshape(y, _dims(x, 0, 2), _dims(y, 1))


def _dims(x: SymbolicTensor, start: int, end: int | None = None) -> Any:
    """The dims of `x` from `start` on: an array of known ones, with one -1 for an unknown batch."""
    dims = x.shape[start:end]
    if start == 0 and all(isinstance(dim, int) for dim in dims[1:]):
        return ints(-1, *dims[1:])
    if all(isinstance(dim, int) for dim in dims):
        return ints(*dims)
    return emit("Shape", x, start=start, end=end)


def _reshape(x: SymbolicTensor, *parts: Any) -> SymbolicTensor:
    if all(not isinstance(part, SymbolicTensor) for part in parts):
        return emit("Reshape", x, ints(*(size for part in parts for size in part)))
    return emit("Reshape", x, emit("Concat", *parts, axis=0))
