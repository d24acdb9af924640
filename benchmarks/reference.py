"""Outputs in double precision: what errors are measured against."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ir.dtypes import DType
from ir.graph import Graph, Value
from ir.inference import infer_types
from ir.interpreter import interpret


def in_double(graph: Graph) -> Graph:
    """The graph with every float32 input and constant in float64. Casts are left as they are."""
    made = graph.copy()
    made.inputs = [
        Value(v.name, v.type.with_dtype(DType.f64)) if v.dtype is DType.f32 else v
        for v in graph.inputs
    ]
    made.constants = {
        name: array.astype(np.float64) if array.dtype == np.float32 else array
        for name, array in graph.constants.items()
    }
    infer_types(made).raise_for_errors(f"graph {graph.name!r} in double precision")
    made.outputs = [Value(v.name, made.types[v.name]) for v in graph.outputs]
    return made


def reference_outputs(graph: Graph, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """Outputs of the reference interpreter in float64, on the same (float32) inputs and weights."""
    wide = {
        name: array.astype(np.float64) if array.dtype == np.float32 else array
        for name, array in inputs.items()
    }
    return list(interpret(in_double(graph), wide).values())
