"""Depthwise convolution against its NumPy reference."""

# mypy: ignore-errors

import numpy as np
import pytest

from ir.graph import Node
from tests.support import graph_of, reference_node, run_graph, run_node

pytestmark = pytest.mark.every_isa

# input shape (channels last), kernel, attributes, channel multiplier
CASES = {
    "3x3 same": ((2, 14, 14, 96), (3, 3), {"pads": [1, 1, 1, 1]}, 1),
    "3x3 stride 2": ((1, 15, 13, 37), (3, 3), {"pads": [1, 1, 1, 1], "strides": [2, 2]}, 1),
    "3x3 uneven pads": ((1, 9, 8, 16), (3, 3), {"pads": [0, 1, 2, 0], "strides": [2, 2]}, 1),
    "3x3 no pads": ((1, 7, 23, 5), (3, 3), {}, 1),
    "5x5 stride 2": ((1, 11, 17, 40), (5, 5), {"pads": [2, 2, 2, 2], "strides": [2, 2]}, 1),
    "7x7": ((1, 10, 12, 33), (7, 7), {"pads": [3, 3, 3, 3]}, 1),
    "9x9 wider than the input": ((1, 4, 4, 17), (9, 9), {"pads": [4, 4, 4, 4]}, 1),
    "dilated": ((1, 12, 13, 19), (3, 3), {"pads": [2, 2, 2, 2], "dilations": [2, 2]}, 1),
    "stride 3": ((1, 13, 13, 64), (3, 3), {"strides": [3, 3]}, 1),
    "one pixel": ((1, 1, 1, 64), (3, 3), {"pads": [1, 1, 1, 1]}, 1),
    "multiplier 3": ((2, 6, 7, 5), (3, 3), {"pads": [1, 1, 1, 1]}, 3),
    "one dim": ((3, 29, 12), (4,), {"pads": [1, 2]}, 1),
    "three dims": ((1, 5, 6, 7, 18), (3, 2, 3), {"pads": [1, 0, 1, 1, 1, 1]}, 1),
    "many channels": ((1, 3, 5, 600), (3, 3), {"pads": [1, 1, 1, 1]}, 1),
    "empty batch": ((0, 5, 5, 8), (3, 3), {}, 1),
}


def inputs_of(shape, kernel, multiplier, dtype=np.float32):
    rng = np.random.default_rng(0)
    filters = shape[-1] * multiplier
    sizes = (shape, (filters, 1, *kernel), (filters,))
    arrays = [rng.normal(size=size) for size in sizes]
    return [array.astype(dtype) for array in arrays]


@pytest.mark.parametrize("name", CASES)
def test_depthwise(name):
    shape, kernel, attributes, multiplier = CASES[name]
    inputs = inputs_of(shape, kernel, multiplier)
    given = {"group": shape[-1], "channels_last": 1, **attributes}
    (made,) = run_node("Conv", inputs, given, constants=(1, 2), threads=2)
    (expected,) = reference_node("Conv", inputs, given)
    np.testing.assert_allclose(made, expected, rtol=1e-5, atol=1e-5)


def test_float64():
    inputs = inputs_of((1, 6, 7, 21), (3, 3), 1, np.float64)
    given = {"group": 21, "channels_last": 1, "pads": [1, 1, 1, 1]}
    (made,) = run_node("Conv", inputs, given, constants=(1, 2))
    (expected,) = reference_node("Conv", inputs, given)
    np.testing.assert_allclose(made, expected, rtol=1e-14, atol=1e-14)


def test_weights_given_at_run_time():
    inputs = inputs_of((1, 6, 7, 21), (3, 3), 1)
    given = {"group": 21, "channels_last": 1, "pads": [1, 1, 1, 1]}
    (made,) = run_node("Conv", inputs, given)
    (expected,) = reference_node("Conv", inputs, given)
    np.testing.assert_allclose(made, expected, rtol=1e-5, atol=1e-5)


def test_epilogue_with_residual():
    x, w, b = inputs_of((2, 9, 9, 24), (3, 3), 1)
    rest = np.random.default_rng(1).normal(size=x.shape).astype(np.float32)
    names = {"x": x, "w": w, "b": b, "rest": rest}
    conv = Node("Conv", ("x", "w", "b"), ("c",), {"group": 24, "channels_last": 1, "pads": [1] * 4})
    nodes = [conv, Node("Add", ("c", "rest"), ("s",)), Node("Relu", ("s",), ("y",))]
    body = graph_of(nodes, names, ["y"])
    fused = Node("layercc.Fused", tuple(names), ("y",), {"kind": "contraction", "body": body})
    graph = graph_of([fused], names, ["y"], ["w", "b"])
    made = run_graph(graph, {"x": x, "rest": rest})["y"]
    (plain,) = reference_node("Conv", [x, w, b], conv.attributes)
    np.testing.assert_allclose(made, np.maximum(plain + rest, 0), rtol=1e-5, atol=1e-5)


def test_what_is_not_finite_stays_in_its_window():
    x, w, b = inputs_of((1, 8, 8, 16), (3, 3), 1)
    x[0, 4, 4, 3], x[0, 0, 0, 5] = np.nan, np.inf
    given = {"group": 16, "channels_last": 1, "pads": [1, 1, 1, 1]}
    (made,) = run_node("Conv", [x, w, b], given, constants=(1, 2))
    (expected,) = reference_node("Conv", [x, w, b], given)
    np.testing.assert_allclose(made, expected, rtol=1e-5, atol=1e-5)


