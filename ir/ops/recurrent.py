"""Recurrent layers: RNN, LSTM, GRU.

X is [time, batch, input] with layout 0 and [batch, time, input] with layout 1; W is
[directions, gates * hidden, input], R is [directions, gates * hidden, hidden].
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ir.dims import Dim, may_equal, product
from ir.ops.layout import widened
from ir.registry import Attr, Call, Op, Range, register
from ir.types import TensorType, format_shape

Activation = Callable[[np.ndarray], np.ndarray]


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return np.where(x >= 0, 1 / (1 + np.exp(-np.abs(x))), 1 - 1 / (1 + np.exp(-np.abs(x))))


#: Name → function of (x, alpha, beta), and the defaults of the parameters that it has.
ACTIVATIONS: dict[str, tuple[Callable[[Any, float, float], Any], tuple[float, ...]]] = {
    "relu": (lambda x, a, b: np.maximum(x, 0), ()),
    "tanh": (lambda x, a, b: np.tanh(x), ()),
    "sigmoid": (lambda x, a, b: _sigmoid(x), ()),
    "softsign": (lambda x, a, b: x / (1 + np.abs(x)), ()),
    "softplus": (lambda x, a, b: np.logaddexp(0, x), ()),
    "leakyrelu": (lambda x, a, b: np.where(x >= 0, x, a * x), (0.01,)),
    "thresholdedrelu": (lambda x, a, b: np.where(x >= a, x, 0), (1.0,)),
    "elu": (lambda x, a, b: np.where(x >= 0, x, a * np.expm1(x)), (1.0,)),
    "affine": (lambda x, a, b: a * x + b, (1.0, 0.0)),
    "scaledtanh": (lambda x, a, b: a * np.tanh(b * x), (1.0, 1.0)),
    "hardsigmoid": (lambda x, a, b: np.clip(a * x + b, 0, 1), (0.2, 0.5)),
}


def resolve_activations(call: Call, defaults: Sequence[str]) -> list[tuple[str, float, float]]:
    """(name in lower case, alpha, beta) of each activation, those of one direction after another.

    `activation_alpha` and `activation_beta` are handed out in order to the activations that have
    such a parameter.
    """
    directions = direction_count(call)
    given = call.activations
    names = list(given) if given else list(defaults) * directions
    count = len(defaults) * directions
    if len(names) == len(defaults) and directions == 2:
        names = names * 2
    elif len(names) < count:  # RNN's default names two, also for one direction
        call.fail(
            f"activations={names}: {len(names)} given, {count} would fit"
            f" ({len(defaults)} for each direction)",
            "bad-attribute",
        )
    alphas: Iterator[float] = iter(call.activation_alpha or ())
    betas: Iterator[float] = iter(call.activation_beta or ())
    resolved = []
    for name in names[:count]:
        if name.lower() not in ACTIVATIONS:
            call.fail(
                f"activation {name!r} is unknown; one of {', '.join(sorted(ACTIVATIONS))} would"
                " fit",
                "bad-attribute",
            )
        _, parameters = ACTIVATIONS[name.lower()]
        alpha = next(alphas, parameters[0]) if parameters else 0.0
        beta = next(betas, parameters[1]) if len(parameters) > 1 else 0.0
        resolved.append((name.lower(), alpha, beta))
    return resolved


def direction_count(call: Call) -> int:
    """1, or 2 for `direction=bidirectional`."""
    if call.direction not in ("forward", "reverse", "bidirectional"):
        call.fail(
            f"direction={call.direction!r}; forward, reverse or bidirectional would fit",
            "bad-attribute",
        )
    return 2 if call.direction == "bidirectional" else 1


@dataclass(frozen=True)
class Direction:
    """What one direction computes with: W, R, Wb and Rb, peepholes (zeros where absent), and the
    activations, clipping included."""

    w: np.ndarray
    r: np.ndarray
    wb: np.ndarray
    rb: np.ndarray
    peepholes: np.ndarray
    functions: list[Activation]


class Recurrent(Op):
    """Base of the recurrent layers. `gates` rows of W and R belong to each hidden unit."""

    gates = 1
    states = 1  # tensors carried from step to step
    default_activations: tuple[str, ...] = ("Tanh",)
    clipped: tuple[bool, ...] = (True,)  # whether `clip` applies to the input of each activation

    @staticmethod
    def ranges(call: Call) -> Mapping[int, Range]:
        return {4: (0, call.shape(0)[1 if call.layout else 0])}

    @classmethod
    def infer(cls, call: Call) -> Sequence[TensorType]:  # type: ignore[override]
        if call.rank(0) != 3:
            call.fail(f"X is {call.type(0)}; [time, batch, input] would fit")
        resolve_activations(call, cls.default_activations)
        directions = direction_count(call)
        time, batch, features = call.shape(0)
        if call.layout:
            time, batch = batch, time
        if call.rank(2) != 3:
            call.fail(f"R is {call.type(2)}; [directions, gates * hidden, hidden] would fit")
        hidden = call.hidden_size or call.shape(2)[2]
        rows = cls.gates * hidden
        state = (batch, directions, hidden) if call.layout else (directions, batch, hidden)
        expected: list[tuple[Dim, ...] | None] = [
            None,
            (directions, rows, features),
            (directions, rows, hidden),
            (directions, 2 * rows),
            (batch,),
            *[state] * cls.states,
            (directions, 3 * hidden),
        ]
        for index in range(1, len(call.types)):
            wanted = expected[index]
            if wanted is not None and call.has(index) and not fits(call.shape(index), wanted):
                call.fail(
                    f"X is {call.type(0)} (layout={call.layout}, direction={call.direction}), "
                    f"hidden_size is {hidden}: {call.op.input_name(index)} is {call.type(index)}, "
                    f"but {format_shape(wanted)} would fit"
                )
        y = (batch, time, directions, hidden) if call.layout else (time, directions, batch, hidden)
        carried = [call.type(0).with_shape(state)] * cls.states
        return [call.type(0).with_shape(y), *carried]

    @classmethod
    def flops(cls, call: Call) -> Dim:  # type: ignore[override]
        steps = product(call.shape(0)[:2])
        return 2 * steps * (product(call.shape(1)) + product(call.shape(2)))

    @classmethod
    def reference(cls, call: Call, x: Any, w: Any, r: Any, *rest: Any) -> Any:  # type: ignore[override]
        given: list[Any] = [*rest, *[None] * (3 + cls.states - len(rest))]
        b, lengths, *initial, peepholes = given

        def batch_second(value: np.ndarray) -> np.ndarray:
            return widened(np.swapaxes(value, 0, 1) if call.layout else value)

        dtype, count, hidden = x.dtype, w.shape[0], r.shape[2]
        x = batch_second(x)
        time, batch, _ = x.shape
        steps = np.full(batch, time) if lengths is None else np.asarray(lengths)
        biases = np.zeros((count, 2 * w.shape[1])) if b is None else widened(b)
        peeping = np.zeros((count, 3 * hidden)) if peepholes is None else widened(peepholes)
        starts = [
            np.zeros((count, batch, hidden)) if value is None else batch_second(value)
            for value in initial
        ]
        functions = cls._functions(call)
        ys, carried = [], []
        for d in range(count):
            wb, rb = np.split(biases[d], 2)
            chosen = functions[d * len(cls.clipped) : (d + 1) * len(cls.clipped)]
            own = Direction(widened(w[d]), widened(r[d]), wb, rb, peeping[d], chosen)
            order = _time_order(steps, time, backward=call.direction == "reverse" or d == 1)
            states = [start[d] for start in starts]
            y = np.zeros((time, batch, hidden))
            for t in range(time):
                at = order[t], np.arange(batch)
                new = cls.step(call, own, x[at], states)
                alive = (t < steps)[:, None]
                states = [np.where(alive, n, s) for n, s in zip(new, states, strict=True)]
                y[at] = np.where(alive, states[0], 0)
            ys.append(y)
            carried.append(states)
        finals = [np.stack(states) for states in zip(*carried, strict=True)]
        y = np.stack(ys, axis=1)
        if call.layout:
            y, finals = y.transpose(2, 0, 1, 3), [s.swapaxes(0, 1) for s in finals]
        return tuple(np.ascontiguousarray(out).astype(dtype) for out in (y, *finals))

    @classmethod
    def _functions(cls, call: Call) -> list[Activation]:
        """The activations, those of one direction after another."""
        resolved = resolve_activations(call, cls.default_activations)
        clips = [call.clip if clipped else None for clipped in cls.clipped] * direction_count(call)
        return [_activation(*each, clip) for each, clip in zip(resolved, clips, strict=True)]

    @staticmethod
    def step(call: Call, own: Direction, x: np.ndarray, states: list[np.ndarray]) -> list:
        """The states after one time step; the first is the output."""
        raise NotImplementedError


def fits(shape: Sequence[Dim], expected: Sequence[Dim]) -> bool:
    """Whether a shape may be the expected one."""
    return len(shape) == len(expected) and all(map(may_equal, shape, expected))


def _time_order(lengths: np.ndarray, time: int, backward: bool) -> np.ndarray:
    """[time, batch]: the position that each sample reads at each step; padding stays behind."""
    forward = np.arange(time)[:, None] + np.zeros(len(lengths), np.int64)
    if not backward:
        return forward
    return np.where(forward < lengths, lengths - 1 - forward, forward)


def _activation(name: str, alpha: float, beta: float, clip: float | None) -> Activation:
    """The function of a gate, of an input brought to within `clip` of zero."""
    function, _ = ACTIVATIONS[name]
    if clip is None:
        return lambda x: function(x, alpha, beta)
    return lambda x: function(np.clip(x, -clip, clip), alpha, beta)


SHARED = {
    "activation_alpha": Attr("floats", None),
    "activation_beta": Attr("floats", None),
    "activations": Attr("strings", None),
    "clip": Attr("float", None),
    "direction": Attr("string", "forward"),
    "hidden_size": Attr("int", None),
    "layout": Attr("int", 0),
}


@register
class RNN(Recurrent):
    """`H = f(X W' + H R' + Wb + Rb)`."""

    weighted = True
    inputs = ("X: T", "W: T", "R: T", "B: T?", "sequence_lens: i32?", "initial_h: T?")
    outputs = ("Y: T", "Y_h: T")
    constraints = {"T": "float"}
    attributes = SHARED

    @staticmethod
    def step(call: Call, own: Direction, x: np.ndarray, states: list[np.ndarray]) -> list:
        (h,), (f,) = states, own.functions
        return [f(x @ own.w.T + h @ own.r.T + own.wb + own.rb)]


@register
class GRU(Recurrent):
    """Gated recurrent unit; gates z (update), r (reset), h (hidden).

    With `linear_before_reset` the reset gate multiplies `H R' + Rb`, otherwise H.
    """

    weighted = True
    inputs = ("X: T", "W: T", "R: T", "B: T?", "sequence_lens: i32?", "initial_h: T?")
    outputs = ("Y: T", "Y_h: T")
    constraints = {"T": "float"}
    attributes = {**SHARED, "linear_before_reset": Attr("int", 0)}
    gates = 3
    default_activations = ("Sigmoid", "Tanh")
    clipped = (True, True)

    @staticmethod
    def step(call: Call, own: Direction, x: np.ndarray, states: list[np.ndarray]) -> list:
        (h,), (f, g) = states, own.functions
        xz, xr, xh = np.split(x @ own.w.T + own.wb, 3, axis=1)
        rz, rr, rh = np.split(own.r, 3)
        bz, br, bh = np.split(own.rb, 3)
        z, reset = f(xz + h @ rz.T + bz), f(xr + h @ rr.T + br)
        inner = reset * (h @ rh.T + bh) if call.linear_before_reset else (reset * h) @ rh.T + bh
        return [(1 - z) * g(xh + inner) + z * h]


@register
class LSTM(Recurrent):
    """Long short-term memory; gates i (input), o (output), f (forget), c (cell).

    `input_forget` couples the forget gate to the input gate: `f = 1 - i`.
    """

    weighted = True
    inputs = (
        "X: T",
        "W: T",
        "R: T",
        "B: T?",
        "sequence_lens: i32?",
        "initial_h: T?",
        "initial_c: T?",
        "P: T?",
    )
    outputs = ("Y: T", "Y_h: T", "Y_c: T")
    constraints = {"T": "float"}
    attributes = {**SHARED, "input_forget": Attr("int", 0)}
    gates = 4
    states = 2
    default_activations = ("Sigmoid", "Tanh", "Tanh")
    clipped = (True, True, False)  # the gates, not the new cell

    @staticmethod
    def step(call: Call, own: Direction, x: np.ndarray, states: list[np.ndarray]) -> list:
        (h, c), (f, g, last) = states, own.functions
        pi, po, pf = np.split(own.peepholes, 3)
        gi, go, gf, gc = np.split(x @ own.w.T + h @ own.r.T + own.wb + own.rb, 4, axis=1)
        i = f(gi + pi * c)
        forget = 1 - i if call.input_forget else f(gf + pf * c)
        new = forget * c + i * g(gc)
        return [f(go + po * new) * last(new), new]
