"""Inputs for graphs under test."""

from __future__ import annotations

import numpy as np

from ir.dims import evaluate, symbols
from ir.graph import Graph


def random_inputs(graph: Graph, seed: int = 0, size: int = 3) -> dict[str, np.ndarray]:
    """Arrays for all inputs of a graph; symbols are bound to `size`, `size` + 1, ... by name."""
    rng = np.random.default_rng(seed)
    names = sorted({name for value in graph.inputs for dim in value.shape for name in symbols(dim)})
    bindings = {name: size + index for index, name in enumerate(names)}
    inputs = {}
    for value in graph.inputs:
        shape = [evaluate(dim, bindings) for dim in value.shape]
        dtype = np.dtype(value.dtype.value)
        if dtype.kind in "iub":
            inputs[value.name] = rng.integers(0, 2, shape).astype(dtype)
        else:
            inputs[value.name] = rng.standard_normal(shape).astype(dtype)
    return inputs
