"""The neural-network ops against the `onnx` package's node tests."""

from __future__ import annotations

import numpy as np
import pytest

from ir.inference import infer
from ir.interpreter import interpret
from tests.ir.onnx_node_cases import NodeCase, node_cases

OPS = """
    Conv ConvTranspose ConvInteger QLinearConv DeformConv Col2Im
    MaxPool AveragePool LpPool GlobalAveragePool GlobalMaxPool GlobalLpPool MaxUnpool MaxRoiPool
    RoiAlign
    BatchNormalization InstanceNormalization LayerNormalization GroupNormalization
    RMSNormalization LRN
    RNN LSTM GRU
    MatMul Gemm MatMulInteger QLinearMatMul
    Attention RotaryEmbedding
    Resize GridSample AffineGrid
    SoftmaxCrossEntropyLoss NegativeLogLikelihoodLoss
""".split()

#: Node tests that are not met, and why.
KNOWN: dict[str, str] = {}


@pytest.mark.parametrize("case", node_cases(OPS), ids=str)
def test_node(case: NodeCase, request: pytest.FixtureRequest) -> None:
    if case.name in KNOWN:
        request.applymarker(pytest.mark.xfail(reason=KNOWN[case.name], strict=True))
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
