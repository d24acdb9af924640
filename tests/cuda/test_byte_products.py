"""Products and convolutions of bytes on the stand-in device: exact."""

from __future__ import annotations

import numpy as np
import pytest

from layercc.cuda.architecture import architecture_named
from layercc.cuda.codegen.compiler import compile_kernel
from layercc.cuda.kernels.byte_products import byte_tiles
from tests.cuda.instructions import loops_of, share
from tests.cuda.running import on_device
from tests.support import named, one_node, reference_node

pytestmark = pytest.mark.usefixtures("stand_in")
RNG = np.random.default_rng(7)


def whole(dtype: str, *shape: int) -> np.ndarray:
    """Random values over the whole range of a type, its ends among them."""
    limits = np.iinfo(dtype)
    ends = np.array([limits.min, limits.max])[RNG.integers(0, 2, shape)]
    values = RNG.integers(limits.min, limits.max + 1, shape)
    return np.where(RNG.random(shape) < 0.1, ends, values).astype(dtype)


def check(op, inputs, attributes=None, constants=()):
    graph = one_node(op, inputs, attributes, 1, constants)
    (found,) = on_device(graph, {v.name: named(inputs)[v.name] for v in graph.inputs}).values()
    (wanted,) = reference_node(op, inputs, attributes, exact=False)
    assert found.dtype == wanted.dtype
    np.testing.assert_array_equal(found, wanted)


def launched(stand_in, kernel: str) -> bool:
    return any(f"_{kernel}_" in name for name in stand_in.launched)


@pytest.mark.parametrize(
    ("left", "right", "shapes", "zeros"),
    [
        ("u1", "i1", ((70, 37), (37, 67)), ((), (1,))),  # odd
        ("i1", "i1", ((130, 48), (48, 65)), None),  # in chunks of 16 bytes
        ("i1", "u1", ((17, 336), (336, 9)), ((17,), (9,))),  # a point a row and a column
    ],
)
@pytest.mark.parametrize("constants", [(), (1, 2, 3)], ids=["variable", "constant"])
@pytest.mark.sampled(2)
def test_tiles(left, right, shapes, zeros, constants, stand_in):
    inputs = [whole(left, *shapes[0]), whole(right, *shapes[1])]
    if zeros is not None:
        inputs += [whole(left, *zeros[0]), whole(right, *zeros[1])]
    check("MatMulInteger", inputs, None, [i for i in constants if i < len(inputs)])
    assert launched(stand_in, "byte_tiles") and not launched(stand_in, "byte_direct")


@pytest.mark.parametrize(
    ("a", "b", "zeros"),
    [((1, 1), (1, 1), ((), (1,))), ((3, 70), (70, 19), ((3,), (19,))),
     ((5,), (5, 3), ((), (1,))), ((0, 5), (5, 3), ((), (1,))), ((9, 0), (0, 9), ((), (1,))),
     ((2, 3, 4, 5), (3, 5, 11), ((2, 3, 4, 1), (3, 1, 11)))],
)  # fmt: skip
@pytest.mark.sampled(2)
def test_few(a, b, zeros):
    inputs = [whole("u1", *a), whole("i1", *b), whole("u1", *zeros[0]), whole("i1", *zeros[1])]
    check("MatMulInteger", inputs)


def test_sums_of_extremes():
    a, b = np.zeros((9, 1000), np.uint8), np.full((1000, 9), -128, np.int8)
    check("MatMulInteger", [a, b, np.array(255, np.uint8), np.array([127], np.int8)])


CONVOLUTIONS = [
    ("u1", "u1", (1, 9, 7, 16), (9, 16, 3, 3), {"pads": (1, 1, 1, 1), "channels_last": 1}),  # wide
    ("u1", "i1", (2, 3, 9, 11), (10, 3, 3, 2),
     {"pads": (1, 0, 1, 2), "strides": (2, 1), "dilations": (1, 2)}),
    ("u1", "i1", (1, 6, 8, 8), (27, 2, 3, 3), {"group": 3}),
    ("u1", "i1", (2, 9, 8, 7), (9, 1, 3, 3), {"group": 9, "pads": (1, 1, 1, 1)}),  # depthwise
    ("u1", "i1", (1, 2, 4, 5, 6), (3, 2, 2, 3, 3), {"pads": (1, 0, 1, 0, 1, 1)}),
    ("u1", "i1", (0, 3, 9, 11), (10, 3, 3, 2), {}),
]  # fmt: skip


@pytest.mark.parametrize(("left", "right", "x", "w", "attributes"), CONVOLUTIONS)
@pytest.mark.sampled(2)
def test_convolution(left, right, x, w, attributes):
    inputs = [whole(left, *x), whole(right, *w), whole(left), whole(right, w[0])]
    check("ConvInteger", inputs, attributes, constants=(1, 3))


def test_convolution_by_what_only_a_run_knows():
    left, right, x, w, attributes = CONVOLUTIONS[1]
    inputs = [whole(left, *x), whole(right, *w), whole(left), whole(right, w[0])]
    check("ConvInteger", inputs, attributes)


def test_quantised_ops():
    """Requantised behind: halves to even, saturated."""
    f = np.float32
    left = [whole("u1", 9, 37), np.array(0.02, f), whole("u1")]
    right = [whole("i1", 37, 11), np.array(0.03, f), np.array(3, np.int8)]
    out = [np.array(0.5, f), np.array(-7, np.int8).astype("u1")]
    check("QLinearMatMul", [*left, *right, *out], constants=(3, 5))
    x = [whole("u1", 1, 3, 6, 7), np.array(0.02, f), whole("u1")]
    weights = [whole("i1", 9, 3, 3, 3), (RNG.random(9) * 0.1).astype(f), whole("i1", 9)]
    bias = RNG.integers(-999, 999, 9).astype(np.int32)
    check("QLinearConv", [*x, *weights, *out, bias], {"pads": (1, 1, 1, 1)}, constants=(3, 5, 8))


def test_symmetric_weights(stand_in):
    """Points that are known to be 0 cost nothing."""
    left, right = whole("i1", 17, 48), whole("i1", 48, 9)
    zeros = [np.array(0, np.int8), np.zeros(9, np.int8)]
    check("MatMulInteger", [left, right, *zeros], constants=(1, 2, 3))
    check("MatMulInteger", [left, right])
    assert len(stand_in.launched) == 2  # the product, and the transpose of what is not constant


def test_matrix_instructions():
    """At least 28 % of the inner loop's instructions are products."""
    key = byte_tiles.key("u8", "i8", True, (("i32",), (), (0,)), (), 0, False, False, False)
    loops = loops_of(compile_kernel(key, architecture_named("sm_80"), None).code.decode())
    assert loops and all(share(loop) >= 0.28 for loop in loops)
