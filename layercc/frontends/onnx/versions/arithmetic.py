"""Pointwise ops: broadcasting attributes, bounds, dtypes by name."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto

from layercc.frontends.onnx.versions.step import Step, lifts

_BINARY = (
    "Add", "Sub", "Mul", "Div", "Pow", "And", "Or", "Xor", "Equal", "Greater", "Less",
)  # fmt: skip


@lifts(*_BINARY, until=7)
def broadcast_attribute(step: Step) -> None:
    """`broadcast=1, axis=k` lines up dim 0 of B with dim k of A: B gets trailing dims of 1."""
    axis = step.pop("axis")
    broadcasts = step.pop("broadcast", 0)
    if not broadcasts or axis is None:
        return
    ranks = step.rank(0), step.rank(1)
    if ranks[0] is None or ranks[1] is None:
        step.unsupported("broadcasting along an axis needs inputs of known rank")
    trailing = ranks[0] - axis % max(ranks[0], 1) - ranks[1]
    if trailing < 0:
        step.invalid(f"B of rank {ranks[1]} does not fit at axis {axis} of rank {ranks[0]}")
    append_dims(step, 1, ranks[1], trailing)


def append_dims(step: Step, index: int, rank: int, count: int) -> None:
    """Gives input `index` (of known rank) `count` more dims of 1 at its end."""
    if not count:
        return
    value = step.known(index)
    if value is not None:
        shaped = value.reshape(*value.shape, *[1] * count)
        step.set_input(index, step.constant(shaped, value.dtype, "shaped"))
    else:
        axes = step.ints(range(rank, rank + count), "axes")
        step.set_input(index, step.make("Unsqueeze", [step.input(index), axes], "shaped"))


@lifts("PRelu", until=7)
def prelu_slope(step: Step) -> None:
    """A slope of one element a channel belongs to axis 1, not to the last."""
    rank, slope_rank = step.rank(0), step.rank(1)
    if slope_rank == 1 and step.shape(1) != (1,):
        if rank is None:
            step.unsupported("a slope by channel needs an input of known rank")
        append_dims(step, 1, 1, max(rank - 2, 0))


@lifts("Cast", until=6)
def cast_to_name(step: Step) -> None:
    name = step.attributes.get("to")
    if isinstance(name, str):
        if name not in TensorProto.DataType.keys():  # noqa: SIM118  # an enum, not a dict
            step.invalid(f"{name!r} is no element type")
        step.attributes["to"] = TensorProto.DataType.Value(name)


@lifts("Clip", until=11)
def clip_bounds(step: Step) -> None:
    """Bounds were attributes; the widest float range stood for no bound."""
    largest = float(np.finfo(np.float32).max)
    dtype = step.dtype(0)
    for index, (bound, default) in enumerate([("min", -largest), ("max", largest)], start=1):
        value = step.pop(bound, default)
        if value != default:
            step.set_input(index, step.constant(value, dtype or np.float32, bound))


@lifts("Selu", until=6)
def selu_defaults(step: Step) -> None:
    step.attributes.setdefault("alpha", 1.6732)
    step.attributes.setdefault("gamma", 1.0507)


@lifts("Dropout", until=12)
def dropout_inference(step: Step) -> None:
    """Outside training Dropout copies its input; the ratio plays no part."""
    step.pop("ratio")
    step.pop("is_test")
    if step.version < 10 and len(step.outputs) > 1 and step.outputs[1]:
        final, step.outputs[1] = step.outputs[1], step.around.fresh_name(f"{step.name}.mask")
        step.follow("CastLike", [step.outputs[1], step.input(0)], final)
