"""Einsum, decomposed by its pass, compiled, and compared with NumPy's."""

from __future__ import annotations

import numpy as np
import pytest

from ir.parser import parse_graph
from tests.support import named, one_node, run_graph

CASES: list[tuple[str, list[tuple[int, ...]]]] = [
    ("ij,jk->ik", [(3, 5), (5, 67)]),
    ("ij,jk", [(3, 5), (5, 7)]),
    ("bhqd,bhkd->bhqk", [(2, 3, 5, 7), (2, 3, 11, 7)]),
    ("bqhd,bkhd->bhqk", [(2, 5, 3, 7), (2, 11, 3, 7)]),
    ("bhqk,bkhd->bqhd", [(2, 3, 5, 11), (2, 11, 3, 7)]),
    ("abc,cde->abde", [(2, 3, 5), (5, 4, 7)]),
    ("abcd,cde->abe", [(2, 3, 4, 5), (4, 5, 6)]),
    ("...ij,...jk->...ik", [(2, 1, 3, 4), (5, 4, 6)]),
    ("i,i->", [(17,), (17,)]),
    ("i,j->ij", [(3,), (5,)]),
    ("ijk->ki", [(3, 4, 5)]),
    ("ij,ij->ij", [(3, 4), (3, 4)]),
    ("ij,kl->jl", [(3, 4), (5, 6)]),
    ("ab,bc,cd->ad", [(3, 4), (4, 5), (5, 6)]),
    ("bii->bi", [(3, 5, 5)]),
    ("ii->", [(7, 7)]),
    ("ibi,bijj->jb", [(3, 4, 3), (4, 3, 5, 5)]),
    ("ij,jk->ik", [(0, 5), (5, 7)]),
    ("ij,jk->ik", [(3, 0), (0, 7)]),
]


@pytest.mark.parametrize("equation, shapes", CASES, ids=str)
def test_against_numpy(equation: str, shapes: list[tuple[int, ...]]) -> None:
    rng = np.random.default_rng(3)
    arrays = [rng.standard_normal(shape).astype(np.float32) for shape in shapes]
    graph = one_node("Einsum", arrays, {"equation": equation})
    (got,) = run_graph(graph, named(arrays), passes=True).values()
    wanted = np.einsum(equation, *(array.astype(np.float64) for array in arrays))
    assert got.shape == wanted.shape
    np.testing.assert_allclose(got, wanted, rtol=3e-6, atol=3e-6)


# Operands as exporters declare them: dims of unknown size, some merged, some that may be 1
SYMBOLIC: list[tuple[str, str, str, list[tuple[int, ...]]]] = [
    ("binh,tnh->bnit", "B, I, 4, 16", "32, 4, 16", [(2, 5, 4, 16), (32, 4, 16)]),
    ("bnij,jbnd->ibnd", "max(B, C), 4, I, max(I, J)", "I, B, 4, 16", [(2, 4, 5, 5), (5, 2, 4, 16)]),
    ("bixd,bjyd->bixjy", "B, I, 8, 3", "B, J, 8, 3", [(2, 5, 8, 3), (2, 7, 8, 3)]),
    ("bhld,lrd->bhlr", "B, 4, L, 16", "L, R, 16", [(2, 4, 5, 16), (5, 7, 16)]),
    ("bij,bkj->kib", "B, I, J", "B, K, J", [(2, 5, 7), (2, 3, 7)]),
    ("bhi,hj->bihj", "B, 2, I", "2, J", [(3, 2, 5), (2, 7)]),
]


@pytest.mark.parametrize("equation, a, b, shapes", SYMBOLIC, ids=str)
def test_symbolic_dims(equation: str, a: str, b: str, shapes: list[tuple[int, ...]]) -> None:
    rng = np.random.default_rng(3)
    x, y = (rng.standard_normal(shape).astype(np.float32) for shape in shapes)
    graph = parse_graph(f"""
        graph einsum(x: f32[{a}], y: f32[{b}]) -> (z) {{
          z = Einsum(x, y) {{equation="{equation}"}}
        }}
    """)
    got = run_graph(graph, {"x": x, "y": y}, passes=True)["z"]
    wanted = np.einsum(equation, x.astype(np.float64), y.astype(np.float64))
    assert got.shape == wanted.shape
    np.testing.assert_allclose(got, wanted, rtol=3e-6, atol=3e-6)
