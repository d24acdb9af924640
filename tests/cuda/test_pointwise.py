"""Pointwise groups on the stand-in device: to the bit what the CPU computes."""

from __future__ import annotations

import numpy as np
import pytest

import layercc as lc
from layercc.cuda.codegen import words
from layercc.kernels import math_f64
from tests.cuda.running import check_node, on_device

pytestmark = pytest.mark.usefixtures("stand_in")
RNG = np.random.default_rng(0)
SPECIAL = [0.0, -0.0, np.inf, -np.inf, np.nan, 1e-40, -1e-40, 88.9, -104.5, 0.5, 1.5, 2.5]


def values(n: int, dtype: str = "f4") -> np.ndarray:
    array = (RNG.standard_normal(n) * 4).astype(dtype)
    array[: min(n, len(SPECIAL))] = np.array(SPECIAL[:n], dtype)
    return array


def both(text: str, **inputs: np.ndarray) -> None:
    """Compares bits; NaN is NaN."""
    graph = lc.parse_graph(text)
    found, expected = on_device(graph, inputs), lc.compile(graph).run(inputs)
    for name, array in expected.items():
        assert found[name].dtype == array.dtype
        one, other = (a.astype("f8") if a.dtype.kind in "fV" else a for a in (found[name], array))
        np.testing.assert_array_equal(one, other)
        number = ~np.isnan(other)
        np.testing.assert_array_equal(np.signbit(one[number]), np.signbit(other[number]))


OPS = (
    "Exp Log Tanh Sigmoid Erf Softplus Mish Gelu Sqrt Sin Cos Round Floor Ceil Abs Sign Reciprocal "
    "HardSwish Elu Selu"
)


def test_functions():
    lines = [f"  y{i} = {op}(x)" for i, op in enumerate(OPS.split())]
    outputs = ", ".join(f"y{i}" for i in range(len(OPS.split())))
    both(f"graph g(x: f32[N]) -> ({outputs}) {{\n" + "\n".join(lines) + "\n}", x=values(301))


@pytest.mark.parametrize("n", [1, 3, 4, 1023])
def test_ends(n):
    both("graph g(x: f32[N]) -> (y) {\n y = Relu(x)\n}", x=values(n))


def test_empty():
    both("graph g(x: f32[N]) -> (y) {\n y = Relu(x)\n}", x=values(0))


@pytest.mark.parametrize(
    ("a", "b"),
    [((5, 8), (8,)), ((5, 7), (7,)), ((5, 8), (5, 1)), ((2, 3, 4, 8), (3, 1, 8)),
     ((2, 1, 5), (1, 3, 1)), ((4, 4), ())],
)  # fmt: skip
def test_broadcast(a, b):
    check_node("Sub", [RNG.standard_normal(s).astype("f4") for s in (a, b)])


@pytest.mark.parametrize("dtype", ["f2", "f8", "u1", "i4", "i8"])
def test_types(dtype):
    check_node("Add", [values(37, dtype), values(37, dtype)] if dtype[0] == "f" else
               [RNG.integers(0, 200, 37).astype(dtype) for _ in range(2)])  # fmt: skip


def test_bools_and_casts():
    both(
        "graph g(x: f32[N], z: f32[N]) -> (y, w, h, b) {\n"
        " c = Less(x, z)\n y = Where(c, x, z)\n w = Cast(c) {to=6}\n h = Cast(x) {to=10}\n"
        " b = Cast(x) {to=16}\n}",
        x=values(37), z=values(37)[::-1].copy(),
    )  # fmt: skip


def test_each_op_rounds_by_itself():
    """A product and a sum of a model are two roundings."""
    x = values(64)
    both("graph g(a: f32[N], b: f32[N], c: f32[N]) -> (y) {\n p = Mul(a, b)\n y = Add(p, c)\n}",
         a=x, b=x[::-1].copy(), c=(-(x * x[::-1])).astype("f4"))  # fmt: skip


def test_powers():
    both("graph g(x: f32[N], z: f32[N]) -> (y) {\n a = Abs(x)\n y = Pow(a, z)\n}",
         x=values(64), z=values(64)[::-1].copy())  # fmt: skip


def test_remainders_of_large_quotients():
    """Not from a rounded quotient, as NVPTX takes them."""
    x, z = np.full(9, 1e30, "f4"), np.arange(3, 12).astype("f4")
    both("graph g(x: f32[N], z: f32[N]) -> (y) {\n y = Mod(x, z) {fmod=1}\n}", x=x, z=z)


def test_what_cannot_be_had_falls_back(monkeypatch, tmp_path):
    """If f64's erf were the C library's only: the CPU runs it, and a warning says so."""
    monkeypatch.delitem(words.OWN, math_f64.erf)
    monkeypatch.setenv("LAYERCC_CACHE_DIR", str(tmp_path))
    graph = lc.parse_graph("graph g(x: f64[N]) -> (y) {\n y = Erf(x)\n}")
    x = values(9, "f8")
    with pytest.warns(RuntimeWarning, match="target cpu runs what cuda cannot: Erf ×1"):
        model = lc.compile(graph, target="cuda", example_inputs=[x])
    np.testing.assert_array_equal(model(x), lc.compile(graph)(x))
