"""Fourier transforms against their NumPy references."""

# mypy: ignore-errors

import ml_dtypes
import numpy as np
import pytest

from ir.diagnostics import UnsupportedError
from tests.support import named, one_node, reference_node, run_graph, run_node


def signal(*shape, dtype=np.float32):
    return np.random.default_rng(0).normal(size=shape).astype(dtype)


def check(op, inputs, attributes, constants, tolerance=2e-6):
    (made,) = run_node(op, inputs, attributes, constants=constants, threads=2)
    (expected,) = reference_node(op, inputs, attributes, constants=constants)
    assert made.dtype == inputs[0].dtype and made.shape == expected.shape
    scale = max(float(np.abs(expected).max(initial=0)), 1)
    np.testing.assert_allclose(made, expected, rtol=0, atol=tolerance * scale)


@pytest.mark.parametrize("length", [None, 5, 16, 20])
@pytest.mark.parametrize("axis", [1, 2, -2])
@pytest.mark.parametrize("inverse", [0, 1])
@pytest.mark.parametrize("parts", [1, 2])
def test_dft(parts, inverse, axis, length):
    x = signal(2, 17, 8, parts)
    inputs = [x, None if length is None else np.array(length), np.array(axis)]
    constants = [i for i in (1, 2) if inputs[i] is not None]
    check("DFT", inputs, {"inverse": inverse}, constants)


@pytest.mark.parametrize("length", [None, 1, 6, 9, 31])
@pytest.mark.parametrize(("inverse", "parts"), [(0, 1), (0, 2), (1, 2), (1, 1)])
def test_onesided(inverse, parts, length):
    x = signal(3, 9, 5, parts)
    inputs = [x, None if length is None else np.array(length), np.array(1)]
    constants = [i for i in (1, 2) if inputs[i] is not None]
    check("DFT", inputs, {"inverse": inverse, "onesided": 1}, constants)


@pytest.mark.parametrize(
    ("window", "length", "step"),
    [(16, None, 4), (16, 16, 16), (None, 15, 7), (25, 25, 1), (100, None, 3)],
)
@pytest.mark.parametrize(("onesided", "parts"), [(1, 1), (0, 1), (0, 2)])
def test_stft(onesided, parts, window, length, step):
    inputs = [
        signal(2, 100, parts),
        np.array(step),
        None if window is None else np.hanning(window).astype(np.float32),
        None if length is None else np.array(length),
    ]
    constants = [i for i in (1, 2, 3) if inputs[i] is not None]
    check("STFT", inputs, {"onesided": onesided}, constants)


def test_double_precision_and_empty_batch():
    check("DFT", [signal(2, 31, 2, dtype=np.float64)], {}, (), 1e-14)
    check("DFT", [signal(0, 31, 1)], {"onesided": 1}, ())


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_half_precision(dtype):
    x = signal(2, 12, 1, dtype=dtype)
    (made,) = run_graph(one_node("DFT", [x]), named([x]), passes=True).values()
    expected = np.fft.fft(x[..., 0].astype(float))
    assert made.dtype == dtype
    np.testing.assert_allclose(made[..., 0].astype(float), expected.real, atol=0.05)
    np.testing.assert_allclose(made[..., 1].astype(float), expected.imag, atol=0.05)


def test_what_is_not_supported():
    with pytest.raises(UnsupportedError, match="20000 points"):
        run_node("DFT", [signal(1, 20000, 1)])
    with pytest.raises(UnsupportedError, match="window"):
        inputs = [signal(1, 50, 1), np.array(4), np.ones(16, np.float32)]
        run_node("STFT", inputs, constants=(1,))
