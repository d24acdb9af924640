"""Ops of a user's on a GPU: pointwise ones are kernels, functions of arrays run on the CPU."""

from __future__ import annotations

import numpy as np
import pytest

import layercc as lc
from tests.cuda.running import on_device
from tests.own.own_ops import product, swish

pytestmark = pytest.mark.usefixtures("stand_in")
X = np.random.default_rng(0).normal(size=(3, 7)).astype(np.float32)


def test_pointwise():
    x = lc.Input((7,), name="x")
    graph = lc.Model(x, swish(x * 2.0, beta=0.5) + 1.0)
    (found,) = on_device(graph, {"x": X}).values()
    np.testing.assert_array_equal(found, lc.compile(graph, threads=1)(X))


def test_arrays_fall_back_to_the_cpu():
    x = lc.Input((7,), name="x")
    w = np.ones((7, 2), np.float32)
    graph = lc.Model(x, product(x * 2.0, w) + 1.0)
    with pytest.warns(RuntimeWarning, match=r"target cpu.* runs what .*tests.product"):
        model = lc.compile(graph, target="cuda", example_inputs={"x": X})
    np.testing.assert_array_equal(model(X), lc.compile(graph, threads=1)(X))
