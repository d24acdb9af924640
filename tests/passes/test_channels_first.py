"""channels_first: few Transposes, and the same results."""

from __future__ import annotations

import numpy as np
import pytest

from ir.graph import Graph
from ir.interpreter import interpret
from layercc import layers as L
from layercc.passes.channels_first import channels_first
from layercc.passes.channels_last import channels_last
from layercc.passes.infrastructure import check


def _residual() -> L.Model:
    x = L.Input((12, 10, 3))
    y = L.Conv2D(4, 3, padding="same")(x)
    y = L.ReLU()(L.BatchNormalization()(y))
    z = L.MaxPooling2D(2)(L.Add()([y, L.DepthwiseConv2D(3, padding="same")(y)]))
    z = L.Concatenate()([z, L.AveragePooling2D(2)(y)])
    z = L.UpSampling2D(2)(L.GroupNormalization(2)(z))
    return L.Model(x, L.Softmax()(z))


def _classifier() -> L.Model:
    return L.Sequential(
        [
            L.Input((9, 5)),
            L.Conv1D(4, 3, activation="relu"),
            L.ZeroPadding1D(1),
            L.LocalResponseNormalization(3),
            L.GlobalAveragePooling1D(),
            L.Dense(3),
        ]
    )


def _transposes(graph: Graph) -> int:
    return sum(node.op == "Transpose" for node in graph.nodes)


@pytest.mark.parametrize(("build", "expected"), [(_residual, 2), (_classifier, 1)])
def test_transposes_only_where_the_model_begins_and_ends(build, expected) -> None:
    model = build()
    first = channels_first.run(model)
    check(first)
    assert not any(node.attributes.get("channels_last") for node in first.nodes)
    assert _transposes(first) == expected
    back = channels_last.run(first)
    check(back)
    assert _transposes(back) == 0

    shape = [2 if dim == "N" else dim for dim in model.inputs[0].shape]
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    (wanted,) = interpret(model, {"x": x}).values()
    for graph in (first, back):
        (found,) = interpret(graph, {"x": x}).values()
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)


def test_a_graph_without_channels_last_nodes_stays_itself() -> None:
    model = L.Sequential([L.Input((5,)), L.Dense(3)])
    assert channels_first.run(model) is model
