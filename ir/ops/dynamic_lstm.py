"""The LSTM that onnxruntime's dynamic quantisation makes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ir.dims import Dim, product
from ir.ops.recurrent import LSTM, Direction, direction_count, fits, resolve_activations
from ir.registry import Call, Op, Range, register
from ir.types import TensorType, format_shape


@register
class DynamicQuantizeLSTM(Op):
    """LSTM with weights of 8 bits, whose X and h are quantised as DynamicQuantizeLinear does.

    W is [directions, input, 4 * hidden], R is [directions, hidden, 4 * hidden]. Their scales and
    zero points are [directions], or [directions, 4 * hidden] for one a column. X is quantised
    whole, and before each step the h of all samples of a direction.
    """

    name = "com.microsoft.DynamicQuantizeLSTM"
    inputs = (
        "X: T",
        "W: T2",
        "R: T2",
        "B: T?",
        "sequence_lens: i32?",
        "initial_h: T?",
        "initial_c: T?",
        "P: T?",
        "W_scale: T",
        "W_zero_point: T2",
        "R_scale: T",
        "R_zero_point: T2",
    )
    outputs = ("Y: T", "Y_h: T", "Y_c: T")
    constraints = {"T": "f32", "T2": "byte"}
    attributes = {
        name: attribute for name, attribute in LSTM.attributes.items() if name != "layout"
    }

    @staticmethod
    def ranges(call: Call) -> Mapping[int, Range]:
        return {4: (0, call.shape(0)[0])}

    @staticmethod
    def infer(call: Call) -> Sequence[TensorType]:
        directions = direction_count(call)
        resolve_activations(call, LSTM.default_activations)
        for name, index in (("X", 0), ("W", 1), ("R", 2)):
            if call.rank(index) != 3:
                call.fail(f"{name} is {call.type(index)}; rank 3 would fit")
        time, batch, features = call.shape(0)
        hidden = call.hidden_size or call.shape(2)[1]
        columns = 4 * hidden
        state = (directions, batch, hidden)
        expected: dict[int, tuple[Dim, ...]] = {
            1: (directions, features, columns),
            2: (directions, hidden, columns),
            3: (directions, 2 * columns),
            4: (batch,),
            5: state,
            6: state,
            7: (directions, 3 * hidden),
        }
        for index in range(8, 12):
            each = (columns,) if call.rank(index) == 2 else ()
            expected[index] = (directions, *each)
        for index, shape in expected.items():
            if call.has(index) and not fits(call.shape(index), shape):
                call.fail(
                    f"X is {call.type(0)}, direction={call.direction}, hidden_size is {hidden}:"
                    f" {call.op.input_name(index)} is {call.type(index)},"
                    f" but {format_shape(shape)} would fit"
                )
        final = call.type(0).with_shape(state)
        return [call.type(0).with_shape((time, directions, batch, hidden)), final, final]

    @staticmethod
    def reference(call: Call, x: Any, w: Any, r: Any, *rest: Any) -> Any:
        *given, w_scale, w_zero, r_scale, r_zero = rest
        return _RequantizingLSTM.reference(
            Call(LSTM, call.node, call.types[:8]),
            _requantized(x),
            _dequantized(w, w_scale, w_zero),
            _dequantized(r, r_scale, r_zero),
            *given,
        )

    @staticmethod
    def flops(call: Call) -> Dim:
        steps = product(call.shape(0)[:2])
        return 2 * steps * (product(call.shape(1)) + product(call.shape(2)))


class _RequantizingLSTM(LSTM):
    """The LSTM with real weights, but quantised states."""

    @staticmethod
    def step(call: Call, own: Direction, x: np.ndarray, states: list[np.ndarray]) -> list:
        h, c = states
        return LSTM.step(call, own, x, [_requantized(h), c])


def _requantized(x: np.ndarray) -> np.ndarray:
    """What DynamicQuantizeLinear and DequantizeLinear, one after the other, make of `x`."""
    low, high = np.min(x, initial=0), np.max(x, initial=0)
    scale = (high - low) / 255 or 1.0
    zero_point = np.clip(np.rint(-low / scale), 0, 255)
    return (np.clip(np.rint(x / scale) + zero_point, 0, 255) - zero_point) * scale


def _dequantized(weight: np.ndarray, scale: np.ndarray, zero_point: np.ndarray) -> np.ndarray:
    """The weights as LSTM has them, [directions, 4 * hidden, depth]."""
    spread = (len(weight), 1, -1)
    steps = weight.astype(np.float64) - zero_point.astype(np.float64).reshape(spread)
    return (steps * scale.reshape(spread)).swapaxes(1, 2)
