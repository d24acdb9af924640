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
    rtol: float = 0,
    atol: float = 0,
) -> None:
    """One op on the stand-in device against its reference: to the bit, unless told otherwise."""
    graph = one_node(op, inputs, attributes, outputs, constants)
    given = {v.name: named(inputs)[v.name] for v in graph.inputs}
    found, expected = on_device(graph, given), interpret(graph, given)
    for name, array in expected.items():
        assert found[name].dtype == array.dtype and found[name].shape == array.shape
        np.testing.assert_allclose(
            found[name].astype(np.float64) if rtol or atol else found[name],
            array.astype(np.float64) if rtol or atol else array,
            rtol=rtol,
            atol=atol,
            err_msg=f"{op} {name}",
        )
