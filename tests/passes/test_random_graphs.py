"""The pipeline keeps what random graphs compute, and settles; compiled they compute the same.

Of the graphs of mixed types, a few run here; `python -m tests.passes.compiled_graphs` runs more.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from ir.graph import Graph
from ir.interpreter import interpret
from layercc.passes import run_passes
from tests.passes.compiled_graphs import differences, prepare_kernels
from tests.passes.passes_support import random_inputs
from tests.passes.random_graphs import graphs


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(graphs())
def test_pipeline_keeps_the_meaning(graph: Graph) -> None:
    inputs = random_inputs(graph)
    expected = interpret(graph, inputs)
    after = run_passes(graph, verify=True)
    actual = interpret(after, inputs)
    for name, array in expected.items():
        scale = max(1.0, float(np.abs(array).max(initial=0)))
        np.testing.assert_allclose(actual[name], array, rtol=1e-4, atol=2e-5 * scale)
    assert run_passes(after) is after


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, 40, 20))
def test_compiled_graphs_compute_the_same(first: int) -> None:
    seeds = range(first, first + 20)
    prepare_kernels(seeds)
    assert {seed: found for seed in seeds if (found := differences(seed))} == {}
