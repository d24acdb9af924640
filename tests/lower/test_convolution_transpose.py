"""Transposed convolution against its NumPy reference."""

# mypy: ignore-errors

import numpy as np
import pytest

import layercc as lc
from ir.graph import Node
from tests.support import graph_of, one_node, reference_node, run_graph, run_node

# input shape (channels last), filters of a group, kernel, attributes
CASES = {
    "2x2 stride 2": ((2, 5, 7, 19), 24, (2, 2), {"strides": [2, 2]}),
    "1x1": ((1, 5, 3, 6), 10, (1, 1), {}),
    "3x3": ((1, 6, 5, 8), 37, (3, 3), {"pads": [1, 1, 1, 1]}),
    "3x3 stride 2": ((1, 6, 5, 20), 16, (3, 3), {"strides": [2, 2], "pads": [1, 0, 1, 1]}),
    "4x4 stride 2": ((2, 4, 4, 33), 5, (4, 4), {"strides": [2, 2], "pads": [1, 1, 1, 1]}),
    "output padding": (
        (1, 4, 5, 6), 7, (3, 3), {"strides": [2, 3], "output_padding": [1, 2]}
    ),
    "padding with stride = kernel": (
        (1, 4, 5, 6), 7, (2, 2), {"strides": [2, 2], "output_padding": [1, 0]}
    ),
    "output shape": ((1, 4, 5, 6), 3, (3, 3), {"strides": [2, 2], "output_shape": [8, 10]}),
    "same upper": ((1, 4, 5, 6), 3, (3, 3), {"strides": [2, 2], "auto_pad": "SAME_UPPER"}),
    "holes": ((1, 3, 4, 5), 6, (2, 2), {"strides": [3, 3]}),
    "dilated": ((1, 5, 6, 7), 8, (3, 2), {"dilations": [2, 3], "strides": [1, 2]}),
    "groups": ((2, 4, 5, 12), 5, (3, 3), {"group": 3, "strides": [2, 2]}),
    "depthwise": ((1, 4, 5, 12), 1, (3, 3), {"group": 12, "pads": [1, 1, 1, 1]}),
    "many filters": ((1, 3, 2, 4), 300, (3, 3), {"strides": [2, 2]}),
    "one dim": ((3, 9, 4), 6, (4,), {"strides": [2], "pads": [1, 0]}),
    "one dim tiling": ((3, 9, 4), 6, (3,), {"strides": [3]}),
    "three dims": ((1, 3, 4, 2, 5), 6, (3, 2, 3), {"strides": [2, 1, 2], "pads": [1] * 6}),
    "three dims tiling": ((2, 2, 3, 4, 5), 6, (2, 3, 2), {"strides": [2, 3, 2]}),
    "one filter, nine phases": (
        (1, 11, 13, 7), 1, (9, 9), {"strides": [3, 3], "pads": [3, 3, 3, 3]}
    ),
    "4x4 stride 2, one pixel less": (
        (2, 5, 7, 33), 17, (4, 4), {"strides": [2, 2], "pads": [1, 1, 2, 2]}
    ),
    "as few taps, one more pixel": (
        (1, 5, 7, 9), 11, (5, 5),
        {"strides": [3, 3], "pads": [2, 1, 0, 3], "output_padding": [2, 1]},
    ),
    "stride 1, asymmetric pads": ((2, 9, 7, 19), 23, (3, 3), {"pads": [0, 2, 1, 0]}),
    "outputs less than the stride": ((1, 2, 3, 5), 9, (4, 4), {"strides": [4, 2],
                                     "pads": [2, 1, 3, 0]}),
    "pads beyond the window": ((1, 6, 7, 5), 9, (2, 3), {"strides": [1, 2], "pads": [2, 3, 1, 2]}),
    "one dim, four phases": ((3, 13, 5), 9, (7,), {"strides": [4], "pads": [2, 1]}),
    "three dims, wide": (
        (1, 3, 4, 2, 5), 9, (3, 2, 3), {"strides": [2, 1, 3], "pads": [1, 0, 1, 0, 1, 0]}
    ),
    "empty batch": ((0, 3, 3, 4), 5, (2, 2), {"strides": [2, 2]}),
}  # fmt: skip


def inputs_of(shape, filters, kernel, group=1):
    rng = np.random.default_rng(0)
    sizes = (shape, (shape[-1], filters, *kernel), (filters * group,))
    return [rng.normal(size=size).astype(np.float32) for size in sizes]


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("name", CASES)
def test_transposed_convolution(name, known):
    shape, filters, kernel, attributes = CASES[name]
    inputs = inputs_of(shape, filters, kernel, attributes.get("group", 1))
    given = {"channels_last": 1, **attributes}
    constants = (1, 2) if known else ()
    (made,) = run_node("ConvTranspose", inputs, given, constants=constants, threads=2)
    (expected,) = reference_node("ConvTranspose", inputs, given)
    np.testing.assert_allclose(made, expected, rtol=1e-5, atol=1e-5)


