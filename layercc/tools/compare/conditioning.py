"""Whether an error is one that any rounding would make: how far values move if inputs do."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ir.diagnostics import LayerccError
from ir.dtypes import DType, dtype_of
from ir.graph import Graph
from layercc.tools.compare.difference import Difference, scale_of
from layercc.tools.compare.exact import evaluate, widened
from layercc.tools.compare.extract import extract
from layercc.tools.compare.sides import Arrays
from layercc.tools.compare.tolerance import FACTOR, epsilon

#: Random perturbations that are tried; the largest movement counts.
_TRIALS = 4


def within_conditioning(
    graph: Graph, name: str, given: Arrays, a: np.ndarray, b: np.ndarray, found: Difference
) -> bool:
    """Whether every element of a value departs by no more than it would if its inputs and weights
    were rounded once more.

    The value is computed in float64 from `given` ones, and again with each float moved by a random
    part of its type's epsilon. So a difference of nearly equal numbers, or a normalisation of a
    constant row, is no fault of the kernel; a wrong constant is.
    """
    moved = movement(graph, name, given, _TRIALS)
    if moved is None or moved.shape != a.shape:
        return False
    x, y = a.astype(np.float64), b.astype(np.float64)
    with np.errstate(all="ignore"):
        distance = np.where(x == y, 0.0, np.abs(x - y))
        magnitude = np.abs(y)
        if a.dtype.kind in "iub":
            return bool((distance <= moved).all())
        bound = FACTOR * moved + found.tolerance * (magnitude + scale_of(magnitude))
        return bool((distance <= np.where(np.isfinite(bound), bound, 0)).all())


def explained_by_rounding(graph: Graph, name: str, given: Arrays, found: Difference) -> bool:
    """Whether a value departs by no more, in norm, than if all behind it were rounded once more."""
    if found.kind != "error":
        return False
    moved = movement(graph, name, given, trials=2)
    if moved is None:
        return False
    part, ports = extract(graph, given, [name])
    truth = evaluate(part, {port: given[n] for n, port in ports.items()}, exact=True)[name]
    scale = float(np.linalg.norm(truth.astype(np.float64).reshape(-1)))
    return found.norm * scale <= FACTOR * float(np.linalg.norm(moved.reshape(-1)))


def movement(graph: Graph, name: str, given: Arrays, trials: int) -> np.ndarray | None:
    """How far each element of a value moves, at most, in float64; None where it cannot be told.

    Every value on the way there is moved too, as rounding would (Monte Carlo arithmetic: Parker,
    1997). Besides, the first float that is read goes up and down, as a whole: a quotient half-way
    between two levels goes to either.
    """
    part, ports = extract(graph, given, [name])
    arrays = {port: given[value] for value, port in ports.items()}
    try:
        still = evaluate(part, arrays, exact=True)[name]
        largest = np.zeros(still.shape)
        for moved in _all_moved(part, name, arrays, graph, trials):
            if moved.shape != still.shape:
                return None
            with np.errstate(all="ignore"):
                distance = np.abs(moved.astype(np.float64) - still.astype(np.float64))
            largest = np.maximum(largest, distance)
    except LayerccError:
        return None
    return largest


def _all_moved(
    part: Graph, name: str, arrays: Arrays, graph: Graph, trials: int
) -> Iterator[np.ndarray]:
    for seed in range(trials):
        yield _moved(part, name, arrays, graph, np.random.default_rng(seed))
    all_given = {**arrays, **part.constants}
    reads = [read for node in part.nodes for read in node.reads() if read in all_given]
    lead = next((read for read in reads if epsilon(dtype_of(all_given[read]))), None)
    if lead is None or dtype_of(all_given[lead]).kind == "complex":
        return
    unit = 2 * epsilon(dtype_of(all_given[lead]))
    for factor in (1 + unit, 1 - unit):
        changed = part.copy()
        changed.constants = {n: a for n, a in part.constants.items() if n != lead}
        yield evaluate(changed, {**arrays, lead: widened(all_given[lead]) * factor}, exact=True)[
            name
        ]


def _moved(
    part: Graph, name: str, arrays: Arrays, graph: Graph, generator: np.random.Generator
) -> np.ndarray:
    """A value where every float, constants included, is off by up to an epsilon of its type."""

    def shaken(array: np.ndarray, kind: DType) -> np.ndarray:
        wide = widened(array)
        if wide.dtype != np.float64:
            return array
        return wide * (1 + epsilon(kind) * generator.uniform(-1, 1, array.shape))

    def change(value: str, array: np.ndarray) -> np.ndarray:
        known = graph.types.get(value)
        return shaken(array, DType.f32 if known is None else known.dtype)

    changed = part.copy()
    changed.constants = {n: shaken(a, dtype_of(a)) for n, a in part.constants.items()}
    given = {n: shaken(a, dtype_of(a)) for n, a in arrays.items()}
    return evaluate(changed, given, exact=True, change=change)[name]
