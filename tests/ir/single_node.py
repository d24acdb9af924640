"""Graphs of one node, for tests of op definitions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

import ir.ops  # noqa: F401  fills the registry
from ir.dims import Dim
from ir.dtypes import DType
from ir.graph import Graph, Node, Value
from ir.types import TensorType


def one_node(
    op: str,
    inputs: Sequence[TensorType],
    constants: Sequence[np.ndarray | None] = (),
    outputs: int = 1,
    **attributes: Any,
) -> Graph:
    """A graph of one node: graph inputs first, then constants (None: absent)."""
    values = [Value(f"x{i}", kind) for i, kind in enumerate(inputs)]
    fixed = {f"c{i}": array for i, array in enumerate(constants) if array is not None}
    absent = ["" if array is None else f"c{i}" for i, array in enumerate(constants)]
    names = [f"y{i}" for i in range(outputs)]
    node = Node(op, (*(v.name for v in values), *absent), tuple(names), attributes)
    made = [Value(name, inputs[0]) for name in names]
    return Graph("one", values, made, [node], fixed)


def tensor(shape: Sequence[Dim], dtype: DType = DType.f32) -> TensorType:
    return TensorType(dtype, tuple(shape))
