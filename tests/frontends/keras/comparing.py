"""Keras models beside what `from_keras` makes of them."""

from __future__ import annotations

import os
import warnings
from typing import Any

import numpy as np
import pytest

os.environ.setdefault("KERAS_BACKEND", "torch")
keras = pytest.importorskip("keras", reason="Keras is not installed")

import layercc as lc  # noqa: E402
from layercc.cpu.isa import host_isa  # noqa: E402
from layercc.cpu.runtime.native import default_kernels  # noqa: E402

#: Element type → what results may differ by, of the largest of them.
TOLERANCES = {"float16": 4e-3, "bfloat16": 3e-2, "float32": 1e-4, "float64": 1e-10}


def random(*shape: int, dtype: str = "float32", seed: int = 0) -> np.ndarray:
    """Normally distributed numbers, or small integers, the same for the same arguments."""
    numbers = np.random.default_rng([seed, *shape]).standard_normal(shape)
    return (np.abs(numbers * 3) if "int" in dtype else numbers).astype(dtype)


def randomize(model: Any) -> None:
    """Gives a model weights that differ from their initial values; variances stay positive."""
    for i, weight in enumerate(model.weights):
        if "float" not in weight.dtype or "seed" in weight.path:
            continue
        drawn = np.random.default_rng(i).standard_normal(weight.shape) * 0.3 + 0.05
        weight.assign(np.abs(drawn) + 0.1 if "variance" in weight.path else drawn)


def check(
    model: Any, *calls: Any, compiled: bool = True, example: Any = None, warns: bool = False
) -> Any:
    """Compares a model with what is made of it, on each of `calls`; returns the graph.

    `compiled`: by `lc.compile`; else by the reference interpreter. `warns`: whether NumPy is known
    to run a part of it.
    """
    graph = lc.from_keras(model, example)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore" if warns else "error", RuntimeWarning)
        run = lc.compile(graph) if compiled else interpreted(graph)
        for call in calls:
            given = call if isinstance(call, tuple) else (call,)
            same(run(*given), model(*given, training=False))
    return graph


def interpreted(graph: Any) -> Any:
    """A callable that runs the reference implementations, structured as the model is."""

    def run(*arguments: Any, **keywords: Any) -> Any:
        arrays = graph.structure.flatten(arguments, keywords)
        found = lc.interpret(graph, dict(zip(graph.input_names, arrays, strict=True)))
        return graph.structure.restore([found[name] for name in graph.output_names])

    return run


def kernels() -> set[Any]:
    """The kernels that were loaded or compiled so far."""
    return set(default_kernels(host_isa())._loaded)


def same(found: Any, expected: Any) -> None:
    """Asserts that two trees have one structure and about the same elements."""
    keras.tree.assert_same_structure(found, expected)
    pairs = zip(keras.tree.flatten(found), keras.tree.flatten(expected), strict=True)
    for ours, theirs in pairs:
        dtype = keras.backend.standardize_dtype(theirs.dtype)
        assert (ours.dtype.name, ours.shape) == (dtype, tuple(theirs.shape))
        if "float" not in dtype:
            np.testing.assert_array_equal(ours, keras.ops.convert_to_numpy(theirs))
            continue
        a = np.asarray(ours, np.float64)
        b = np.asarray(keras.ops.convert_to_numpy(keras.ops.cast(theirs, "float64")))
        finite = np.abs(b[np.isfinite(b)])
        largest = float(finite.max()) if finite.size else 0.0
        close = TOLERANCES[dtype]
        np.testing.assert_allclose(a, b, close, close * max(largest, 1e-3))
