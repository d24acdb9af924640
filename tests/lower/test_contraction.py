"""Convolutions and matrix products against float64 references, within the error of float32 sums."""

from __future__ import annotations

import itertools
import zlib

import numpy as np
import pytest

from ir.diagnostics import UnsupportedError
from ir.graph import Node
from tests.support import graph_of, reference_node, run_graph, run_node

pytestmark = pytest.mark.every_isa


def random_arrays(name, *shapes, dtype=np.float32):
    rng = np.random.default_rng(zlib.crc32(str(name).encode()))
    return [rng.standard_normal(shape).astype(dtype) for shape in shapes]


def check(op, inputs, attributes=None, constants=(1,), threads=2):
    """The compiled node is as exact as sums in stretches of 256 are."""
    (found,) = run_node(op, inputs, attributes, constants=constants, threads=threads)
    excess = beyond_rounding(found, op, inputs, attributes)
    assert not excess.size or excess.max() <= 0, f"off by {excess.max()} at {excess.argmax()}"


def beyond_rounding(found, op, inputs, attributes=None):
    """How far the elements of `found` are from the float64 result, less the bound on rounding.

    Rounding errors of n random terms t add up to about √(n Σt²) eps / 6, as a random walk; twelve
    times that is for the largest of many. Stretches of 256 keep n at that.
    """
    (wanted,) = reference_node(op, inputs, attributes)
    assert found.shape == wanted.shape and found.dtype == inputs[0].dtype
    (squares,) = reference_node(op, [array.astype(np.float64) ** 2 for array in inputs], attributes)
    weights = inputs[1].shape
    terms = np.prod(weights[1:]) if op == "Conv" else weights[-2:][0]
    bound = 2 * np.finfo(found.dtype).eps * np.sqrt(min(terms, 256) * squares)
    return np.abs(found - wanted) - bound


