"""Recurrent layers: RNN, LSTM, GRU.

X is [time, batch, input] with layout 0 and [batch, time, input] with layout 1; W is
[directions, gates * hidden, input], R is [directions, gates * hidden, hidden].
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from ir.dims import Dim, may_equal, product
from ir.ops.layout import widened
from ir.registry import Attr, Call, Op, register
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


class Recurrent(Op):
    """Base of the recurrent layers. `gates` rows of W and R belong to each hidden unit."""

    gates = 1
    states = 1  # tensors carried from step to step
    default_activations: tuple[str, ...] = ("Tanh",)

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
            fits = expected[index]
            if fits is not None and call.has(index) and not _fits(call.shape(index), fits):
                call.fail(
                    f"X is {call.type(0)} (layout={call.layout}, direction={call.direction}), "
                    f"hidden_size is {hidden}: {call.op.input_name(index)} is {call.type(index)}, "
                    f"but {format_shape(fits)} would fit"
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
        given: list[Any] = [*rest, *[None] * (4 + cls.states - len(rest))]
        b, lengths, *initial = given
        peepholes = initial[cls.states]
        dtype = x.dtype
        x = widened(np.swapaxes(x, 0, 1) if call.layout else x)
        time, batch, _ = x.shape
        hidden = r.shape[2]
        per_direction = len(cls.default_activations)
        activations = resolve_activations(call, cls.default_activations)
        reverse = {"forward": [False], "reverse": [True]}.get(call.direction, [False, True])
        steps = np.full(batch, time) if lengths is None else np.asarray(lengths)
        ys, carried = [], []
        for d, backward in enumerate(reverse):
            states = [
                np.zeros((batch, hidden))
                if value is None
                else widened(np.swapaxes(value, 0, 1) if call.layout else value)[d]
                for value in initial[: cls.states]
            ]
            bias = np.zeros(2 * w.shape[1]) if b is None else widened(b[d])
            chosen = activations[d * per_direction : (d + 1) * per_direction]
            functions = [_activation(*activation) for activation in chosen]
            peephole = None if peepholes is None else widened(peepholes[d])
            order = _time_order(steps, time, backward)
            y = np.zeros((time, batch, hidden))
            for t in range(time):
                at = order[t]
                now = x[at, np.arange(batch)]
                new = cls.step(
                    call, now, states, widened(w[d]), widened(r[d]), bias, functions, peephole
                )
                alive = (t < steps)[:, None]
                states = [np.where(alive, n, s) for n, s in zip(new, states, strict=True)]
                y[at, np.arange(batch)] = np.where(alive, states[0], 0)
            ys.append(y)
            carried.append(states)
        finals = [np.stack([states[i] for states in carried]) for i in range(cls.states)]
        y = np.stack(ys, axis=1)
        if call.layout:
            y, finals = y.transpose(2, 0, 1, 3), [s.swapaxes(0, 1) for s in finals]
        return tuple(np.ascontiguousarray(out).astype(dtype) for out in (y, *finals))

    @staticmethod
    def step(
        call: Call,
        x: np.ndarray,
        states: list[np.ndarray],
        w: np.ndarray,
        r: np.ndarray,
        bias: np.ndarray,
        functions: list[Activation],
        peephole: np.ndarray | None,
    ) -> list[np.ndarray]:
        """The states after one time step; the first is the output."""
        raise NotImplementedError


def _fits(shape: Sequence[Dim], expected: Sequence[Dim]) -> bool:
    return len(shape) == len(expected) and all(map(may_equal, shape, expected))


def _time_order(lengths: np.ndarray, time: int, backward: bool) -> np.ndarray:
    """[time, batch]: the position that each sample reads at each step; padding stays behind."""
    forward = np.arange(time)[:, None] + np.zeros(len(lengths), np.int64)
    if not backward:
        return forward
    return np.where(forward < lengths, lengths - 1 - forward, forward)


def _activation(name: str, alpha: float, beta: float) -> Activation:
    function, _ = ACTIVATIONS[name]
    return lambda x: function(x, alpha, beta)


def _clipped(call: Call, x: np.ndarray) -> np.ndarray:
    """The input of an activation, within `clip` of zero."""
    return x if call.clip is None else np.clip(x, -call.clip, call.clip)


_SHARED = {
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

    inputs = ("X: T", "W: T", "R: T", "B: T?", "sequence_lens: i32?", "initial_h: T?")
    outputs = ("Y: T", "Y_h: T")
    constraints = {"T": "float"}
    attributes = _SHARED

    @staticmethod
    def step(
        call: Call,
        x: np.ndarray,
        states: list[np.ndarray],
        w: np.ndarray,
        r: np.ndarray,
        bias: np.ndarray,
        functions: list[Activation],
        peephole: np.ndarray | None,
    ) -> list[np.ndarray]:
        (h,) = states
        wb, rb = np.split(bias, 2)
        return [functions[0](_clipped(call, x @ w.T + h @ r.T + wb + rb))]


@register
class GRU(Recurrent):
    """Gated recurrent unit; gates z (update), r (reset), h (hidden).

    With `linear_before_reset` the reset gate multiplies `H R' + Rb`, otherwise H.
    """

    inputs = ("X: T", "W: T", "R: T", "B: T?", "sequence_lens: i32?", "initial_h: T?")
    outputs = ("Y: T", "Y_h: T")
    constraints = {"T": "float"}
    attributes = {**_SHARED, "linear_before_reset": Attr("int", 0)}
    gates = 3
    default_activations = ("Sigmoid", "Tanh")

    @staticmethod
    def step(
        call: Call,
        x: np.ndarray,
        states: list[np.ndarray],
        w: np.ndarray,
        r: np.ndarray,
        bias: np.ndarray,
        functions: list[Activation],
        peephole: np.ndarray | None,
    ) -> list[np.ndarray]:
        (h,) = states
        f, g = functions
        wb, rb = np.split(bias, 2)
        xz, xr, xh = np.split(x @ w.T + wb, 3, axis=1)
        rz, rr, rh = np.split(r, 3)
        bz, br, bh = np.split(rb, 3)
        z = f(_clipped(call, xz + h @ rz.T + bz))
        reset = f(_clipped(call, xr + h @ rr.T + br))
        inner = reset * (h @ rh.T + bh) if call.linear_before_reset else (reset * h) @ rh.T + bh
        return [(1 - z) * g(_clipped(call, xh + inner)) + z * h]


@register
class LSTM(Recurrent):
    """Long short-term memory; gates i (input), o (output), f (forget), c (cell).

    `input_forget` couples the forget gate to the input gate: `f = 1 - i`.
    """

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
    attributes = {**_SHARED, "input_forget": Attr("int", 0)}
    gates = 4
    states = 2
    default_activations = ("Sigmoid", "Tanh", "Tanh")

    @staticmethod
    def step(
        call: Call,
        x: np.ndarray,
        states: list[np.ndarray],
        w: np.ndarray,
        r: np.ndarray,
        bias: np.ndarray,
        functions: list[Activation],
        peephole: np.ndarray | None,
    ) -> list[np.ndarray]:
        h, c = states
        f, g, last = functions
        wb, rb = np.split(bias, 2)
        pi, po, pf = (0.0, 0.0, 0.0) if peephole is None else np.split(peephole, 3)
        gi, go, gf, gc = np.split(x @ w.T + h @ r.T + wb + rb, 4, axis=1)
        i = f(_clipped(call, gi + pi * c))
        forget = 1 - i if call.input_forget else f(_clipped(call, gf + pf * c))
        cell = forget * c + i * g(_clipped(call, gc))
        o = f(_clipped(call, go + po * cell))
        return [o * last(cell), cell]
