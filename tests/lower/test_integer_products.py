"""Products of plain integers: MatMul, Gemm and Einsum wrap around, as NumPy's do."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
import pytest

import layercc as lc
from ir.graph import Node
from ir.interpreter import interpret
from tests.support import graph_of, named, one_node, run_graph

pytestmark = pytest.mark.every_isa

WIDE = [np.int32, np.uint32, np.int64, np.uint64]
NARROW = [np.int8, np.uint8, np.int16, np.uint16]


def whole(dtype: Any, *shape: int) -> np.ndarray:
    """Random values over the whole range of the type, with its limits among them."""
    limits = np.iinfo(dtype)
    rng = np.random.default_rng(zlib.crc32(str((dtype, shape)).encode()))
    values = rng.integers(limits.min, limits.max, shape, dtype, endpoint=True)
    ends = np.array([limits.min, limits.max], dtype)[rng.integers(0, 2, shape)]
    return np.where(rng.random(shape) < 0.1, ends, values)


def check(op: str, inputs: list[np.ndarray], attributes: dict | None = None) -> None:
    """The node, compiled with its right operand as an input and as a constant, is exact."""
    for constants in ((), (1,)):
        graph = one_node(op, inputs, attributes, constants=constants)
        given = {name: named(inputs)[name] for name in graph.input_names}
        (found,) = run_graph(graph, given, passes=True, threads=2).values()
        (wanted,) = interpret(graph, given).values()
        assert found.dtype == wanted.dtype == inputs[0].dtype
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("dtype", [np.int32, np.uint32, np.int64, np.uint64])
@pytest.mark.parametrize(
    "a, b, wanted",
    [
        ([[-1]], [[-1]], [[1]]),
        ([[100000]], [[3]], [[300000]]),
        ([[1, 2]], [[3], [4]], [[11]]),
        ([[65536, 1]], [[65536], [7]], [[65536 * 65536 + 7]]),
        ([[2**31 - 1]], [[2]], [[2**32 - 2]]),
        ([[2**31]], [[2**33]], [[2**64]]),
        ([[-5, 70000]], [[70000], [5]], [[0]]),
        ([[-(2**15), 2**15]], [[2**16 + 1], [2**16 - 1]], [[-(2**16)]]),
    ],
    ids=str,
)
def test_values(dtype: Any, a: list, b: list, wanted: list) -> None:
    """Written out, so that they do not depend on any reference."""
    bits = 2 ** (8 * np.dtype(dtype).itemsize)

    def array(values: list) -> np.ndarray:
        return np.array([[v % bits for v in row] for row in values], np.uint64).astype(dtype)

    graph = one_node("MatMul", [array(a), array(b)])
    (found,) = lc.compile(graph).run({"x0": array(a), "x1": array(b)}).values()
    np.testing.assert_array_equal(found, array(wanted))


PRODUCTS = [
    ((1, 1), (1, 1)),
    ((7, 13), (13, 67)),
    ((3, 600), (600, 5)),
    ((65, 64), (64, 16)),
    ((5,), (5,)),
    ((5,), (5, 7)),
    ((3, 5), (5,)),
    ((5,), (4, 5, 7)),
    ((4, 3, 5), (5, 7)),
    ((2, 3, 4, 5), (2, 3, 5, 6)),
    ((2, 1, 4, 5), (3, 5, 6)),
    ((3, 1, 1, 4, 5), (2, 1, 5, 6)),
    ((0, 5), (5, 7)),
    ((3, 5), (5, 0)),
    ((3, 0), (0, 7)),
    ((2, 3, 0), (2, 0, 7)),
    ((0,), (0,)),
]


@pytest.mark.parametrize("dtype", WIDE)
@pytest.mark.parametrize(("left", "right"), PRODUCTS, ids=str)
def test_products(left: tuple, right: tuple, dtype: Any) -> None:
    check("MatMul", [whole(dtype, *left), whole(dtype, *right)])


@pytest.mark.parametrize("dtype", NARROW)
def test_narrow_products(dtype: Any) -> None:
    for left, right in (((1, 1), (1, 1)), ((7, 300), (300, 19)), ((3, 0), (0, 7))):
        check("MatMul", [whole(dtype, *left), whole(dtype, *right)])


@pytest.mark.parametrize("dtype", [np.int32, np.uint64, np.uint8])
@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"transA": 1},
        {"transB": 1, "beta": 0.0},
        {"transA": 1, "transB": 1, "alpha": 3.0, "beta": -1.0},
        {"alpha": -2.0, "beta": 65537.0},
    ],
    ids=str,
)
@pytest.mark.sampled(2)
def test_gemm(dtype: Any, attributes: dict) -> None:
    a = whole(dtype, *((13, 7) if "transA" in attributes else (7, 13)))
    b = whole(dtype, *((5, 13) if "transB" in attributes else (13, 5)))
    check("Gemm", [a, b], {**attributes, "alpha": 1.0})
    check("Gemm", [a, b, whole(dtype, 5)], attributes)


def test_gemm_by_fractions() -> None:
    """Products and sums in float64, cut off towards zero."""
    a, b = np.array([[3, -5]], np.int32), np.array([[1, 2], [1, 1]], np.int32)
    c = np.array([7, -9], np.int32)
    graph = one_node("Gemm", [a, b, c], {"alpha": 0.5, "beta": 0.25})
    (found,) = run_graph(graph, {"x0": a, "x1": b, "x2": c}, passes=True).values()
    np.testing.assert_array_equal(found, np.array([[0, -1]], np.int32))  # 0.75, -1.75
    check("Gemm", [a, b, c], {"alpha": 0.5, "beta": 0.25})


@pytest.mark.parametrize("dtype", [np.int32, np.uint64, np.int8])
@pytest.mark.parametrize(
    "equation, shapes",
    [
        ("ij,jk->ik", [(3, 5), (5, 7)]),
        ("ij,jk", [(1, 1), (1, 1)]),
        ("bij,bjk->bik", [(2, 3, 5), (2, 5, 7)]),
        ("bhqd,bhkd->bhqk", [(2, 3, 4, 5), (2, 3, 6, 5)]),
        ("i,i->", [(9,), (9,)]),
        ("i,j->ij", [(3,), (4,)]),
        ("...ij,...jk", [(2, 3, 5), (1, 5, 7)]),
        ("ij,jk,kl->il", [(2, 3), (3, 4), (4, 5)]),
        ("ij->j", [(3, 4)]),
        ("ij,kj->ik", [(3, 0), (4, 0)]),
    ],
    ids=str,
)
def test_einsum(equation: str, shapes: list, dtype: Any) -> None:
    inputs = [whole(dtype, *shape) for shape in shapes]
    graph = one_node("Einsum", inputs, {"equation": equation})
    (found,) = run_graph(graph, named(inputs), passes=True).values()
    assert found.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(found, np.einsum(equation, *inputs))


@pytest.mark.parametrize("dtype", [np.int32, np.uint64, np.int8])
@pytest.mark.parametrize("left", [(5, 9), (2, 3, 9), (1, 9), (70, 9)], ids=str)
@pytest.mark.sampled(2)
def test_epilogues(dtype: Any, left: tuple) -> None:
    """Pointwise ops fused behind: their signs matter, and what the sum's do not."""
    arrays = {
        "x": whole(dtype, *left),
        "w": whole(dtype, 9, 11),
        "b": whole(dtype, 11),
        "r": whole(dtype, *left[:-1], 11),
        "c": whole(dtype, 1),
    }
    nodes = [
        Node("MatMul", ("x", "w"), ("s",)),
        Node("Add", ("s", "b"), ("t",)),
        Node("Max", ("t", "c"), ("u",)),
        Node("Mul", ("u", "r"), ("v",)),
        Node("Sub", ("r", "v"), ("y",)),
    ]
    graph = graph_of(nodes, arrays, ["y"], ["w", "b"])
    given = {name: arrays[name] for name in graph.input_names}
    found = run_graph(graph, given, passes=True, threads=2)["y"]
    np.testing.assert_array_equal(found, interpret(graph, given)["y"])


