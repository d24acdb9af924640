"""Movement ops in layouts that ONNX's node tests do not have."""

from __future__ import annotations

import numpy as np
import pytest

from ir.diagnostics import LayerccError
from ir.dims import symbol
from ir.dtypes import DType
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


@pytest.mark.parametrize("repeats", [[2**62, 1], [1, 2**62], [2**62, 2**62], [2**40, 2**40]])
def test_tile_beyond_what_can_be_addressed(repeats: list[int]) -> None:
    """NumPy's own `tile` faults."""
    graph = one_node("Tile", [tensor((2, 3)), tensor((2,), DType.i64)])
    inputs = {"x0": np.ones((2, 3), np.float32), "x1": np.array(repeats)}
    with pytest.raises(LayerccError, match=r"Tile 'y0': repeats .* more than memory can address"):
        interpret(graph, inputs)


@pytest.mark.parametrize("upper", [0, 1])
@pytest.mark.parametrize("k", [-(2**63), 2**63 - 1, -(2**63) + 3, 2**62, -9, 9])
def test_triangles_far_from_the_diagonal(upper: int, k: int) -> None:
    x = np.arange(1, 21).reshape(4, 5)
    graph = one_node("Trilu", [tensor(x.shape, DType.i64), tensor((), DType.i64)], upper=upper)
    (y,) = interpret(graph, {"x0": x, "x1": np.array(k)}).values()
    np.testing.assert_array_equal(y, x if (k < 0) == bool(upper) else 0 * x)
