"""The measured networks have the published numbers of parameters."""

from __future__ import annotations

import pytest

from benchmarks.networks import NETWORKS, Network, trainable
from ir.verifier import verify


def _row(network: Network) -> object:
    marks = [pytest.mark.slow] if network.parameters > 20_000_000 else []
    return pytest.param(network, id=network.name, marks=marks)


@pytest.mark.parametrize("network", map(_row, NETWORKS.values()))
def test_parameter_counts_are_the_published_ones(network: Network) -> None:
    model = network.build()
    assert trainable(model) == network.parameters
    verify(model)
    given = network.example_inputs()
    assert model.input_names == list(given)
    for value in model.inputs:
        array = given[value.name]
        assert array.dtype == value.dtype.value
        assert [1, *value.shape[1:]] == list(array.shape)