def conv_arrays(name, dims, channels, filters, kernel, group=1, batch=2, bias=True):
    shapes = [(batch, *dims, channels), (filters, channels // group, *kernel)]
    return random_arrays(name, *shapes, *([(filters,)] if bias else []))


# Every number of channels, in and out, around the widths of vectors and tiles

CHANNELS = list(itertools.product([1, 3, 5, 16, 17, 65], repeat=2))


@pytest.mark.parametrize(("channels", "filters"), CHANNELS)
@pytest.mark.parametrize("kernel", [1, 3])
@pytest.mark.sampled(2)
def test_channels(channels, filters, kernel):
    pads = [kernel // 2] * 4
    arrays = conv_arrays((channels, filters), (6, 7), channels, filters, (kernel, kernel))
    check("Conv", arrays, {"pads": pads, "channels_last": 1}, constants=(1, 2))


WINDOWS = {
    # dims of the input, kernel, attributes
    "1-D": ((11,), (3,), {}),
    "1-D stride, pads": ((11,), (4,), {"strides": [3], "pads": [2, 1]}),
    "1-D dilation": ((13,), (3,), {"dilations": [4], "pads": [4, 4]}),
    "1-D window of one": ((5,), (1,), {"strides": [2]}),
    "2-D": ((7, 9), (3, 2), {}),
    "2-D strides": ((9, 8), (3, 3), {"strides": [2, 3], "pads": [1, 0, 0, 2]}),
    "2-D dilations": ((9, 10), (3, 3), {"dilations": [2, 3], "pads": [2, 3, 2, 3]}),
    "2-D dilation of the height": ((9, 10), (3, 3), {"dilations": [2, 1], "pads": [1, 1, 1, 1]}),
    "2-D stride and dilation": ((9, 11), (2, 3), {"dilations": [3, 2], "strides": [2, 2]}),
    "2-D pads beyond the window": ((3, 3), (2, 2), {"pads": [3, 4, 5, 2]}),
    "2-D larger than the input": ((2, 2), (5, 5), {"pads": [2, 2, 2, 2]}),
    "2-D stride beyond the window": ((9, 9), (1, 2), {"strides": [4, 3]}),
    "2-D same upper": ((7, 8), (3, 4), {"auto_pad": "SAME_UPPER", "strides": [2, 2]}),
    "2-D same lower": ((7, 8), (4, 3), {"auto_pad": "SAME_LOWER"}),
    "2-D valid": ((7, 8), (3, 3), {"auto_pad": "VALID"}),
    "3-D": ((4, 5, 6), (2, 3, 3), {"pads": [0, 1, 1, 1, 1, 1]}),
    "3-D all of it": (
        (5, 6, 7), (2, 2, 3), {"strides": [2, 1, 2], "dilations": [2, 1, 2], "pads": [1] * 6},
    ),
}  # fmt: skip


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize(("channels", "filters", "group"), [(3, 5, 1), (17, 16, 1), (10, 15, 5)])
def test_windows(window, channels, filters, group):
    dims, kernel, attributes = WINDOWS[window]
    arrays = conv_arrays((window, channels), dims, channels, filters, kernel, group)
    given = {"channels_last": 1, "group": group, **attributes}
    check("Conv", arrays, given, constants=(1, 2))


GROUPS = [(2, 6, 4), (3, 51, 9), (4, 64, 64), (5, 5, 10), (2, 34, 130), (17, 34, 17)]


@pytest.mark.parametrize(("group", "channels", "filters"), GROUPS)
@pytest.mark.parametrize("kernel", [(1, 1), (3, 3)])
def test_groups(group, channels, filters, kernel):
    arrays = conv_arrays((group, channels), (5, 6), channels, filters, kernel, group)
    given = {"group": group, "pads": [kernel[0] // 2] * 4, "channels_last": 1}
    check("Conv", arrays, given, constants=(1, 2))


LARGE = {
    "many pixels": ((1, 61, 67, 16), (24, 16, 3, 2)),
    "depth beyond one stretch": ((1, 4, 5, 1100), (33, 1100, 1, 1)),
    "much weight": ((1, 4, 4, 300), (300, 300, 3, 3)),
    "three channels, as of images": ((2, 33, 35, 3), (32, 3, 7, 7)),
    "batch": ((19, 3, 3, 20), (20, 20, 3, 3)),
}


@pytest.mark.parametrize("name", LARGE)
def test_large(name):
    x, w = random_arrays(name, *LARGE[name])
    check("Conv", [x, w], {"channels_last": 1})


def test_long_sums_are_more_exact_than_sums_in_order():
    a, b = random_arrays("long sums", (16, 3000), (3000, 65))
    check("MatMul", [a, b])
    in_order = np.zeros((16, 65), np.float32)
    for k in range(a.shape[1]):
        in_order += np.outer(a[:, k], b[k])
    assert beyond_rounding(in_order, "MatMul", [a, b]).max() > 0


@pytest.mark.parametrize("batch", [0, 1])
def test_empty(batch):
    arrays = conv_arrays("empty", (4, 5), 3, 4, (3, 3), batch=batch)
    check("Conv", arrays, {"channels_last": 1}, constants=(1, 2))
    padding_only = conv_arrays("empty", (0, 5), 17, 4, (1, 3), batch=batch)
    given = {"channels_last": 1, "pads": [2, 0, 1, 0]}
    check("Conv", padding_only, given, constants=(1, 2))


def test_float64():
    x, w, b = random_arrays("f64", (2, 5, 6, 7), (9, 7, 3, 3), (9,), dtype=np.float64)
    check("Conv", [x, w, b], {"channels_last": 1, "pads": [1, 1, 1, 1]}, constants=(1, 2))
    a, c = random_arrays("f64", (5, 17), (17, 19), dtype=np.float64)
    check("MatMul", [a, c], constants=())


# Values that are no numbers


def propagated(op, inputs, attributes=None, constants=(1,)):
    (found,) = run_node(op, inputs, attributes, constants=constants)
    with np.errstate(invalid="ignore"):
        (wanted,) = reference_node(op, inputs, attributes)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(wanted))
    np.testing.assert_array_equal(np.isposinf(found), np.isposinf(wanted))
    np.testing.assert_array_equal(np.isneginf(found), np.isneginf(wanted))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(("channels", "filters"), [(3, 5), (17, 19)])
@pytest.mark.parametrize("place", [(0, 0, 0, 0), (1, 3, 4, 2), (0, 2, 2, 1)])
def test_special_values_in_a_convolution(value, channels, filters, place):
    """An infinity stays one: padding, of the input or of panels of weights, makes no NaN of it."""
    x, w = conv_arrays("special", (4, 5), channels, filters, (3, 3), bias=False)
    x[place] = value
    propagated("Conv", [x, w], {"channels_last": 1, "pads": [1, 1, 1, 1]})


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("constants", [(), (1,)])
def test_special_values_in_a_product(value, constants):
    for which in (0, 1):
        inputs = random_arrays("special", (9, 7), (7, 21))
        inputs[which][3, 5] = value
        propagated("MatMul", inputs, constants=constants)


def test_the_largest_numbers():
    a = np.full((3, 4), np.finfo(np.float32).max, np.float32)
    b = np.eye(4, dtype=np.float32)
    (found,) = run_node("MatMul", [a, b], constants=(1,))
    np.testing.assert_array_equal(found, a)


# Matrix products

PRODUCTS = [
    # left, right
    ((1, 1), (1, 1)),
    ((3, 5), (5, 7)),
    ((1, 17), (17, 65)),
    ((65, 64), (64, 16)),
    ((7, 600), (600, 3)),
    ((33, 1), (1, 33)),
    ((5,), (5,)),
    ((5,), (5, 7)),
    ((3, 5), (5,)),
    ((4, 3, 5), (5,)),
    ((5,), (4, 5, 7)),
    ((4, 3, 5), (5, 7)),
    ((4, 3, 5), (4, 5, 7)),
    ((4, 3, 5), (1, 5, 7)),
    ((1, 3, 5), (4, 5, 7)),
    ((3, 5), (4, 5, 7)),
    ((2, 3, 4, 5), (2, 3, 5, 6)),
    ((2, 1, 4, 5), (3, 5, 6)),
    ((2, 3, 4, 5), (3, 5, 6)),
    ((2, 3, 4, 5), (2, 1, 5, 6)),
    ((3, 1, 1, 4, 5), (2, 1, 5, 6)),
    ((1, 2, 3, 1, 4, 5), (2, 1, 7, 5, 6)),
    ((0, 5), (5, 7)),
    ((3, 5), (5, 0)),
    ((0, 3, 5), (0, 5, 7)),
    ((3, 0), (0, 7)),
    ((2, 3, 0), (2, 0, 7)),
    ((0,), (0,)),
]


@pytest.mark.parametrize(("left", "right"), PRODUCTS, ids=str)
@pytest.mark.parametrize(
    "constants", [(), (0,), (1,), (0, 1)], ids=["none", "left", "right", "both"]
)
def test_products(left, right, constants):
    check("MatMul", random_arrays((left, right), left, right), constants=constants)


# What is fused behind

EPILOGUES = {
    # nodes on the sum `s`, other arrays by name and shape (-1: the batch), what they compute
    "bias": ([("Add", "s b", "y")], {"b": (11,)}, lambda s, b: s + b),
    "bias, relu": (
        [("Add", "s b", "t"), ("Relu", "t", "y")], {"b": (11,)}, lambda s, b: np.maximum(s + b, 0),
    ),
    "bias first": ([("Add", "b s", "y")], {"b": (1, 11)}, lambda s, b: b + s),
    "one element": ([("Mul", "s c", "y")], {"c": (1,)}, lambda s, c: s * c),
    "a scalar": ([("Sub", "c s", "y")], {"c": ()}, lambda s, c: c - s),
    "residual": ([("Add", "s r", "y")], {"r": (-1, 11)}, lambda s, r: s + r),
    "all four": (
        [("Mul", "s a", "t"), ("Add", "t b", "u"), ("Add", "u r", "v"), ("Max", "v c", "y")],
        {"a": (11,), "b": (11,), "r": (-1, 11), "c": (1,)},
        lambda s, a, b, r, c: np.maximum(s * a + b + r, c),
    ),
    "six operands": (
        [
            ("Mul", "s a", "t"), ("Add", "t b", "u"), ("Add", "u r", "v"), ("Max", "v c", "m"),
            ("Mul", "m d", "n"), ("Sub", "n q", "y"),
        ],
        {"a": (11,), "b": (11,), "r": (-1, 11), "c": (1,), "d": (11,), "q": (-1, 11)},
        lambda s, a, b, r, c, d, q: np.maximum(s * a + b + r, c) * d - q,
    ),
    "the same operand twice": (
        [("Mul", "s b", "t"), ("Add", "t b", "y")], {"b": (11,)}, lambda s, b: s * b + b,
    ),
    "the sum twice": ([("Mul", "s s", "y")], {}, lambda s: s * s),
}  # fmt: skip


@pytest.mark.parametrize("name", EPILOGUES)
@pytest.mark.parametrize("left", [(5, 9), (2, 3, 9), (1, 9), (70, 9)], ids=str)
@pytest.mark.sampled(2)
def test_epilogues(name, left):
    nodes, others, compute = EPILOGUES[name]
    x, w = random_arrays(name, left, (9, 11))
    arrays = {"x": x, "w": w}
    for i, (other, shape) in enumerate(others.items()):
        shape = (*left[:-1], *shape[1:]) if shape[:1] == (-1,) else shape
        arrays[other] = random_arrays((name, i), shape)[0]
    graph = graph_of(
        [
            Node("MatMul", ("x", "w"), ("s",)),
            *(Node(op, tuple(names.split()), (made,)) for op, names, made in nodes),
        ],
        arrays,
        ["y"],
        ["w", "a", "b"] if name != "bias first" else ["w"],
    )
    found = run_graph(graph, {n: arrays[n] for n in graph.input_names}, passes=True, threads=2)
    exact = [arrays[other].astype(np.float64) for other in others]
    wanted = compute(x.astype(np.float64) @ w, *exact)
    np.testing.assert_allclose(found["y"], wanted, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize(
    ("op", "operand", "shown"),
    [
        (("Add", "s r"), np.ones((4, 1), np.float32), r"f32\[4, 1\]"),
        (("Where", "r s s"), np.ones(11, bool), r"bool\[11\]"),
    ],
)
def test_an_operand_that_epilogues_cannot_read(op, operand, shown):
    """The fusion pass leaves it alone; a graph that comes with such a group is refused."""
    x, w = random_arrays("refused", (4, 9), (9, 11))
    name, inputs = op
    reader = Node(name, tuple(inputs.split()), ("y",))
    nodes = [Node("MatMul", ("x", "w"), ("s",), name="product"), reader]
    arrays = {"x": x, "w": w, "r": operand}
    body = graph_of(nodes, arrays, ["y"])
    fused = Node("layercc.Fused", ("x", "w", "r"), ("y",), {"kind": "contraction", "body": body})
    with pytest.raises(UnsupportedError, match=rf"'product'.*'r' is {shown}.* f32\[4, 11\]"):
        run_graph(graph_of([fused], arrays, ["y"]), arrays)


@pytest.mark.parametrize("shape", [(5, 11), (11,), ()], ids=str)
def test_operands_of_another_element_type(shape):
    """A mask, which kernels cannot read beside the sum."""
    x, w, z = random_arrays("mask", (5, 9), (9, 11), (5, 11))
    mask = np.random.default_rng(1).random(shape) < 0.5
    arrays = {"x": x, "w": w, "mask": np.asarray(mask), "z": z}
    nodes = [Node("MatMul", ("x", "w"), ("s",)), Node("Where", ("mask", "s", "z"), ("y",))]
    found = run_graph(graph_of(nodes, arrays, ["y"]), arrays, passes=True)["y"]
    np.testing.assert_allclose(found, np.where(mask, x @ w, z), rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize(("channels", "filters", "group"), [(3, 17, 1), (20, 33, 1), (6, 10, 2)])
def test_residual_of_a_grouped_convolution(channels, filters, group):
    x, w, b, r = random_arrays(
        "residual", (2, channels, 7, 6), (filters, channels // group, 3, 3), (filters,),
        (2, filters, 7, 6),
    )  # fmt: skip
    arrays = {"x": x, "w": w, "b": b, "r": r}
    attributes = {"group": group, "pads": [1, 1, 1, 1]}
    nodes = [
        Node("Conv", ("x", "w", "b"), ("s",), attributes),
        Node("Add", ("s", "r"), ("t",)),
        Node("Relu", ("t",), ("y",)),
    ]
    graph = graph_of(nodes, arrays, ["y"], ["w", "b"])
    found = run_graph(graph, {"x": x, "r": r}, passes=True, threads=2)["y"]
    (plain,) = reference_node("Conv", [x, w, b], attributes)
    np.testing.assert_allclose(found, np.maximum(plain + r, 0), rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize(("channels", "group"), [(3, 1), (17, 1), (8, 2)])
def test_weights_that_are_an_input(channels, group):
    arrays = conv_arrays(("input", channels), (5, 6), channels, 10, (3, 3), group)
    given = {"channels_last": 1, "pads": [1, 1, 1, 1], "group": group}
    check("Conv", arrays, given, constants=())


def test_work_is_split_alike_for_any_number_of_threads():
    x, w = random_arrays("threads", (1, 30, 31, 40), (50, 40, 3, 2))
    results = {
        run_node("Conv", [x, w], {"channels_last": 1}, constants=(1,), threads=t)[0].tobytes()
        for t in (1, 2, 3, 8)
    }
    assert len(results) == 1


def test_weights_filled_with_one_number():
    """`fold_constants` leaves them as one element that strides of 0 repeat."""
    x = np.linspace(-1, 2, 3 * 700, dtype=np.float32).reshape(3, 700)
    w = np.broadcast_to(np.float32(0.5), (700, 900))
    (found,) = run_node("MatMul", [x, w], constants=[1])
    np.testing.assert_allclose(found, x.astype(np.float64) @ w, rtol=1e-5)
