"""Convolutions and matrix products on tensor cores, on the stand-in device."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import layercc as lc
from ir.dtypes import DType
from layercc import algorithms
from layercc.cuda import driver
from layercc.cuda.algorithms import tensor_cores
from layercc.cuda.kernels import implicit_gemm as kernels
from layercc.cuda.paper import PaperPlan
from layercc.lower import concrete_inference, lower
from layercc.passes.pipeline import run_passes
from tests.cuda.running import check_node, distance, on_device
from tests.cuda.stand_in import StandIn

RNG = np.random.default_rng(0)
ERROR = 1e-6


@pytest.fixture
def taken(stand_in: StandIn, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    """Tensor cores are taken wherever they fit."""
    (own,) = tensor_cores.ALGORITHMS
    free = (replace(own, cost=lambda job, limits: 0.0),)
    monkeypatch.setattr(tensor_cores, "ALGORITHMS", free)
    algorithms.algorithms_in.cache_clear()
    yield stand_in
    algorithms.algorithms_in.cache_clear()
    assert launched(stand_in)


on_tensor_cores = pytest.mark.usefixtures("taken")


def launched(device: StandIn, name: str = "implicit_gemm") -> int:
    """Launches of kernels of a family."""
    return sum(n for each, n in device.launched.items() if each.startswith(f"layercc_{name}"))


def one_tile(monkeypatch: pytest.MonkeyPatch, tile: int, split: bool) -> None:
    """All products are scheduled so, where a sum can be split."""

    def schedule(builder, job, arithmetic, slices, stretches):
        return kernels.TILES[tile], split and stretches > 1

    monkeypatch.setattr(tensor_cores, "schedule", schedule)


def some(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ((70, 37), (37, 67)),  # odd sizes, several blocks, 4 bytes at a time
        ((5, 600), (600, 40)),  # few rows, split sums
        ((2, 3, 17, 40), (3, 40, 11)),  # batches, broadcast
        ((5,), (5, 3)),
        ((0, 4), (4, 9)),
    ],
)
@pytest.mark.parametrize("constant", [False, True])
@pytest.mark.sampled(2)
def test_matmul(a, b, constant, taken):
    check_node("MatMul", [some(*a), some(*b)], constants=[1] if constant else [], error=ERROR)
    taken.launched["layercc_implicit_gemm"] += 0 in a  # nothing to launch


CONVOLUTIONS = [
    # x, w, attributes
    ((2, 3, 9, 11), (10, 3, 3, 3), {"pads": (1, 1, 1, 1)}),
    ((1, 20, 7, 7), (9, 20, 1, 1), {}),  # a matrix product
    ((1, 20, 7, 7), (9, 20, 1, 1), {"strides": (2, 2)}),
    ((1, 16, 12, 13), (18, 8, 3, 2), {"group": 2, "strides": (2, 3), "pads": (0, 2, 1, 1),
                                      "dilations": (2, 1)}),
    ((2, 6, 40), (8, 6, 3), {}),  # one dim, 8 bytes at a time
    ((1, 4, 5, 6, 7), (9, 4, 2, 3, 3), {"pads": (1, 0, 1, 0, 1, 1)}),  # three
]  # fmt: skip


@on_tensor_cores
@pytest.mark.parametrize(("x", "w", "attributes"), CONVOLUTIONS)
@pytest.mark.sampled(3)
def test_convolution(x, w, attributes):
    check_node("Conv", [some(*x), some(*w), some(w[0])], attributes, constants=[1, 2], error=ERROR)


@on_tensor_cores
def test_convolution_by_weights_that_are_computed():
    check_node("Conv", [some(1, 3, 6, 6), some(9, 3, 3, 3)], {}, error=ERROR)


PRODUCT = "graph g(x: f32[N,{k}], w: f32[{k},{n}]) -> (y) {{\n y = MatMul(x, w)\n}}"


@on_tensor_cores
@pytest.mark.parametrize(
    ("precision", "least", "most"),
    [("highest", 0, 3e-7), ("high", 1e-6, 1e-5), ("medium", 1e-3, 4e-3)],
)
def test_errors_by_precision(precision, least, most):
    """Of a sum of 768 terms; in order, float32 is off by 5e-7."""
    x, w = some(64, 768), some(768, 48)
    graph = lc.parse_graph(PRODUCT.format(k=768, n=48))
    found = on_device(graph, {"x": x, "w": w}, precision=precision)["y"]
    assert least <= distance(found, x.astype("f8") @ w.astype("f8")) <= most


@on_tensor_cores
@pytest.mark.parametrize("precision", ["highest", "high", "medium"])
def test_what_is_not_finite_spreads_as_in_float32(precision):
    rng = np.random.default_rng(0)  # where no sum overflows in one order and not in another
    x, w = (rng.standard_normal(shape).astype("f4") for shape in ((20, 40), (40, 24)))
    x[3, 3], x[5, 7], x[6, 7], x[8, 1], x[9, 9] = np.nan, np.inf, -np.inf, 3.4e38, 1e-42
    w[11, 4], w[12, 5], w[1, 6], w[13, 7] = np.inf, np.nan, 1e-3, 3.4e38
    w[7, 8] = 0
    graph = lc.parse_graph(PRODUCT.format(k=40, n=24))
    found = on_device(graph, {"x": x, "w": w}, precision=precision)["y"]
    with np.errstate(all="ignore"):
        expected = (x.astype("f8") @ w.astype("f8")).astype("f4")
    np.testing.assert_array_equal(np.isfinite(found), np.isfinite(expected))
    odd = ~np.isfinite(expected)
    np.testing.assert_array_equal(found[odd], expected[odd])


@pytest.mark.parametrize("tile", range(len(kernels.TILES)))
@pytest.mark.parametrize("split", [False, True])
@pytest.mark.sampled(3)
def test_the_same_bits_whatever_the_schedule(tile, split, monkeypatch, taken):
    """Neither the shape of tiles nor a split changes a bit: so a sample gives the same alone and in
    any batch, for which other tiles are taken."""
    rng = np.random.default_rng(1)
    x, w = (rng.standard_normal(shape).astype("f4") for shape in ((9, 300), (300, 20)))
    graph = lc.parse_graph(PRODUCT.format(k=300, n=20))
    one_tile(monkeypatch, 3, False)
    expected = on_device(graph, {"x": x, "w": w})["y"]
    one_tile(monkeypatch, tile, split)
    found = on_device(graph, {"x": x[2:8], "w": w})["y"]
    np.testing.assert_array_equal(found.view("u4"), expected[2:8].view("u4"))
    assert launched(taken, "added_stretches") == split


def test_epilogue_of_a_split_sum(monkeypatch, taken):
    """Bias, residual and activation behind the sum of the parts."""
    one_tile(monkeypatch, 2, True)
    graph = lc.parse_graph(
        "graph g(x: f32[1,48,6,6], w: f32[9,48,3,3], b: f32[9], r: f32[1,9,4,4]) -> (y) {\n"
        " c = Conv(x, w, b)\n s = Add(c, r)\n y = Relu(s)\n}"
    )
    inputs = {"x": some(1, 48, 6, 6), "w": some(9, 48, 3, 3), "b": some(9), "r": some(1, 9, 4, 4)}
    graph.constants = {name: inputs[name] for name in "wb"}
    graph.inputs = [value for value in graph.inputs if value.name in "xr"]
    given = {name: inputs[name] for name in "xr"}
    found, expected = on_device(graph, given)["y"], lc.compile(graph).run(given)["y"]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    assert launched(taken, "added_stretches") == 1


def test_the_order_of_a_sum_hangs_on_its_depth_alone():
    for slices in range(1, 400):
        stretch = tensor_cores.stretch_of(slices)
        count = -(-slices // stretch)
        assert count <= 16 and (count == 1 or stretch >= 4)
    assert -(-24 // tensor_cores.stretch_of(24)) == 6


def plan_of(text: str, shapes: dict[str, tuple[int, ...]], **options: Any) -> PaperPlan:
    """On paper."""
    graph = run_passes(lc.parse_graph(text))
    workload = lower(graph, shapes, concrete_inference(graph, shapes))
    settings = {"precision": "highest", "choices": {}} | options
    plan = lc.CudaTarget("sm_90a").open(**settings).plan(workload)
    assert isinstance(plan, PaperPlan)
    return plan


def test_an_algorithm_by_name():
    text, shapes = PRODUCT.format(k=37, n=9), {"x": (3, 37), "w": (37, 9)}
    for name in ("cuda_cores", "tensor_cores"):
        plan = plan_of(text, shapes, choices={"f32,f32 g1 rows k37 n9": name})
        row = plan.program.calls[-1]
        assert row.algorithm == name and row.shape_class == "f32,f32 g1 rows k37 n9"
    with pytest.raises(ValueError, match=r"no algorithm 'fast'.*cuda_cores, tensor_cores"):
        plan_of(text, shapes, choices={"f32,f32 g1 rows k37 n9": "fast"})


@pytest.mark.parametrize(
    ("k", "n", "name"),
    [(768, 768, "tensor_cores"), (64, 64, "tensor_cores"), (64, 4, "cuda_cores")],
)
def test_the_choice_does_not_hang_on_the_batch(k, n, name):
    text = PRODUCT.format(k=k, n=n)
    for rows in (1, 64, 5000):
        calls = plan_of(text, {"x": (rows, k), "w": (k, n)}).program.calls
        assert {call.algorithm for call in calls if "transpose" not in str(call.key)} == {name}


def test_sums_are_split_where_there_are_few_blocks():
    split = {}
    for rows in (1, 16, 128, 4096):
        keys = plan_of(PRODUCT.format(k=4096, n=256), {"x": (rows, 4096), "w": (4096, 256)})
        split[rows] = any(call.key.family == "gpu.added_stretches" for call in keys.program.calls)
    assert split == {1: True, 16: True, 128: True, 4096: False}


def half(array: np.ndarray, dtype: str) -> np.ndarray:
    return array.astype(DType[dtype].value)


@pytest.mark.parametrize("dtype", ["f16", "bf16"])
@pytest.mark.sampled(2)
def test_halves_are_multiplied_as_they_are(dtype, stand_in):
    """By tensor cores where the depth is even, else by CUDA cores; rounded once, then each op by
    itself."""
    graph = lc.parse_graph(
        f"graph g(x: {dtype}[2,8,9,7], w: {dtype}[40,8,3,3], v: {dtype}[5,40,1,1]) -> (z) {{\n"
        " c = Conv(x, w) {pads=[1, 1, 1, 1]}\n s = Add(c, c)\n y = Relu(s)\n z = Conv(y, v)\n}"
    )
    shapes = {"x": (2, 8, 9, 7), "w": (40, 8, 3, 3), "v": (5, 40, 1, 1)}
    given = {name: half(some(*shape), dtype) for name, shape in shapes.items()}
    graph.constants = {name: given[name] for name in "wv"}
    graph.inputs = [value for value in graph.inputs if value.name == "x"]
    found = on_device(graph, {"x": given["x"]})["z"]
    wide = {name: array.astype("f4") for name, array in given.items()}
    exact = {"f16": 2e-3, "bf16": 2e-2}[dtype]
    middle = half(2 * convolved(wide["x"], wide["w"]), dtype).astype("f4")
    expected = convolved(np.maximum(middle, 0), wide["v"], pads=0)
    assert found.dtype == given["x"].dtype
    assert distance(found.astype("f8"), expected.astype("f8")) < exact
    assert launched(stand_in)


def convolved(x: np.ndarray, w: np.ndarray, pads: int = 1) -> np.ndarray:
    """By NumPy, in float64."""
    x = np.pad(x.astype("f8"), ((0, 0), (0, 0), (pads, pads), (pads, pads)))
    seen = np.lib.stride_tricks.sliding_window_view(x, w.shape[2:], axis=(2, 3))
    return np.einsum("nchwij,ocij->nohw", seen, w.astype("f8"))


@pytest.mark.parametrize("dtype", ["f16", "bf16"])
@pytest.mark.parametrize(("k", "n"), [(33, 20), (64, 40), (300, 40)])
@pytest.mark.sampled(2)
def test_products_of_halves(dtype, k, n, stand_in):
    """An odd depth is left to CUDA cores; tiles and single elements."""
    graph = lc.parse_graph(
        f"graph g(x: {dtype}[N,{k}], w: {dtype}[{k},{n}]) -> (y) {{\n y = MatMul(x, w)\n}}"
    )
    x, w = half(some(19, k), dtype), half(some(k, n), dtype)
    found = on_device(graph, {"x": x, "w": w})["y"]
    exact = x.astype("f8") @ w.astype("f8")
    rounded = half(exact, dtype).astype("f8")
    assert found.dtype == x.dtype
    assert distance(found.astype("f8"), exact) <= 1.2 * distance(rounded, exact)
    assert bool(launched(stand_in)) == (k % 2 == 0)
    alone = on_device(graph, {"x": x[3:4], "w": w})["y"]
    np.testing.assert_array_equal(alone.view("u2"), found[3:4].view("u2"))


@pytest.mark.parametrize("room", [99 << 10, 227 << 10])
def test_blocks_fit_the_device(room, monkeypatch):
    """Later devices of a generation may have less shared memory than its first."""
    device_here = StandIn(capability=(8, 9), shared=room)
    monkeypatch.setattr(driver, "bindings", lambda: device_here)
    driver.device.cache_clear()
    architecture = lc.CudaTarget("cuda").architecture()
    driver.device.cache_clear()
    assert architecture.shared_of_block == min(room, 163 << 10)
    for words in (0, 1, 4):
        for arithmetic in kernels.ARITHMETIC:
            sizes = [
                kernels.shared_bytes(arithmetic, tile, split, words)
                for tile in kernels.TILES
                for split in (False, True)
            ]
            assert min(sizes) < 99 << 10
