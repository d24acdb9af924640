"""Input arrays for a model: from files, or random by seed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ir.diagnostics import InputError
from ir.dims import evaluate, symbols, unify
from ir.dtypes import DTYPE_SETS
from ir.graph import Graph
from ir.literals import random_array
from ir.types import TensorType, format_shape

#: Elements a random input may have in all.
RANDOM_LIMIT = 1 << 31


def make_inputs(
    graph: Graph,
    arrays: Mapping[str, np.ndarray] | None = None,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
    seed: int = 0,
    sizes: Mapping[str, int] | None = None,
) -> dict[str, np.ndarray]:
    """An array for every input: the one given, else a random one; none for those left out that
    have a default.

    `shapes` gives dims of random ones. Symbols take the value that arrays and shapes given imply,
    else that in `sizes`, else 1. Random floats are normal; integers are 0 or 1, which any table of
    tokens has.
    Raises InputError when something given does not fit the graph's inputs.
    """
    arrays, shapes = dict(arrays or {}), dict(shapes or {})
    known = graph.input_names
    for name in [*arrays, *shapes]:
        if name not in known:
            raise InputError(f"there is no input {name!r}; the inputs are {', '.join(known)}")
    given = {**shapes, **{name: array.shape for name, array in arrays.items()}}
    bindings: dict[str, int] = {}
    for value in graph.inputs:
        if value.name in given:
            try:
                unify(value.shape, given[value.name], bindings)
            except ValueError as error:
                raise InputError(
                    f"input {value.name!r} is declared {value.type}; "
                    f"{format_shape(given[value.name])} does not fit: {error}"
                ) from None
    generator = np.random.default_rng(seed)
    made: dict[str, np.ndarray] = {}
    for value in graph.inputs:
        if value.name in arrays:
            made[value.name] = arrays[value.name]
            continue
        if value.name in graph.defaults and value.name not in shapes:
            continue
        free = dict.fromkeys((s for dim in value.shape for s in symbols(dim)), 1)
        shape = given.get(value.name) or tuple(
            evaluate(dim, {**free, **(sizes or {}), **bindings}) for dim in value.shape
        )
        kind = TensorType(value.dtype, shape)
        if not isinstance(kind.size, int) or kind.size > RANDOM_LIMIT:
            raise InputError(f"input {value.name!r}: {kind} is too large to make at random")
        array = random_array(kind, generator)
        integers = value.dtype in DTYPE_SETS["int"]
        made[value.name] = np.asarray(array & 1) if integers else array
    return made


def load_array(path: Path) -> np.ndarray:
    """The array in a .npy file; nothing is unpickled. Raises InputError."""
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {path}: {error}") from error
    if not isinstance(array, np.ndarray):
        raise InputError(f"{path} holds several arrays; a .npy file of one would fit")
    return array


def difference(a: np.ndarray, b: np.ndarray) -> float:
    """max|a - b| / max|b|; infinite where shapes, or the places of NaN and Inf, differ."""
    if a.shape != b.shape:
        return float("inf")
    wide = np.complex128 if "c" in (a.dtype.kind, b.dtype.kind) else np.float64
    x, y = a.astype(wide), b.astype(wide)
    finite = np.isfinite(x) & np.isfinite(y)
    if not np.array_equal(x[~finite], y[~finite], equal_nan=True):
        return float("inf")
    error = float(np.max(np.abs(x[finite] - y[finite]), initial=0.0))
    scale = float(np.max(np.abs(y[finite]), initial=0.0))
    return error / scale if scale else error
