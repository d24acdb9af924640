"""Ops over images without channels, and products over nothing: a sum of no terms is 0."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import layercc as lc
from ir.graph import Node
from ir.interpreter import interpret
from tests.support import graph_of, named, one_node

RNG = np.random.default_rng(3)


def real(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape, np.float32)


def byte(*shape: int) -> np.ndarray:
    return RNG.integers(0, 256, shape, np.uint8)


def results(
    op: str, inputs: list, attributes: dict, constants: Any = (), outputs: int = 1
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """The node's outputs: compiled, and by the interpreter."""
    graph = one_node(op, inputs, attributes, outputs, constants)
    given = {name: named(inputs)[name] for name in graph.input_names}
    return list(lc.compile(graph).run(given).values()), list(interpret(graph, given).values())


SPATIAL = {1: ((5,), (3,)), 2: ((5, 6), (3, 3)), 3: ((4, 5, 6), (1, 3, 3))}
#: Channels in and out, and groups.
CHANNELS = [(0, 4, 1), (0, 4, 2), (3, 0, 1), (4, 0, 2), (4, 0, 4), (0, 0, 1), (0, 0, 2)]
PLACES: list[dict] = [{}, {"pads": 1}, {"strides": 2}, {"channels_last": 1}]

cases = pytest.mark.parametrize("channels, filters, group", CHANNELS)


def placed(rank: int, place: dict) -> dict[str, Any]:
    """The attributes, with a number repeated for each spatial dim (and side)."""
    repeats = {"pads": 2 * rank, "strides": rank}
    return {k: [v] * repeats[k] if k in repeats else v for k, v in place.items()}


def expected(kind: np.ndarray, bias: np.ndarray | None, place: dict, rank: int) -> np.ndarray:
    """Zeros of the shape and type of `kind`, and the bias where there is one."""
    made = np.zeros_like(kind)
    if bias is not None:
        last = "channels_last" in place
        made += bias if last else bias.reshape(-1, *[1] * rank)
    return made


@pytest.mark.parametrize("rank", SPATIAL)
@cases
@pytest.mark.parametrize("op", ["Conv", "ConvTranspose"])
def test_convolutions(op: str, rank: int, channels: int, filters: int, group: int) -> None:
    dims, kernel = SPATIAL[rank]
    weight = (filters, channels // group) if op == "Conv" else (channels, filters // group)
    for place, batch, biased, constants in itertools.product(
        PLACES, (2, 0), (False, True), ((), (1, 2))
    ):
        last = "channels_last" in place
        x = real(batch, *dims, channels) if last else real(batch, channels, *dims)
        bias = real(filters) if biased else None
        inputs = [x, real(*weight, *kernel), *([bias] if biased else [])]
        attributes = {"group": group, **placed(rank, place)}
        fixed = constants[: len(inputs) - 1]
        (found,), (reference,) = results(op, inputs, attributes, fixed)
        assert found.shape[0] == batch and found.shape[-1 if last else 1] == filters
        np.testing.assert_array_equal(found, expected(found, bias, place, rank))
        np.testing.assert_array_equal(found, reference)


@pytest.mark.parametrize("rank", SPATIAL)
@cases
def test_quantised_convolutions(rank: int, channels: int, filters: int, group: int) -> None:
    dims, kernel = SPATIAL[rank]
    x, w = byte(1, channels, *dims), byte(filters, channels // group, *kernel).view(np.int8)
    half, zero = np.array(0.5, np.float32), np.array(0, np.int8)
    for place, fixed in itertools.product(PLACES[:3], (False, True)):
        attributes = {"group": group, **placed(rank, place)}
        (found,), (reference,) = results(
            "ConvInteger", [x, w, byte()], attributes, (1,) if fixed else ()
        )
        np.testing.assert_array_equal(found, 0)
        assert found.shape == reference.shape
        bias = RNG.integers(-9, 9, filters, np.int32)
        inputs = [x, half, byte(), w, half, zero, half, np.uint8(100), bias]
        (found,), (reference,) = results("QLinearConv", inputs, attributes, (3, 4, 5) * fixed)
        np.testing.assert_array_equal(found, reference)
        wanted = np.rint(bias * 0.5).reshape(-1, *[1] * rank) + 100
        np.testing.assert_array_equal(found, np.broadcast_to(wanted, found.shape))


def test_what_follows_a_convolution() -> None:
    """Fused behind it, and folded into its weights."""
    arrays = {"x": real(1, 0, 5, 5), "w": real(4, 0, 3, 3), "b": real(4), "s": real(4, 1, 1)}
    nodes = [
        Node("Conv", ("x", "w", "b"), ("c",)),
        Node("Mul", ("c", "s"), ("m",)),
        Node("Relu", ("m",), ("y",)),
    ]
    graph = graph_of(nodes, arrays, ["y"], ["w", "b", "s"])
    found = lc.compile(graph).run({"x": arrays["x"]})["y"]
    wanted = np.maximum(arrays["b"].reshape(4, 1, 1) * arrays["s"], 0)
    np.testing.assert_allclose(found, np.broadcast_to(wanted, (1, 4, 3, 3)), rtol=1e-6)


IMAGES: list[tuple[str, dict]] = [
    *((op, {"kernel_shape": 3}) for op in ("MaxPool", "AveragePool", "LpPool")),
    *((op, {}) for op in ("GlobalMaxPool", "GlobalAveragePool", "GlobalLpPool")),
    ("LRN", {"size": 3}),
    ("LRN", {"size": 2, "channels_last": 1}),
    ("InstanceNormalization", {}),
    ("InstanceNormalization", {"channels_last": 1}),
    ("BatchNormalization", {}),
    ("GroupNormalization", {"num_groups": 1}),
]


@pytest.mark.filterwarnings("ignore:Mean of empty slice", "ignore:Degrees of freedom")
@pytest.mark.parametrize("op, attributes", IMAGES, ids=str)
@pytest.mark.parametrize("batch, channels", [(1, 0), (2, 0), (0, 3), (0, 0)])
def test_images(op: str, attributes: dict, batch: int, channels: int) -> None:
    for dims, _ in SPATIAL.values():
        last = "channels_last" in attributes
        x = real(batch, *dims, channels) if last else real(batch, channels, *dims)
        vectors = {"BatchNormalization": 4, "LRN": 0}.get(op, 2 * op.endswith("Normalization"))
        inputs = [x, *(np.abs(real(channels)) for _ in range(vectors))]
        given = {k: [v] * len(dims) if k == "kernel_shape" else v for k, v in attributes.items()}
        (found,), (reference,) = results(op, inputs, given)
        assert found.shape == reference.shape and found.dtype == reference.dtype
        np.testing.assert_array_equal(found, reference)


def test_deformable_convolution_without_filters() -> None:
    for channels, filters in ((3, 0), (0, 4), (0, 0)):
        inputs = [real(1, channels, 5, 6), real(filters, channels, 3, 3), real(1, 18, 3, 4)]
        graph = one_node("DeformConv", inputs)
        np.testing.assert_array_equal(
            interpret(graph, named(inputs))["y0"], np.zeros((1, filters, 3, 4))
        )


def test_scaled_product_of_no_depth() -> None:
    arrays = {"x": real(2, 0), "w": real(0, 3), "s": real(3)}
    nodes = [Node("MatMul", ("x", "w"), ("t",)), Node("Mul", ("t", "s"), ("y",))]
    graph = graph_of(nodes, arrays, ["y"], ["w", "s"])
    np.testing.assert_array_equal(lc.compile(graph).run({"x": arrays["x"]})["y"], np.zeros((2, 3)))
