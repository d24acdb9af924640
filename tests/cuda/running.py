"""Running graphs on the stand-in device, beside the references."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

import layercc as lc
from ir.graph import Graph
from ir.interpreter import interpret
from tests.support import named, one_node


def on_device(graph: Graph, inputs: Mapping[str, Any], **options: Any) -> dict[str, np.ndarray]:
    """The outputs of a graph on the stand-in device; nothing may fall back.

    The shapes of the first plan are those of the inputs.
    """
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        model = lc.compile(graph, target="cuda", example_inputs=dict(inputs), **options)
        return model.run(dict(inputs))


def check_node(
    op: str,
    inputs: Sequence[np.ndarray | None],
    attributes: Mapping[str, Any] | None = None,
    *,
    outputs: int = 1,
    constants: Iterable[int] = (),
    error: float = 0,
) -> None:
    """One op on the stand-in device against its reference: to the bit, or with an `error` relative
    to the reference in float64 (`distance`)."""
    graph = one_node(op, inputs, attributes, outputs, constants)
    given = {v.name: named(inputs)[v.name] for v in graph.inputs}
    found, expected = on_device(graph, given), interpret(graph, given)
    if error:
        exact = [_wide(array) for array in inputs]
        precise = one_node(op, exact, attributes, outputs, constants)
        wanted = interpret(precise, {v.name: named(exact)[v.name] for v in precise.inputs})
    for name, array in expected.items():
        assert found[name].dtype == array.dtype and found[name].shape == array.shape
        if not error:
            np.testing.assert_array_equal(
                _plain(found[name]), _plain(array), err_msg=f"{op} {name}"
            )
        else:
            assert distance(found[name], wanted[name]) <= error, f"{op} {name}"


def _plain(array: np.ndarray) -> np.ndarray:
    """bfloat16 as float32: NumPy knows its NaN for what it is."""
    return array.astype(np.float32) if array.dtype.kind == "V" else array


def _wide(array: np.ndarray | None) -> np.ndarray | None:
    return array if array is None or array.dtype.kind != "f" else array.astype(np.float64)


def distance(found: np.ndarray, exact: np.ndarray) -> float:
    """The norm of the error in proportion to that of the exact values; infinite where NaN or
    infinities are not the same."""
    found = found.astype(np.float64)
    finite = np.isfinite(exact)
    if not np.array_equal(found[~finite], exact[~finite], equal_nan=True):
        return np.inf
    found, exact = found[finite], exact[finite]
    norm = np.linalg.norm(exact)
    off = np.linalg.norm(found - exact)
    return float(off / norm) if norm else float(off)
