"""Properties of the spatial ops, for random valid parameters.

The inferred shape is the computed one; symbolic inference, evaluated, is concrete inference; and
channels-last gives the transposed channels-first result.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import ir.ops  # noqa: F401  fills the registry
from ir.cost import graph_cost
from ir.dims import SymbolicDim, evaluate, symbol
from ir.dtypes import DType, dtype_of
from ir.graph import Graph, Node, Value
from ir.inference import infer
from ir.interpreter import run_node
from ir.types import TensorType


def value_type(array: np.ndarray) -> TensorType:
    return TensorType(dtype_of(array), array.shape)


@dataclass(frozen=True)
class Example:
    """A node with one activation, input 0, and arrays for all inputs."""

    node: Node
    arrays: dict[str, np.ndarray]


def infer_example(example: Example, symbolic: bool = False) -> Graph:
    """The node's graph with inferred types; batch and spatial dims of input 0 symbolic if asked."""
    values = []
    for index, (name, array) in enumerate(example.arrays.items()):
        kind = value_type(array)
        if symbolic and index == 0:
            channel = array.ndim - 1 if example.node.attributes.get("channels_last") else 1
            kind = kind.with_shape(
                size if axis == channel else symbol(f"d{axis}")
                for axis, size in enumerate(array.shape)
            )
        values.append(Value(name, kind))
    graph = Graph("example", values, [], [example.node])
    constants = {name: example.arrays[name] for name in list(example.arrays)[1:]}
    found = infer(graph, values=constants)
    assert not found.errors, found.errors
    graph.types = found.types
    return graph


def check(example: Example) -> None:
    computed = run_node(example.node, example.arrays)
    concrete, symbolic = infer_example(example), infer_example(example, symbolic=True)
    sizes = {f"d{axis}": n for axis, n in enumerate(next(iter(example.arrays.values())).shape)}
    for name, array in zip(example.node.outputs, computed, strict=False):
        assert concrete.types[name] == value_type(array)
        shape = tuple(evaluate(dim, sizes) for dim in symbolic.types[name].shape)
        assert TensorType(symbolic.types[name].dtype, shape) == value_type(array)
    check_layouts(example, computed)


def check_layouts(example: Example, computed: tuple[np.ndarray, ...]) -> None:
    attributes = {**example.node.attributes, "channels_last": 1}
    x, *_ = example.arrays
    arrays = {**example.arrays, x: np.moveaxis(example.arrays[x], 1, -1)}
    last = Example(replace(example.node, attributes=attributes), arrays)
    types = infer_example(last).types
    infer_example(last, symbolic=True)
    for name, first, array in zip(
        last.node.outputs, computed, run_node(last.node, arrays), strict=False
    ):
        assert types[name] == value_type(array)
        np.testing.assert_array_equal(np.moveaxis(array, -1, 1), first)


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape, np.float32)


@st.composite
def windows(draw: st.DrawFn, ceil: bool = False) -> tuple[dict, list[int], list[int]]:
    """Window attributes, spatial sizes that the kernel fits, and the kernel."""
    rank = draw(st.integers(1, 3))
    per_dim = [st.integers(1, 3) for _ in range(rank)]
    kernel, strides, dilations = (list(draw(st.tuples(*per_dim))) for _ in range(3))
    attributes = {"strides": tuple(strides), "dilations": tuple(dilations)}
    mode = draw(st.sampled_from(["NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"]))
    pads = [0] * (2 * rank)
    if mode == "NOTSET":
        pads = [draw(st.integers(0, kernel[i % rank] - 1)) for i in range(2 * rank)]
        attributes["pads"] = tuple(pads)
    attributes["auto_pad"] = mode
    spatial = []
    for axis in range(rank):
        extent = (kernel[axis] - 1) * dilations[axis] + 1
        spatial.append(draw(st.integers(max(extent - pads[axis] - pads[axis + rank], 1), 9)))
    return attributes, spatial, kernel


@settings(max_examples=60, deadline=None)
@given(windows(), st.integers(0, 2), st.sampled_from([(1, 3, 2), (2, 1, 3), (3, 1, 1)]))
def test_conv(window: tuple, batch: int, groups: tuple[int, int, int]) -> None:
    attributes, spatial, kernel = window
    group, per_group, filters = groups
    arrays = {
        "x": normal(batch, group * per_group, *spatial),
        "w": normal(group * filters, per_group, *kernel),
        "b": normal(group * filters),
    }
    check(Example(Node("Conv", tuple(arrays), ("y",), {**attributes, "group": group}), arrays))


@settings(max_examples=60, deadline=None)
@given(windows(), st.integers(0, 2), st.sampled_from([1, 3]), st.booleans())
def test_conv_transpose(window: tuple, batch: int, group: int, extended: bool) -> None:
    attributes, spatial, kernel = window
    if extended:
        attributes = {**attributes, "output_padding": tuple(s - 1 for s in attributes["strides"])}
    arrays = {"x": normal(batch, group * 2, *spatial), "w": normal(group * 2, 3, *kernel)}
    for axis, size in enumerate(spatial):  # pads may take away all that a small input gives
        pads = attributes.get("pads", (0,) * 2 * len(spatial))[axis :: len(spatial)]
        stride, dilation = attributes["strides"][axis], attributes["dilations"][axis]
        assume((size - 1) * stride + (kernel[axis] - 1) * dilation + 1 > sum(pads))
    node = Node("ConvTranspose", tuple(arrays), ("y",), {**attributes, "group": group})
    check(Example(node, arrays))