def test_relu_behind_a_product() -> None:
    x, w = whole(np.int32, 7, 13), whole(np.int32, 13, 67)
    nodes = [Node("MatMul", ("x", "w"), ("s",)), Node("Relu", ("s",), ("y",))]
    graph = graph_of(nodes, {"x": x, "w": w}, ["y"], ["w"])
    np.testing.assert_array_equal(
        run_graph(graph, {"x": x}, passes=True)["y"], np.maximum(x @ w, 0)
    )


def test_products_of_words_stay_apart() -> None:
    """A product of bytes and one of plain integers in one model: kernels of the same words."""
    a, b = whole(np.uint8, 7, 13), whole(np.int8, 13, 67)
    c = whole(np.int32, 67, 3)
    nodes = [Node("MatMulInteger", ("a", "b"), ("s",)), Node("MatMul", ("s", "c"), ("y",))]
    graph = graph_of(nodes, {"a": a, "b": b, "c": c}, ["y"], ["b"])
    found = run_graph(graph, {"a": a, "c": c}, passes=True)["y"]
    np.testing.assert_array_equal(found, (a.astype(np.int32) @ b.astype(np.int32)) @ c)


def test_threads_agree() -> None:
    a, b = whole(np.int64, 130, 257), whole(np.int64, 257, 300)
    graph = one_node("MatMul", [a, b])
    made = [run_graph(graph, {"x0": a, "x1": b}, threads=t)["y0"] for t in (1, 2, 3)]
    for found in made:
        np.testing.assert_array_equal(found, a @ b)
