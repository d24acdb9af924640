"""Attention written out, where ONNX's op of that name means something else.

A fully masked row of ONNX's Attention gives zeros. What passes recognised in a model that wrote
MatMul, Softmax and MatMul gives NaN there (`fully_masked="nan"`), and goes back to these ops. What
no pass makes and has no short form in them (a cache, lengths, windows, a soft cap, groups of heads)
is left as it is, for the exporter to refuse.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from ir.dtypes import DType
from ir.graph import Graph, Node
from ir.naming import Names
from ir.registry import find_op
from ir.types import TensorType


def is_nan_where_masked(node: Node) -> bool:
    """Whether a node is Attention of which a fully masked row gives NaN."""
    return node.op == "Attention" and node.attributes.get("fully_masked") == "nan"


def write_out(
    node: Node, target: Graph, names: Names, node_names: Names, types: Mapping[str, TensorType]
) -> bool:
    """Adds what Attention stands for to `target`; returns whether it could be said."""
    scale = _scale(node, types)
    if scale is None or not _has_words(node, types):
        return False
    mask = node.inputs[3] if len(node.inputs) > 3 else ""
    q_type = types[node.inputs[0]]
    made = _Ops(node, target, names, node_names, q_type.dtype.value)
    packed = q_type.rank == 3
    perms = [(0, 2, 1, 3), (0, 2, 3, 1), (0, 2, 1, 3)] if packed else [(), (0, 1, 3, 2), ()]
    apart = []
    for x, perm in zip(node.inputs, perms, strict=False):
        if packed:
            x = made("Reshape", x, made.integers(0, 0, node.attributes["q_num_heads"], -1))
        apart.append(made("Transpose", x, perm=perm) if perm else x)
    scores = made("Mul", made("MatMul", apart[0], apart[1]), made.number(scale))
    if mask and types[mask].dtype is DType.bool:
        scores = made("Where", mask, scores, made.number(-math.inf))
    elif mask:
        scores = made("Add", scores, mask)
    if node.attributes.get("is_causal"):
        scores = made("Add", scores, made.triangle(scores))
    weights = made("Softmax", scores, axis=-1)
    if not packed:
        made("MatMul", weights, apart[2], output=node.outputs[0])
        return True
    joined = made("Transpose", made("MatMul", weights, apart[2]), perm=(0, 2, 1, 3))
    made("Reshape", joined, made.integers(0, 0, -1), output=node.outputs[0])
    return True


_SAID = {"fully_masked", "scale", "is_causal", "q_num_heads", "kv_num_heads"}


def _has_words(node: Node, types: Mapping[str, TensorType]) -> bool:
    """Whether a few ops say what the node computes: as many key heads as query heads, no cache, no
    lengths, a mask for every key, one element type, no attributes but the plainest."""
    definition = find_op("Attention")
    assert definition is not None
    for name, value in node.attributes.items():
        if name not in _SAID and value != definition.attributes[name].default:
            return False
    if any(node.inputs[4:]) or any(node.outputs[1:]):
        return False
    q, k, v = (types[name] for name in node.inputs[:3])
    heads = (node.attributes.get(name) for name in ("q_num_heads", "kv_num_heads"))
    own, of_keys = heads if q.rank == 3 else (q.shape[1], k.shape[1])
    if own != of_keys or v.dtype is not q.dtype:
        return False
    mask = types.get(node.inputs[3]) if len(node.inputs) > 3 and node.inputs[3] else None
    keys = k.shape[1 if q.rank == 3 else 2]
    return mask is None or (mask.shape[-1:] == (keys,) and mask.dtype in (DType.bool, q.dtype))


def _scale(node: Node, types: Mapping[str, TensorType]) -> float | None:
    """The factor of the scores; None if it hangs on an unknown size."""
    given = node.attributes.get("scale")
    if given is not None:
        return float(given)
    q = types[node.inputs[0]]
    size = q.shape[-1]
    if not isinstance(size, int):
        return None
    return 1 / math.sqrt(size // node.attributes["q_num_heads"] if q.rank == 3 else size)


class _Ops:
    """Adds nodes and constants under names of their own."""

    def __init__(
        self, node: Node, target: Graph, names: Names, node_names: Names, dtype: np.dtype
    ) -> None:
        self.node, self.target, self.dtype = node, target, dtype
        self.names, self.node_names = names, node_names

    def __call__(self, op: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        output = output or self.names.fresh(f"{self.node.name}.{op}")
        name = self.node_names.fresh(output)
        made = replace(self.node, op=op, inputs=inputs, outputs=(output,), attributes=attributes)
        self.target.nodes.append(replace(made, name=name))
        return output

    def constant(self, array: np.ndarray) -> str:
        name = self.names.fresh(f"{self.node.name}.constant")
        self.target.constants[name] = array
        return name

    def number(self, value: float) -> str:
        return self.constant(np.array(value, self.dtype))

    def integers(self, *values: int) -> str:
        return self.constant(np.array(values, np.int64))

    def triangle(self, scores: str) -> str:
        """0 where the key does not come after the query and -inf where it does, `[queries, keys]`;
        built as PyTorch's exporter does, so that it is recognised again."""
        shape = self("Shape", scores, start=-2)
        ones = self("Expand", self.number(1), shape)
        hidden = self("Equal", self("Trilu", ones, upper=0), self.number(0))
        return self("Where", hidden, self.number(-math.inf), self.number(0))