@settings(max_examples=90, deadline=None)
@given(
    windows(),
    st.sampled_from(["MaxPool", "AveragePool", "LpPool"]),
    st.booleans(),
    st.integers(0, 2),
)
def test_pool(window: tuple, op: str, ceil: bool, batch: int) -> None:
    attributes, spatial, kernel = window
    attributes = {**attributes, "kernel_shape": tuple(kernel), "ceil_mode": int(ceil)}
    arrays = {"x": normal(batch, 3, *spatial)}
    outputs = ("y", "indices") if op == "MaxPool" else ("y",)
    check(Example(Node(op, tuple(arrays), outputs, attributes), arrays))


@settings(max_examples=90, deadline=None)
@given(
    st.sampled_from(["nearest", "linear", "cubic"]),
    st.sampled_from(
        ["half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric"]
    ),
    st.lists(
        st.tuples(st.integers(1, 7), st.sampled_from([0.5, 1, 1.5, 2, 0.25, 3])),
        min_size=1,
        max_size=2,
    ),
    st.booleans(),
    st.booleans(),
)
def test_resize(
    mode: str, transformation: str, axes: list[tuple[int, float]], antialias: bool, outside: bool
) -> None:
    attributes = {
        "mode": mode,
        "coordinate_transformation_mode": transformation,
        "antialias": int(antialias),
        "exclude_outside": int(outside),
    }
    arrays = {
        "x": normal(2, 3, *[size for size, _ in axes]),
        "scales": np.array([1, 1, *[scale for _, scale in axes]], np.float32),
    }
    check(Example(Node("Resize", ("x", "", "scales"), ("y",), attributes), arrays))


@pytest.mark.parametrize(
    ("op", "inputs", "attributes"),
    [
        ("GlobalAveragePool", [], {}),
        ("GlobalMaxPool", [], {}),
        ("GlobalLpPool", [], {"p": 3}),
        ("BatchNormalization", [(6,)] * 4, {}),
        ("InstanceNormalization", [(6,)] * 2, {}),
        ("GroupNormalization", [(6,)] * 2, {"num_groups": 3}),
        ("LRN", [], {"size": 4}),
    ],
)
def test_layouts(op: str, inputs: list[tuple[int, ...]], attributes: dict) -> None:
    arrays = {"x": normal(2, 6, 3, 5)}
    arrays |= {f"i{n}": np.abs(normal(*shape)) for n, shape in enumerate(inputs)}
    check(Example(Node(op, tuple(arrays), ("y",), attributes), arrays))


def test_max_pool_of_special_values() -> None:
    """NaN wins, and a window of nothing but -inf gives -inf and points into itself."""
    x = np.array([[[1, np.nan, 2, -np.inf, -np.inf, 3]]], np.float32)
    node = Node("MaxPool", ("x",), ("y", "indices"), {"kernel_shape": (2,), "pads": (1, 0)})
    y, indices = run_node(node, {"x": x})
    np.testing.assert_array_equal(y[0, 0], np.float32([1, np.nan, np.nan, 2, -np.inf, 3]))
    np.testing.assert_array_equal(indices[0, 0], [0, 1, 1, 2, 3, 5])


@pytest.mark.parametrize(
    ("op", "shapes", "attributes"),
    [
        ("LSTM", [(5, 0, 3), (1, 8, 3), (1, 8, 2)], {"hidden_size": 2}),
        ("GRU", [(0, 2, 3), (1, 6, 3), (1, 6, 2)], {"hidden_size": 2}),
        ("Attention", [(0, 2, 3, 4)] * 3, {}),
        ("Attention", [(2, 3, 8), (2, 0, 8), (2, 0, 8)], {"q_num_heads": 2, "kv_num_heads": 2}),
        ("GroupNormalization", [(0, 4, 3, 3), (4,), (4,)], {"num_groups": 2}),
        ("LayerNormalization", [(0, 4), (4,)], {}),
        ("Gemm", [(0, 4), (4, 3)], {}),
        ("MatMul", [(2, 0), (0, 3)], {}),
        ("GridSample", [(0, 2, 3, 3), (0, 4, 4, 2)], {}),
        ("DeformConv", [(0, 2, 5, 5), (3, 2, 3, 3), (0, 18, 3, 3)], {}),
        ("RoiAlign", [(1, 2, 5, 5), (0, 4)], {}),
    ],
    ids=str,
)
def test_empty_tensors(op: str, shapes: list[tuple[int, ...]], attributes: dict) -> None:
    arrays = {f"i{n}": normal(*shape) for n, shape in enumerate(shapes)}
    if op == "RoiAlign":
        arrays["batch"] = np.zeros(0, np.int64)
    example = Example(Node(op, tuple(arrays), ("y",), attributes), arrays)
    (y, *_) = run_node(example.node, arrays)
    assert infer_example(example).types["y"] == value_type(y)
    assert not np.isnan(y).any()


