"""The measured networks have the published numbers of parameters."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from benchmarks.networks import NETWORKS, Network, trainable
from ir.dtypes import DType
from ir.verifier import verify


def _zeros(initializer: Any, shape: tuple[int, ...], dtype: DType, random: Any) -> np.ndarray:
    return np.broadcast_to(np.zeros((), dtype.value), shape)


@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
def test_parameter_counts_are_the_published_ones(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Values do not count here, and take seconds to draw: an orthogonal matrix is a QR by BLAS.
    monkeypatch.setattr("layercc.layers.weight.initialise", _zeros)
    model = network.build()
    assert trainable(model) == network.parameters
    verify(model)
    given = network.example_inputs()
    assert model.input_names == list(given)
    for value in model.inputs:
        array = given[value.name]
        assert array.dtype == value.dtype.value
        assert [1, *value.shape[1:]] == list(array.shape)
