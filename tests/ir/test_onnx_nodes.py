"""Op definitions against the `onnx` package's node tests: references, and inferred shapes.

The neural-network ops have a file of their own, test_onnx_nodes_nn.py.
"""

from __future__ import annotations

import numpy as np
import pytest

from ir.dims import evaluate, symbols
from ir.inference import Inference, infer
from ir.interpreter import interpret
from ir.registry import all_ops, find_op
from tests.ir.onnx_node_cases import NodeCase, node_cases
from tests.ir.test_onnx_nodes_nn import OPS as NEURAL_OPS

#: Cases whose expected outputs are not met, and why.
KNOWN: dict[str, str] = {}
OPS = {op.name for op in all_ops()} - set(NEURAL_OPS)


@pytest.mark.parametrize("case", node_cases(OPS), ids=str)
def test_node(case: NodeCase) -> None:
    if case.name in KNOWN:
        pytest.skip(KNOWN[case.name])
    (node,) = case.graph.nodes
    op = find_op(node.op)
    assert op is not None
    computed = interpret(case.graph, case.inputs)
    if op.deterministic:
        for name, expected in case.outputs.items():
            _assert_close(computed[name], expected, case.rtol, max(case.atol, 1e-6))
    with_values = infer(case.graph, values=case.inputs)
    with_values.raise_for_errors()
    _assert_types(with_values, computed)
    without = infer(case.graph)
    if not {error.code for error in without.errors} <= {"data-dependent"}:
        without.raise_for_errors()
    _assert_types(without, computed)


def _assert_close(
    actual: np.ndarray, expected: np.ndarray, rtol: float = 0, atol: float = 0
) -> None:
    assert actual.dtype == expected.dtype
    assert actual.shape == expected.shape
    if actual.dtype.kind not in "biu":
        wide = np.complex128 if actual.dtype.kind == "c" else np.float64
        actual, expected = actual.astype(wide), expected.astype(wide)
    np.testing.assert_allclose(actual, expected, rtol=rtol, atol=atol)


def _assert_types(found: Inference, computed: dict[str, np.ndarray]) -> None:
    """Inferred types are those computed; a symbol may stand for any size, but only for one."""
    sizes: dict[str, int] = {}
    for name, array in computed.items():
        if name not in found.types:
            continue
        kind = found.types[name]
        assert kind.dtype.value == array.dtype
        assert kind.rank == array.ndim
        for dim, size in zip(kind.shape, array.shape, strict=True):
            if isinstance(dim, str) and symbols(dim) == {dim}:
                sizes.setdefault(dim, size)
            if symbols(dim) <= sizes.keys():
                assert evaluate(dim, sizes) == size
        value = found.values.get(name)
        if value is not None and value.dtype != object:
            _assert_close(value, array)
