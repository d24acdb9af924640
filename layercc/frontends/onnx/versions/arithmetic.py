"""Pointwise ops: broadcasting attributes, bounds, dtypes by name."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto

from layercc.frontends.onnx.versions.versioned_node import VersionedNode, lifts

_BINARY = (
    "Add", "Sub", "Mul", "Div", "Pow", "And", "Or", "Xor", "Equal", "Greater", "Less",
)  # fmt: skip


@lifts(*_BINARY, until=7)
def broadcast_attribute(node: VersionedNode) -> None:
    """`broadcast=1, axis=k` lines up dim 0 of B with dim k of A: B gets trailing dims of 1."""
    axis = node.pop("axis")
    broadcasts = node.pop("broadcast", 0)
    if not broadcasts or axis is None:
        return
    ranks = node.rank(0), node.rank(1)
    if ranks[0] is None or ranks[1] is None:
        node.unsupported("broadcasting along an axis needs inputs of known rank")
    trailing = ranks[0] - axis % max(ranks[0], 1) - ranks[1]
    if trailing < 0:
        node.invalid(f"B of rank {ranks[1]} does not fit at axis {axis} of rank {ranks[0]}")
    append_dims(node, 1, ranks[1], trailing)


def append_dims(node: VersionedNode, index: int, rank: int, count: int) -> None:
    """Gives input `index` (of known rank) `count` more dims of 1 at its end."""
    if not count:
        return
    value = node.known(index)
    if value is not None:
        shaped = value.reshape(*value.shape, *[1] * count)
        node.set_input(index, node.constant(shaped, value.dtype, "shaped"))
    else:
        axes = node.ints(range(rank, rank + count), "axes")
        node.set_input(index, node.make("Unsqueeze", [node.input(index), axes], "shaped"))


@lifts("PRelu", until=7)
def prelu_slope(node: VersionedNode) -> None:
    """A slope of one element a channel belongs to axis 1, not to the last."""
    rank, slope_rank = node.rank(0), node.rank(1)
    if slope_rank == 1 and node.shape(1) != (1,):
        if rank is None:
            node.unsupported("a slope by channel needs an input of known rank")
        append_dims(node, 1, 1, max(rank - 2, 0))


@lifts("Cast", until=6)
def cast_to_name(node: VersionedNode) -> None:
    name = node.attributes.get("to")
    if isinstance(name, str):
        if name not in TensorProto.DataType.keys():  # noqa: SIM118  # an enum, not a dict
            node.invalid(f"{name!r} is no element type")
        node.attributes["to"] = TensorProto.DataType.Value(name)


@lifts("Clip", until=11)
def clip_bounds(node: VersionedNode) -> None:
    """Bounds were attributes; the widest float range stood for no bound."""
    largest = float(np.finfo(np.float32).max)
    dtype = node.dtype(0)
    for index, (bound, default) in enumerate([("min", -largest), ("max", largest)], start=1):
        value = node.pop(bound, default)
        if value != default:
            node.set_input(index, node.constant(value, dtype or np.float32, bound))


@lifts("Selu", until=6)
def selu_defaults(node: VersionedNode) -> None:
    node.attributes.setdefault("alpha", 1.6732)
    node.attributes.setdefault("gamma", 1.0507)


@lifts("Dropout", until=12)
def dropout_inference(node: VersionedNode) -> None:
    """Outside training Dropout copies its input; the ratio plays no part."""
    node.pop("ratio")
    node.pop("is_test")
    if node.version < 10 and len(node.outputs) > 1 and node.outputs[1]:
        final, node.outputs[1] = node.outputs[1], node.around.fresh_name(f"{node.name}.mask")
        node.follow("CastLike", [node.outputs[1], node.input(0)], final)
