"""Nodes whose integer inputs decide what memory is read or written, beyond onnx's own tests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ir.dims import symbol
from ir.dtypes import dtype_of
from ir.graph import Graph, Node, Value
from ir.interpreter import interpret
from ir.types import TensorType
from tests.support import named

RNG = np.random.default_rng(3)


def f32(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def i64(*values: Any) -> np.ndarray:
    return np.array(values, np.int64)


def more_cases() -> Iterator[tuple[str, Graph, dict[str, np.ndarray]]]:
    """Name, graph and inputs. Outputs are declared of any size: values may decide it."""
    for index, (op, inputs, attributes, outputs) in enumerate(_cases()):
        names = tuple("" if array is None else f"x{i}" for i, array in enumerate(inputs))
        node = Node(op, names, tuple(f"y{i}" for i in range(outputs)), attributes, f"y{index}")
        given = named(inputs)
        kinds = {name: TensorType(dtype_of(array), array.shape) for name, array in given.items()}
        graph = Graph(op, [Value(name, kind) for name, kind in kinds.items()], [], [node])
        graph.outputs = [Value(name, TensorType(dtype_of("f32"), ())) for name in node.outputs]
        made = interpret(graph, given)
        graph.outputs = [Value(name, _any_size(array, name)) for name, array in made.items()]
        yield f"{op}-{index}", graph, given


def _any_size(array: np.ndarray, name: str) -> TensorType:
    return TensorType(dtype_of(array), tuple(symbol(f"{name}_{i}") for i in range(array.ndim)))


def _cases() -> Iterator[tuple[str, list, dict[str, Any], int]]:
    lens = np.array([4, 2], np.int32)
    for op, gates in (("LSTM", 4), ("GRU", 3), ("RNN", 1)):
        for direction, count in (("forward", 1), ("reverse", 1), ("bidirectional", 2)):
            for layout in (0, 1):
                x = f32(2, 4, 3) if layout else f32(4, 2, 3)
                weights = [f32(count, gates * 5, 3), f32(count, gates * 5, 5), None, lens]
                attributes = {"hidden_size": 5, "direction": direction, "layout": layout}
                yield op, [x, *weights], attributes, 2
    for shape in ((5, 3), (7,), (2, 3, 4)):
        for axis in range(len(shape)):
            where = RNG.integers(0, shape[axis], (2, 2))
            yield "Gather", [f32(*shape), where], {"axis": axis}, 1
            yield "Gather", [f32(*shape), where.astype(np.int32)], {"axis": axis}, 1
            inside = RNG.integers(0, shape[axis], shape)
            yield "GatherElements", [f32(*shape), inside], {"axis": axis}, 1
            for reduction in ("none", "add", "max"):
                attributes = {"axis": axis, "reduction": reduction}
                yield "ScatterElements", [f32(*shape), inside, f32(*shape)], attributes, 1
    yield "GatherND", [f32(3, 4, 5), RNG.integers(0, 3, (6, 2))], {}, 1
    yield "GatherND", [f32(2, 4, 5), RNG.integers(0, 4, (2, 3, 1))], {"batch_dims": 1}, 1
    for reduction in ("none", "add", "mul", "min"):
        inputs = [f32(3, 4, 5), RNG.integers(0, 3, (6, 2)), f32(6, 5)]
        yield "ScatterND", inputs, {"reduction": reduction}, 1
    for op in ("CumSum", "CumProd"):
        for shape in ((5,), (3, 4), (2, 3, 4)):
            yield op, [f32(*shape), np.array(0, np.int64)], {}, 1
            yield op, [f32(*shape), np.array(0, np.int32)], {"reverse": 1, "exclusive": 1}, 1
    for time in (0, 1):
        attributes = {"time_axis": time, "batch_axis": 1 - time}
        yield "ReverseSequence", [f32(4, 4, 3), i64(1, 2, 3, 4)], attributes, 1
    caches = [f32(10, 4), f32(10, 4)]
    positions = RNG.integers(0, 10, (2, 3))
    yield "RotaryEmbedding", [f32(2, 5, 3, 8), *caches, positions], {}, 1
    yield "RotaryEmbedding", [f32(2, 3, 40), *caches, positions], {"num_heads": 5}, 1
    for causal in (0, 1):
        q = [f32(2, 3, 5, 8), f32(2, 3, 70, 8), f32(2, 3, 70, 8)]
        yield "Attention", [*q, None, None, None, i64(70, 9)], {"is_causal": causal}, 1
        mask = f32(5, 66)
        yield "Attention", [*q, mask, None, None, i64(66, 9)], {"is_causal": causal}, 1
        window = {"left_window_size": 3, "is_causal": causal}
        yield "Attention", [*q, None, None, None, i64(70, 9)], window, 1
    for mode in ("linear", "circular"):
        for axis in (-2, 1):
            inputs = [
                f32(2, 6, 7, 8),
                f32(2, 6, 2, 8) if axis == -2 else f32(2, 2, 7, 8),
                i64(0, 3),
            ]
            yield "TensorScatter", inputs, {"mode": mode, "axis": axis}, 1
    pooled = RNG.permutation(2 * 3 * 36)[:54].reshape(2, 3, 3, 3)
    attributes = {"kernel_shape": (2, 2), "strides": (2, 2)}
    yield "MaxUnpool", [f32(2, 3, 3, 3), pooled], attributes, 1
    yield "MaxUnpool", [f32(2, 3, 3, 3), pooled, i64(2, 3, 7, 7)], attributes, 1
    for depth in (5, 0):
        inputs = [RNG.integers(0, 5, (2, 3)), np.array(depth), f32(2)]
        yield "OneHot", inputs, {"axis": 1}, 1
    boxes = RNG.random((1, 6, 4)).astype(np.float32)
    limit = [i64(3), np.array([0.5], np.float32), np.array([0.1], np.float32)]
    yield "NonMaxSuppression", [boxes, RNG.random((1, 2, 6)).astype(np.float32), *limit], {}, 1
    rois = [f32(1, 2, 8, 8), np.array([[0, 0, 6, 6], [1, 1, 5, 5]], np.float32), i64(0, 0)]
    yield "RoiAlign", rois, {"output_height": 3, "output_width": 3, "sampling_ratio": 2}, 1
    yield "TopK", [f32(3, 7), i64(3)], {"axis": -1}, 2
    yield "TopK", [f32(7, 3), i64(3)], {"axis": 0, "largest": 0}, 2
    yield "Slice", [f32(5, 6), i64(0, 1), i64(5, 6), i64(0, 1), i64(1, 2)], {}, 1
    yield "Pad", [f32(3, 4), i64(1, 1, 1, 1)], {"mode": "reflect"}, 1
    yield "Pad", [f32(3, 4), i64(1, 1, 1, 1)], {"mode": "wrap"}, 1
    yield "Pad", [f32(3, 4), i64(1, 1, 1, 1)], {"mode": "constant"}, 1
    yield "Tile", [f32(2, 3), i64(2, 2)], {}, 1
    yield "Expand", [f32(2, 1), i64(2, 3)], {}, 1
    yield "Reshape", [f32(2, 6), i64(3, 4)], {}, 1
    yield "Unsqueeze", [f32(2, 3), i64(0, 3)], {}, 1
    yield "Squeeze", [f32(1, 3, 1), i64(0, 2)], {}, 1
    yield "Split", [f32(6, 3), i64(2, 4)], {}, 2
    yield "Trilu", [f32(4, 5), np.array(0)], {}, 1
    yield "ReduceSum", [f32(3, 4, 5), i64(0, 2)], {}, 1
    yield "Resize", [f32(1, 2, 4, 4), None, None, i64(1, 2, 6, 7)], {}, 1
    yield "Col2Im", [f32(1, 12, 9), i64(4, 4), i64(2, 2)], {}, 1
    yield "DFT", [f32(2, 8, 1), np.array(8), np.array(1)], {}, 1
    yield "STFT", [f32(1, 32, 1), np.array(8), None, np.array(16)], {}, 1
    yield "Range", [np.array(0), np.array(5), np.array(1)], {}, 1
    yield "ConstantOfShape", [i64(2, 3)], {}, 1
    yield "EyeLike", [np.zeros((3, 4), np.int32)], {}, 1
