"""Movement ops in layouts that ONNX's node tests do not have."""

from __future__ import annotations

import numpy as np
import pytest

from ir.dims import symbol
from ir.inference import infer
from ir.interpreter import interpret
from tests.ir.single_node import one_node, tensor

N, H, W = map(symbol, "NHW")


@pytest.mark.parametrize("mode", ["DCR", "CRD"])
@pytest.mark.parametrize("op", ["DepthToSpace", "SpaceToDepth"])
def test_channels_last_is_channels_first_transposed(op: str, mode: str) -> None:
    x = np.arange(2 * 8 * 4 * 6, dtype=np.float32).reshape(2, 8, 4, 6)
    last = np.ascontiguousarray(x.transpose(0, 2, 3, 1))
    attributes = {"blocksize": 2, "mode": mode}
    first_graph = one_node(op, [tensor(x.shape)], **attributes)
    last_graph = one_node(op, [tensor(last.shape)], **attributes, channels_last=1)
    expected = interpret(first_graph, {"x0": x})["y0"].transpose(0, 2, 3, 1)
    actual = interpret(last_graph, {"x0": last})["y0"]
    np.testing.assert_array_equal(actual, expected)
    assert infer(last_graph).types["y0"].shape == actual.shape


@pytest.mark.parametrize("mode", ["DCR", "CRD"])
def test_space_to_depth_is_undone(mode: str) -> None:
    x = np.arange(3 * 2 * 4 * 6, dtype=np.float32).reshape(3, 2, 4, 6)
    there = one_node("SpaceToDepth", [tensor(x.shape)], blocksize=2, mode=mode)
    deep = interpret(there, {"x0": x})["y0"]
    back = one_node("DepthToSpace", [tensor(deep.shape)], blocksize=2, mode=mode)
    np.testing.assert_array_equal(interpret(back, {"x0": deep})["y0"], x)


def test_symbolic_image() -> None:
    graph = one_node("DepthToSpace", [tensor([N, 12, H, W])], blocksize=2)
    assert infer(graph).types["y0"].shape == (N, 3, 2 * H, 2 * W)
    graph = one_node("SpaceToDepth", [tensor([N, 3, 2 * H, W])], blocksize=2)
    assert infer(graph).types["y0"].shape == (N, 12, H, W // 2)
