"""Lowering of RNN, LSTM and GRU."""

from __future__ import annotations

from collections.abc import Mapping

from ir.graph import Node
from ir.ops.recurrent import Recurrent, resolve_activations
from ir.registry import Call
from layercc.buffers import Tensor
from layercc.jobs.recurrence import Recurrence
from layercc.kernels.expressions import Expression, ExpressionBuilder
from layercc.lower.casting import computable, result, rounded
from layercc.lower.context import Context
from layercc.lower.gathering import in_range
from layercc.lower.registry import lowering


@lowering("RNN", "LSTM", "GRU")
def recurrent(context: Context, node: Node) -> None:
    """A recurrent layer in all its variants, in a type that is computed with."""
    call = context.call_of(node)
    op: type[Recurrent] = call.op  # type: ignore[assignment]
    x = computable(context, context.tensor(node.inputs[0]))
    given = [optional_input(context, node, index) for index in range(3, 6 + op.states)]
    bias, lengths, *initial, peepholes = given
    if lengths is not None:
        lengths = in_range(context, node, 4)
    weights = [context.tensor(name) for name in node.inputs[1:3]]
    w, r = (t if t.array is not None else computable(context, t) for t in weights)
    outputs = [*node.outputs, *[""] * (1 + op.states - len(node.outputs))]
    y, *states = (result(context, name, x.dtype) if name else None for name in outputs)
    context.emit(
        Recurrence(
            kind=op.name,  # type: ignore[arg-type]
            x=x,
            w=w,
            r=r,
            bias=bias,
            lengths=lengths,
            initial=tuple(initial),
            peepholes=peepholes,
            y=y,
            states=tuple(states),
            hidden=r.shape[2],
            direction=call.direction,
            activations=activations(call, op, str(x.dtype)),
            batch_first=bool(call.layout),
            coupled=op.name == "LSTM" and bool(call.input_forget),
            linear_before_reset=op.name == "GRU" and bool(call.linear_before_reset),
        )
    )
    for name, value in zip(outputs, (y, *states), strict=True):
        if value is not None:
            rounded(context, value, name)


def optional_input(context: Context, node: Node, index: int) -> Tensor | None:
    """Input `index` in a type that is computed with, or None where it is absent."""
    if index >= len(node.inputs) or not node.inputs[index]:
        return None
    return computable(context, context.tensor(node.inputs[index]))


def activations(
    call: Call, op: type[Recurrent], dtype: str, instead: Mapping[str, str] | None = None
) -> tuple[tuple[Expression, ...], ...]:
    """The gates' functions, for each direction; `instead`: scalar functions to be used in place of
    those of the same name as an activation."""
    resolved = resolve_activations(call, op.default_activations)
    count = len(op.clipped)
    made = [
        _activation(
            (instead or {}).get(name, name), alpha, beta,
            call.clip if op.clipped[index % count] else None, dtype,
        )
        for index, (name, alpha, beta) in enumerate(resolved)
    ]  # fmt: skip
    return tuple(tuple(made[d : d + count]) for d in range(0, len(made), count))


def _activation(name: str, alpha: float, beta: float, clip: float | None, dtype: str) -> Expression:
    """A gate's function, of an input clipped to within `clip` of zero."""
    step = ExpressionBuilder(1)
    x = 0 if clip is None else step("clip", 0, dtype=dtype, high=clip, low=-clip)
    y = _function(step, name, alpha, beta, x, dtype)
    return ((dtype,), step.steps, (y,))


def _function(
    step: ExpressionBuilder, name: str, alpha: float, beta: float, x: int, dtype: str
) -> int:
    """Adds the steps of an activation, of value number `x`; the number of its value."""
    if name == "affine":
        scaled = step("multiply", x, step.constant(alpha, dtype), dtype=dtype)
        return step("add", scaled, step.constant(beta, dtype), dtype=dtype)
    if name == "scaledtanh":
        scaled = step("multiply", x, step.constant(beta, dtype), dtype=dtype)
        tanh = step("tanh", scaled, dtype=dtype)
        return step("multiply", tanh, step.constant(alpha, dtype), dtype=dtype)
    if name == "thresholdedrelu":  # unlike the op of that name, alpha itself passes
        passes = step("greater_or_equal", x, step.constant(alpha, dtype), dtype="bool")
        return step("select", passes, x, step.constant(0.0, dtype), dtype=dtype)
    if name == "hardsigmoid":
        return step("hard_sigmoid", x, dtype=dtype, alpha=alpha, beta=beta)
    if name == "leakyrelu":
        return step("leaky_relu", x, dtype=dtype, alpha=alpha)
    if name == "elu":
        return step("elu", x, dtype=dtype, alpha=alpha)
    return step(name, x, dtype=dtype)  # relu, tanh, sigmoid, softsign, softplus, or others instead