def kernels_of(name):
    shape, filters, kernel, attributes = CASES[name]
    inputs = inputs_of(shape, filters, kernel, attributes.get("group", 1))
    given = {"channels_last": 1, **attributes}
    graph = one_node("ConvTranspose", inputs, given, constants=(1, 2))
    plan = lc.compile(graph).plan({"x0": inputs[0].shape})
    return [call.key.family for call in plan.program.calls]


def test_phases_are_not_folded():
    """Of windows that overlap, only those with few channels or groups are."""
    for name in ("3x3 stride 2", "one filter, nine phases", "stride 1, asymmetric pads"):
        assert "col2im" not in kernels_of(name)
    assert "col2im" in kernels_of("groups") and "col2im" in kernels_of("holes")
    assert kernels_of("3x3 stride 2").count("contraction") == 4
    assert kernels_of("one filter, nine phases").count("contraction") == 1


@pytest.mark.parametrize("name", ["4x4 stride 2, one pixel less", "one filter, nine phases"])
def test_phases_alone_and_in_a_batch_on_any_threads(name):
    shape, filters, kernel, attributes = CASES[name]
    x, w, b = inputs_of((3, *shape[1:]), filters, kernel)
    given = {"channels_last": 1, **attributes}
    (together,) = run_node("ConvTranspose", [x, w, b], given, constants=(1, 2), threads=1)
    (again,) = run_node("ConvTranspose", [x, w, b], given, constants=(1, 2), threads=3)
    assert again.tobytes() == together.tobytes()
    for i in range(3):
        (alone,) = run_node("ConvTranspose", [x[i : i + 1], w, b], given, constants=(1, 2))
        assert alone.tobytes() == together[i : i + 1].tobytes()


def test_channels_first():
    x, w, b = inputs_of((2, 5, 6, 7), 4, (3, 3))
    inputs = [np.ascontiguousarray(x.transpose(0, 3, 1, 2)), w, b]
    (made,) = run_node("ConvTranspose", inputs, constants=(1, 2))
    (expected,) = reference_node("ConvTranspose", inputs)
    np.testing.assert_allclose(made, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kernel", [(2, 2), (3, 3)])
def test_epilogue_with_residual(kernel):
    x, w, b = inputs_of((2, 5, 6, 9), 7, kernel)
    anchor = Node("ConvTranspose", ("x", "w", "b"), ("c",), {"strides": [2, 2], "channels_last": 1})
    (plain,) = reference_node("ConvTranspose", [x, w, b], anchor.attributes)
    rest = np.random.default_rng(1).normal(size=plain.shape).astype(np.float32)
    arrays = {"x": x, "w": w, "b": b, "rest": rest}
    nodes = [anchor, Node("Add", ("c", "rest"), ("s",)), Node("Relu", ("s",), ("y",))]
    body = graph_of(nodes, arrays, ["y"])
    fused = Node("layercc.Fused", tuple(arrays), ("y",), {"kind": "contraction", "body": body})
    graph = graph_of([fused], arrays, ["y"], ["w", "b"])
    made = run_graph(graph, {"x": x, "rest": rest}, threads=2)["y"]
    np.testing.assert_allclose(made, np.maximum(plain + rest, 0), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.int32])
@pytest.mark.parametrize(
    ("image", "block", "attributes"),
    [
        ((7, 9), (3, 2), {"pads": [1, 0, 1, 1], "strides": [2, 1]}),
        ((10,), (3,), {"dilations": [2]}),
        ((4, 5, 6), (2, 2, 2), {"strides": [2, 1, 2]}),
    ],
)
def test_col2im(image, block, attributes, dtype):
    rank = len(image)
    given = {"strides": [1] * rank, "dilations": [1] * rank, "pads": [0] * 2 * rank, **attributes}
    pads, begins = given["pads"], range(rank)
    extents = [(block[d] - 1) * given["dilations"][d] + 1 for d in begins]
    counts = [
        (image[d] + pads[d] + pads[d + rank] - extents[d]) // given["strides"][d] + 1
        for d in begins
    ]
    shape = (2, 5 * int(np.prod(block)), int(np.prod(counts)))
    x = (np.random.default_rng(0).normal(size=shape) * 9).astype(dtype)
    inputs = [x, np.array(image), np.array(block)]
    (made,) = run_node("Col2Im", inputs, attributes, constants=(1, 2))
    (expected,) = reference_node("Col2Im", inputs, attributes, constants=(1, 2), exact=False)
    tolerance = {"e": 1e-3, "f": 1e-5, "i": 0}[np.dtype(dtype).char]
    np.testing.assert_allclose(made, expected, rtol=tolerance, atol=tolerance)
