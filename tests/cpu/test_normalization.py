"""Normalizations and linear quantization, compiled, against their references."""

# mypy: ignore-errors

import ml_dtypes
import numpy as np
import pytest

from ir.parser import parse_graph
from tests.support import reference_node, run_graph, run_node


def floats(shape, seed=0, dtype=np.float32):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


X = floats((3, 6, 7, 13)) * 3 + 1
LAST = {"channels_last": 1}
C6, C13 = floats(6, 1), floats(13, 2)

CASES = [
    ("LayerNormalization", [X, C13, C13], {}),
    ("LayerNormalization", [X, C13], {}),
    ("LayerNormalization", [X, floats((7, 13)), floats((7, 13))], {"axis": -2}),
    ("LayerNormalization", [X, C13, C13], {"axis": -2}),  # scale is broadcast
    ("LayerNormalization", [floats((5, 1)), floats(1), floats(1)], {}),
    ("LayerNormalization", [floats((0, 5)), floats(5), floats(5)], {}),
    ("RMSNormalization", [X, C13], {"epsilon": 1e-3}),
    ("InstanceNormalization", [X, C6, C6], {}),
    ("InstanceNormalization", [X, C13, C13], LAST),
    ("GroupNormalization", [X, C6, C6], {"num_groups": 3}),
    ("GroupNormalization", [X.transpose(0, 2, 3, 1).copy(), C6, C6], {"num_groups": 2, **LAST}),
    ("MeanVarianceNormalization", [X], {}),
    ("LpNormalization", [X], {"axis": 1, "p": 1}),
    ("LpNormalization", [np.where(X > 6, X, 0)], {"p": 2}),  # rows of zeros among them
    ("BatchNormalization", [X, C6, C6, C6, np.abs(C6)], {}),
    ("BatchNormalization", [X, C13, C13, C13, np.abs(C13)], LAST),
    ("LRN", [X], {"size": 3}),
    ("LRN", [X], {"size": 5, **LAST}),
    ("LRN", [X], {"size": 4, "beta": 0.6, "alpha": 1.0, **LAST}),
    ("LRN", [X], {"size": 15, "beta": 0.5, "alpha": 1.0, "bias": 2.0, **LAST}),
]


@pytest.mark.parametrize(("op", "arrays", "attributes"), CASES)
def test_normalization(op, arrays, attributes):
    (got,) = run_node(op, arrays, attributes)
    (want,) = reference_node(op, arrays, attributes)
    assert got.shape == want.shape
    np.testing.assert_allclose(got, want, rtol=5e-6, atol=5e-6)


def test_far_from_zero():
    """Two passes: a mean far above the deviation costs no digits."""
    x = floats((4, 1031)) + 10000
    ones = np.ones(1031, np.float32)
    (got,) = run_node("LayerNormalization", [x, ones, ones])
    (want,) = reference_node("LayerNormalization", [x, ones, ones])
    np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-6)


def test_mean_and_deviation():
    x = floats((3, 5, 77))
    scale = floats(77)
    got = run_node("LayerNormalization", [x, scale, scale], outputs=3)
    want = reference_node("LayerNormalization", [x, scale, scale], outputs=3)
    for a, b in zip(got, want, strict=True):
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("asked", "kept"), [("y, m", (0, 1)), ("y, _, d", (0, 2))])
def test_mean_or_deviation(asked, kept):
    x, scale = floats((3, 5, 77)), floats(77)
    graph = parse_graph(f"""
        graph g(x: f32[3, 5, 77], s: f32[77]) -> ({asked.replace(" _,", "")}) {{
            {asked} = LayerNormalization(x, s)
        }}""")
    got = run_graph(graph, {"x": x, "s": scale}).values()
    want = reference_node("LayerNormalization", [x, scale], outputs=3)
    for a, index in zip(got, kept, strict=True):
        np.testing.assert_allclose(a, want[index], rtol=1e-5, atol=1e-6)


def test_not_finite():
    """NaN and infinity spoil their own row, no other."""
    x = floats((3, 70))
    x[0, 1], x[1, 2] = np.nan, np.inf
    scale = np.ones(70, np.float32)
    (got,) = run_node("LayerNormalization", [x, scale, scale])
    assert np.isnan(got[:2]).all()
    assert np.isfinite(got[2]).all()


def test_halves():
    x = floats((3, 70), dtype=np.float16)
    scale = floats(70, dtype=np.float16)
    (got,) = run_node("LayerNormalization", [x, scale, scale])
    (want,) = reference_node("LayerNormalization", [x, scale, scale])
    assert got.dtype == np.float16
    np.testing.assert_allclose(got.astype("f8"), want, rtol=2e-3, atol=2e-3)


W = floats((3, 8, 7)) * 100
W[0, 0, :3] = np.inf, -np.inf, 0
FINITE = np.where(np.isfinite(W), W, 0)
Q = np.random.default_rng(0).integers(-128, 128, (3, 8, 7)).astype(np.int8)
S8 = np.random.default_rng(1).random(8).astype(np.float32) + np.float32(0.1)
BLOCKED = np.random.default_rng(1).random((3, 2, 7)).astype(np.float32) + np.float32(0.1)
ZERO4 = np.arange(8).astype(ml_dtypes.int4)
ONE, HALF = np.float32(1), np.float32(0.5)

QUANTIZED = [
    ("QuantizeLinear", [W, HALF, np.uint8(128)], {}, 1),
    ("QuantizeLinear", [W, HALF], {}, 1),
    ("QuantizeLinear", [W, S8, np.arange(8).astype(np.int8)], {}, 1),
    ("QuantizeLinear", [W, BLOCKED, np.zeros((3, 2, 7), np.int16)], {"block_size": 4}, 1),
    ("QuantizeLinear", [FINITE, np.float32(1e-6), np.int32(5)], {}, 1),
    ("QuantizeLinear", [np.float32([0.5, 1.5, 2.5, -0.5]), ONE, np.int8(0)], {}, 1),
    ("QuantizeLinear", [FINITE, np.float32(30), np.array(3, ml_dtypes.int4)], {}, 1),
    ("QuantizeLinear", [FINITE, S8, np.arange(8).astype(ml_dtypes.uint4)], {}, 1),
    (
        "DequantizeLinear",
        [Q.astype(ml_dtypes.int4), S8, np.arange(8).astype(ml_dtypes.int4)],
        {},
        1,
    ),
    ("DequantizeLinear", [Q.astype(ml_dtypes.uint2), HALF], {}, 1),
    ("Cast", [FINITE], {"to": 22}, 1),  # INT4
    ("DequantizeLinear", [Q, HALF, np.int8(3)], {}, 1),
    ("DequantizeLinear", [Q, S8, np.arange(8).astype(np.int8)], {}, 1),
    ("DequantizeLinear", [Q.astype(np.int32) * 16000001, HALF], {}, 1),
    ("DynamicQuantizeLinear", [FINITE], {}, 3),
    ("DynamicQuantizeLinear", [np.abs(FINITE) + 3], {}, 3),
    ("DynamicQuantizeLinear", [FINITE * 0], {}, 3),
]


@pytest.mark.parametrize(("op", "arrays", "attributes", "outputs"), QUANTIZED)
def test_quantization(op, arrays, attributes, outputs):
    """Bit for bit as the reference."""
    got = run_node(op, arrays, attributes, outputs)
    with np.errstate(all="ignore"):
        want = reference_node(op, arrays, attributes, outputs, exact=False)
    for a, b in zip(got, want, strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)
