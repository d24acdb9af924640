"""Recurrent layers over `[batch, steps, features]`.

The ops are ONNX's, steps first. Weights are reordered from Keras' gates to ONNX's:
LSTM i, f, c, o → i, o, f, c; GRU z, r, h in both.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from layercc.layers.activations import RECURRENT
from layercc.layers.initializers import Initializer
from layercc.layers.layer import Layer, unsupported
from layercc.layers.masked_steps import MaskedSteps
from layercc.layers.tensor import SymbolicTensor, emit, ints
from layercc.layers.weight import Layout


def gates_layout(order: Sequence[int]) -> Layout:
    """Keras (in, gates * units) ↔ ONNX (1, gates * units, in), with the gates in `order`."""
    count = len(order)

    def from_keras(array: np.ndarray) -> np.ndarray:
        split = array.reshape(array.shape[0], count, -1)
        return split[:, list(order)].reshape(array.shape).T[None]

    def to_keras(array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        split = array[0].T.reshape(shape[0], count, -1)
        return split[:, np.argsort(order)].reshape(shape)

    return Layout(lambda shape: (1, shape[1], shape[0]), from_keras, to_keras)


def bias_layout(order: Sequence[int]) -> Layout:
    """Keras (gates * units) or (2, gates * units) ↔ ONNX (1, 2 * gates * units).

    ONNX keeps the biases of the input and of the state apart; the single one is the input's.
    """
    count = len(order)

    def shape(keras: tuple[int, ...]) -> tuple[int, ...]:
        return (1, 2 * keras[-1])

    def from_keras(array: np.ndarray) -> np.ndarray:
        rows = array.reshape(-1, count, array.shape[-1] // count)[:, list(order)]
        made = np.zeros(shape(array.shape), array.dtype)
        made[0, : rows.size] = rows.reshape(-1)
        return made

    def to_keras(array: np.ndarray, keras: tuple[int, ...]) -> np.ndarray:
        rows = array[0, : int(np.prod(keras))].reshape(-1, count, keras[-1] // count)
        return rows[:, np.argsort(order)].reshape(keras)

    return Layout(shape, from_keras, to_keras)


class Recurrent(Layer):
    """Base of `LSTM`, `GRU` and `SimpleRNN`.

    The result is the last state `[batch, units]`, or with `return_sequences` all of them
    `[batch, steps, units]`; with `return_state` followed by the final states. `go_backwards` takes
    the steps from the last to the first and gives its results in that order. A step that `mask`
    `[batch, steps]` leaves out keeps the state, and repeats the result before it; with
    `zero_output_for_mask`, its result is zeros. `stateful` is not supported.
    """

    masking = True
    op: ClassVar[str]
    gates: ClassVar[tuple[int, ...]]
    states: ClassVar[int] = 1

    def __init__(
        self,
        units: int,
        activations: Sequence[Any],
        use_bias: bool,
        kernel_initializer: Initializer,
        recurrent_initializer: Initializer,
        bias_initializer: Initializer,
        *,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        zero_output_for_mask: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.units, self.use_bias = self.positive(units, "units"), use_bias
        self.zero_output_for_mask = zero_output_for_mask
        self.activations = activations
        self.kernel_initializer = kernel_initializer
        self.recurrent_initializer = recurrent_initializer
        self.bias_initializer = bias_initializer
        self.return_sequences, self.return_state = return_sequences, return_state
        self.go_backwards = go_backwards
        self.in_time_order = False  # set by Bidirectional: results stay in the order of the input
        if stateful:
            raise unsupported(self, "stateful=True: pass initial_state and take return_state")

    def bias_shape(self) -> tuple[int, ...]:
        return (len(self.gates) * self.units,)

    def attributes(self) -> dict[str, Any]:
        """Attributes beside those of every recurrent op."""
        return {}

    def call(
        self,
        x: SymbolicTensor,
        initial_state: Sequence[SymbolicTensor] | SymbolicTensor | None = None,
        mask: SymbolicTensor | None = None,
    ) -> Any:
        self.expect_rank(x, 3, "[batch, steps, features]")
        if mask is not None and mask.rank != 2:
            self.fail(f"the mask is {mask.type}; [batch, steps] would fit")
        width = len(self.gates) * self.units
        layout = gates_layout(self.gates)
        kernel = self.weight("kernel", (x.shape[2], width), self.kernel_initializer, layout)
        recurrent = self.weight(
            "recurrent_kernel", (self.units, width), self.recurrent_initializer, layout
        )
        bias = None
        if self.use_bias:
            bias = self.weight(
                "bias", self.bias_shape(), self.bias_initializer, bias_layout(self.gates)
            )
        masked = None if mask is None else MaskedSteps(mask, self.go_backwards)
        x = x if masked is None else masked.gathered(x)
        steps_first = emit("Transpose", x, perm=(1, 0, 2))
        every, *last = emit(
            self.op,
            steps_first,
            kernel,
            recurrent,
            bias,
            None if masked is None else masked.lengths,
            *self._initial_states(initial_state),
            results=1 + self.states,
            hidden_size=self.units,
            direction="reverse" if self.go_backwards else "forward",
            **self._activation_attributes(),
            **self.attributes(),
        )
        finals = [emit("Squeeze", state, ints(0)) for state in last]
        result = finals[0]
        if self.return_sequences:
            result = self._sequence(every, masked)
        elif masked is not None and (initial_state is not None or self.zero_output_for_mask):
            result = masked.last(result, self.zero_output_for_mask, self.go_backwards)
        return (result, *finals) if self.return_state else result

    def compute_mask(self, inputs: Any, mask: Any) -> Any:
        return mask if self.return_sequences else None

    def _sequence(self, every: SymbolicTensor, masked: MaskedSteps | None) -> SymbolicTensor:
        """`[steps, 1, batch, units]` → `[batch, steps, units]`, in the order that Keras gives."""
        y = emit("Transpose", emit("Squeeze", every, ints(1)), perm=(1, 0, 2))
        if masked is not None:
            y = masked.spread(y, self.zero_output_for_mask)
        if self.go_backwards and not self.in_time_order:
            y = emit("Slice", y, ints(-1), ints(-(2**31)), ints(1), ints(-1))
        return y

    def _initial_states(
        self, given: Sequence[SymbolicTensor] | SymbolicTensor | None
    ) -> list[SymbolicTensor]:
        if given is None:
            return []
        states = [given] if isinstance(given, SymbolicTensor) else list(given)
        if len(states) != self.states:
            self.fail(f"{len(states)} initial states given; {self.states} would fit")
        return [emit("Unsqueeze", state, ints(0)) for state in states]

    def _activation_attributes(self) -> dict[str, Any]:
        chosen = []
        for activation in self.activations:
            name = "linear" if activation is None else activation
            if name not in RECURRENT:
                raise unsupported(
                    self,
                    f"activation {name!r} in a recurrent layer; there are {', '.join(RECURRENT)}",
                )
            chosen.append(RECURRENT[name])
        alphas = tuple(alpha for _, alpha, _ in chosen if alpha is not None)
        betas = tuple(beta for _, _, beta in chosen if beta is not None)
        return {
            "activations": tuple(name for name, _, _ in chosen),
            "activation_alpha": alphas or None,
            "activation_beta": betas or None,
        }


class LSTM(Recurrent):
    """Long short-term memory (Hochreiter and Schmidhuber 1997). States: h, c."""

    op = "LSTM"
    gates = (0, 3, 1, 2)
    states = 2

    def __init__(
        self,
        units: int,
        activation: str | None = "tanh",
        recurrent_activation: str | None = "sigmoid",
        use_bias: bool = True,
        kernel_initializer: Initializer = "glorot_uniform",
        recurrent_initializer: Initializer = "orthogonal",
        bias_initializer: Initializer = "zeros",
        unit_forget_bias: bool = True,
        **options: Any,
    ) -> None:
        if unit_forget_bias and bias_initializer == "zeros":
            bias_initializer = functools.partial(_forget_bias, units)
        super().__init__(
            units,
            (recurrent_activation, activation, activation),
            use_bias,
            kernel_initializer,
            recurrent_initializer,
            bias_initializer,
            **options,
        )


def _forget_bias(units: int, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """Zeros, with ones for the forget gate (Jozefowicz et al. 2015)."""
    bias = np.zeros(shape, dtype)
    bias[units : 2 * units] = 1
    return bias


class GRU(Recurrent):
    """Gated recurrent unit (Cho et al. 2014). State: h.

    `reset_after` applies the reset gate behind the recurrent product, which then has a bias of its
    own.
    """

    op = "GRU"
    gates = (0, 1, 2)

    def __init__(
        self,
        units: int,
        activation: str | None = "tanh",
        recurrent_activation: str | None = "sigmoid",
        use_bias: bool = True,
        kernel_initializer: Initializer = "glorot_uniform",
        recurrent_initializer: Initializer = "orthogonal",
        bias_initializer: Initializer = "zeros",
        *,
        reset_after: bool = True,
        **options: Any,
    ) -> None:
        self.reset_after = reset_after
        super().__init__(
            units,
            (recurrent_activation, activation),
            use_bias,
            kernel_initializer,
            recurrent_initializer,
            bias_initializer,
            **options,
        )

    def bias_shape(self) -> tuple[int, ...]:
        return (2, 3 * self.units) if self.reset_after else (3 * self.units,)

    def attributes(self) -> dict[str, Any]:
        return {"linear_before_reset": int(self.reset_after)}


class SimpleRNN(Recurrent):
    """`h = activation(x @ kernel + h @ recurrent_kernel + bias)`. State: h."""

    op = "RNN"
    gates = (0,)

    def __init__(
        self,
        units: int,
        activation: str | None = "tanh",
        use_bias: bool = True,
        kernel_initializer: Initializer = "glorot_uniform",
        recurrent_initializer: Initializer = "orthogonal",
        bias_initializer: Initializer = "zeros",
        **options: Any,
    ) -> None:
        super().__init__(
            units,
            (activation,),
            use_bias,
            kernel_initializer,
            recurrent_initializer,
            bias_initializer,
            **options,
        )