# Groups of a few channels, in and out

# input shape but for the channels, kernel, attributes
NARROW = {
    "same": ((2, 14, 13), (3, 3), {"pads": [1, 1, 1, 1]}),
    "stride 2": ((1, 15, 19), (3, 3), {"pads": [1, 1, 1, 1], "strides": [2, 2]}),
    "asymmetric pads": ((1, 9, 8), (3, 3), {"pads": [0, 2, 3, 1]}),
    "dilated": ((1, 12, 13), (3, 3), {"pads": [2, 2, 2, 2], "dilations": [2, 2]}),
    "one tap, stride 3": ((1, 7, 11), (1, 1), {"strides": [3, 3]}),
    "wide": ((1, 3, 29), (1, 7), {"pads": [0, 3, 0, 3]}),
    "one pixel": ((1, 1, 1), (3, 3), {"pads": [1, 1, 1, 1]}),
    "one dim": ((3, 29), (4,), {"pads": [1, 2]}),
    "three dims": ((1, 5, 6, 7), (3, 2, 3), {"pads": [1, 0, 1, 1, 1, 1]}),
    "empty batch": ((0, 5, 5), (3, 3), {}),
}


def narrow_inputs(shape, kernel, channels, groups, dtype=np.float32):
    rng = np.random.default_rng(0)
    filters = channels * groups
    sizes = ((*shape, filters), (filters, channels, *kernel), (filters,))
    return [rng.normal(size=size).astype(dtype) for size in sizes]


@pytest.mark.parametrize(
    ("name", "channels", "groups"),
    [
        *((name, 4, 9) for name in NARROW),
        *(("same", *case) for case in [(2, 5), (4, 65), (8, 3)]),
        *(("dilated", *case) for case in [(2, 9), (8, 5)]),
    ],
)
@pytest.mark.sampled(2)
def test_narrow_groups(name, channels, groups):
    shape, kernel, attributes = NARROW[name]
    inputs = narrow_inputs(shape, kernel, channels, groups)
    given = {"group": groups, "channels_last": 1, **attributes}
    (expected,) = reference_node("Conv", inputs, given)
    for constants in (1, 2), ():
        (made,) = run_node("Conv", inputs, given, constants=constants, threads=2)
        assert made.shape == expected.shape
        np.testing.assert_allclose(made, expected, rtol=1e-5, atol=1e-5)


def test_narrow_groups_of_float64():
    inputs = narrow_inputs((1, 6, 7), (3, 3), 4, 7, np.float64)
    given = {"group": 7, "channels_last": 1, "pads": [1, 1, 1, 1]}
    (made,) = run_node("Conv", inputs, given, constants=(1, 2))
    (expected,) = reference_node("Conv", inputs, given)
    np.testing.assert_allclose(made, expected, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_stays_in_its_group(value):
    inputs = narrow_inputs((1, 9, 9), (3, 3), 4, 9)
    inputs[0][0, 4, 5, 13] = value
    given = {"group": 9, "channels_last": 1, "pads": [1, 1, 1, 1]}
    (made,) = run_node("Conv", inputs, given, constants=(1, 2))
    with np.errstate(invalid="ignore"):
        (expected,) = reference_node("Conv", inputs, given)
    assert not np.isfinite(made[0, 3:6, 4:7, 12:16]).any()
    np.testing.assert_array_equal(np.isfinite(made), np.isfinite(expected))


def test_narrow_groups_alone_and_in_a_batch_on_any_threads():
    x, w, b = narrow_inputs((3, 17, 23), (3, 3), 8, 5)
    given = {"group": 5, "channels_last": 1, "pads": [1, 1, 1, 1]}
    (together,) = run_node("Conv", [x, w, b], given, constants=(1, 2), threads=1)
    for threads in (2, 5):
        (made,) = run_node("Conv", [x, w, b], given, constants=(1, 2), threads=threads)
        assert made.tobytes() == together.tobytes()
    for i in range(3):
        (alone,) = run_node("Conv", [x[i : i + 1], w, b], given, constants=(1, 2))
        assert alone.tobytes() == together[i : i + 1].tobytes()


def test_narrow_groups_with_a_residual():
    x, w, b = narrow_inputs((2, 6, 7), (3, 3), 4, 5)
    r = np.random.default_rng(1).normal(size=(2, 20, 6, 7)).astype(np.float32)
    x = np.ascontiguousarray(x.transpose(0, 3, 1, 2))
    attributes = {"group": 5, "pads": [1, 1, 1, 1]}
    nodes = [
        Node("Conv", ("x", "w", "b"), ("s",), attributes),
        Node("Add", ("s", "r"), ("t",)),
        Node("Relu", ("t",), ("y",)),
    ]
    graph = graph_of(nodes, {"x": x, "w": w, "b": b, "r": r}, ["y"], ["w", "b"])
    found = run_graph(graph, {"x": x, "r": r}, passes=True)["y"]
    (plain,) = reference_node("Conv", [x, w, b], attributes)
    np.testing.assert_allclose(found, np.maximum(plain + r, 0), rtol=1e-5, atol=1e-5)