N = symbol("N")


@pytest.mark.parametrize(
    ("op", "shapes", "attributes", "flops"),
    [
        ("Conv", [(N, 64, 56, 56), (64, 64, 3, 3)], {"pads": (1,) * 4}, N * 231211008),
        ("Conv", [(N, 32, 9, 9), (32, 1, 3, 3)], {"group": 32}, N * 2 * 32 * 49 * 9),
        ("ConvTranspose", [(N, 4, 5, 5), (4, 6, 2, 2)], {"strides": (2, 2)}, N * 2 * 25 * 4 * 24),
        ("Gemm", [(7, N), (7, 5)], {"transA": 1}, N * 70),
        ("MatMul", [(2, 1, N, 7), (3, 7, 5)], {}, N * 6 * 70),
        ("LSTM", [(N, 3, 8), (1, 64, 8), (1, 64, 16)], {"hidden_size": 16}, N * 6 * 64 * 24),
        ("Attention", [(2, 3, N, 8)] * 3, {}, N * N * 6 * 32),
    ],
)
def test_flops(op: str, shapes: list, attributes: dict, flops: SymbolicDim) -> None:
    """A multiply-add counts as two."""
    values = [Value(f"i{n}", TensorType(DType.f32, shape)) for n, shape in enumerate(shapes)]
    graph = Graph("cost", values, [], [Node(op, tuple(v.name for v in values), ("y",), attributes)])
    assert graph_cost(graph, infer(graph)).flops == flops


MISFITS = [
    (
        "a kernel that does not fit",
        Node("Conv", ("x", "w"), ("y",), {"strides": (4, 4)}),
        [("N", 3, 9, 224), (64, 3, 11, 11)],
        "spatial dim 0: the input size is 9, not padded, but the kernel is 11; an input of at "
        "least 11 would fit",
    ),
    (
        "a dilated kernel that does not fit",
        Node("MaxPool", ("x",), ("y",), {"kernel_shape": (5,), "dilations": (2,), "pads": (1, 1)}),
        [("N", 3, 6)],
        "spatial dim 0: the input size is 6, padded by 1 + 1 to 8, but a kernel of 5 with dilation "
        "2 covers 9; an input of at least 7 would fit",
    ),
    (
        "channels",
        Node("Conv", ("x", "w"), ("y",), {"group": 2}),
        [("N", 6, 9, 9), (8, 4, 3, 3)],
        "X is f32[N, 6, 9, 9] ([N, C, spatial...]) and has 6 channels, but W is f32[8, 4, 3, 3], "
        "made for 8 (4 in each of 2 groups)",
    ),
    (
        "a dense layer after another image size",
        Node("Gemm", ("a", "b"), ("y",)),
        [("N", 6400), (9216, 4096)],
        "A is f32[N, 6400] and B is f32[9216, 4096]: inner dims must be equal, but are 6400 and "
        "9216; A [N, 9216] or B [6400, 4096] would fit. If A is a flattened feature map, its sides "
        "are 5/6 of those that the weight was made for: check the size of the images",
    ),
    (
        "a transposed weight",
        Node("Gemm", ("a", "b"), ("y",), {"transB": 1}),
        [("N", 7), (10, 8)],
        "A is f32[N, 7] and B is f32[10, 8]: inner dims must be equal after B is transposed, but "
        "are 7 and 8; A [N, 8] or B [10, 7] would fit",
    ),
    (
        "a recurrent weight",
        Node("LSTM", ("x", "w", "r"), ("y",), {"hidden_size": 16}),
        [("T", "N", 8), (1, 64, 9), (1, 64, 16)],
        "X is f32[T, N, 8] (layout=0, direction=forward), hidden_size is 16: W is f32[1, 64, 9], "
        "but [1, 64, 8] would fit",
    ),
    (
        "normalised dims",
        Node("LayerNormalization", ("x", "scale"), ("y",)),
        [("N", 5, 768), (512,)],
        "Scale is f32[512], but X is f32[N, 5, 768] and axis=-1 normalises [768]; [768] would fit",
    ),
    (
        "pads",
        Node("Conv", ("x", "w"), ("y",), {"pads": (1, 1)}),
        [("N", 3, 9, 9), (8, 3, 3, 3)],
        "pads=[1, 1] has 2 values; 4 would fit (the begin of each of 2 spatial dims, then the "
        "ends)",
    ),
]


@pytest.mark.parametrize(
    ("node", "shapes", "message"), [case[1:] for case in MISFITS], ids=[c[0] for c in MISFITS]
)
def test_messages(node: Node, shapes: list, message: str) -> None:
    values = [
        Value(
            name,
            TensorType(DType.f32, tuple(symbol(d) if isinstance(d, str) else d for d in shape)),
        )
        for name, shape in zip(node.inputs, shapes, strict=True)
    ]
    (problem,) = infer(Graph("misfit", values, [], [node])).errors
    assert problem.message == message
