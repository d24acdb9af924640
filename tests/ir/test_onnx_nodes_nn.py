"""The neural-network ops against the `onnx` package's node tests."""

from __future__ import annotations

import numpy as np
import pytest

from ir.inference import infer
from ir.interpreter import interpret
from ir.registry import all_ops
from tests.ir.onnx_node_cases import NodeCase, node_cases

FAMILIES = (
    "attention",
    "convolution",
    "losses",
    "matrix",
    "normalization",
    "pooling",
    "recurrent",
    "regions",
    "resizing",
    "sampling",
)
OPS = [op.name for op in all_ops() if op.__module__.removeprefix("ir.ops.") in FAMILIES]
#: They align corners of a size before it is rounded; PyTorch and onnxruntime do not, nor do we.
UNLIKE = {
    "test_resize_downsample_scales_linear_align_corners",
    "test_resize_downsample_scales_cubic_align_corners",
}
CASES = [case for case in node_cases(OPS) if str(case) not in UNLIKE]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_node(case: NodeCase) -> None:
    found = infer(case.graph, values=case.inputs)
    assert not found.errors, found.errors
    results = interpret(case.graph, case.inputs)
    for name, expected in case.outputs.items():
        actual = results[name]
        assert found.types[name].shape == actual.shape == expected.shape, name
        assert found.types[name].dtype.value == actual.dtype == expected.dtype, name
        tolerance = {"rtol": case.rtol, "atol": max(case.atol, 1e-6)}
        if actual.dtype.kind in "iu":
            np.testing.assert_array_equal(actual, expected)
        else:
            np.testing.assert_allclose(
                actual.astype(np.float64), expected.astype(np.float64), **tolerance
            )
