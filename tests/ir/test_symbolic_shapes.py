"""Shape computations followed with symbolic dims, as exporters write them."""

from __future__ import annotations

import numpy as np
import pytest

import ir.ops  # noqa: F401  fills the registry
from ir.dims import evaluate
from ir.inference import infer
from ir.interpreter import interpret
from ir.parser import parse_graph

#: Name → (nodes that make `y` from `x`, the shape of `y`). Constants are declared where used.
CHAINS = {
    "heads split by Shape, Gather, Unsqueeze, Concat, Reshape": (
        """
        const zero: i64[] = 0
        const one: i64[] = 1
        const axes: i64[1] = [0]
        const heads: i64[2] = [12, 64]
        s = Shape(x)
        b = Gather(s, zero)
        t = Gather(s, one)
        b1 = Unsqueeze(b, axes)
        t1 = Unsqueeze(t, axes)
        target = Concat(b1, t1, heads) {axis=0}
        r = Reshape(x, target)
        y = Transpose(r) {perm=[0, 2, 1, 3]}
        """,
        "[B, 12, S, 64]",
    ),
    "heads by integer division": (
        """
        const two: i64[] = 2
        const heads: i64[] = 12
        const axes: i64[1] = [0]
        const front: i64[2] = [0, 0]
        s = Shape(x)
        d = Gather(s, two)
        each = Div(d, heads)
        e1 = Unsqueeze(each, axes)
        h1 = Unsqueeze(heads, axes)
        target = Concat(front, h1, e1) {axis=0}
        y = Reshape(x, target)
        """,
        "[B, S, 12, 64]",
    ),
    "batch and sequence merged": (
        """
        const ends: i64[1] = [2]
        const starts: i64[1] = [0]
        const axes: i64[1] = [0]
        const last: i64[1] = [768]
        s = Shape(x)
        bs = Slice(s, starts, ends)
        n = ReduceProd(bs, axes) {keepdims=1}
        target = Concat(n, last) {axis=0}
        y = Reshape(x, target)
        """,
        "[B*S, 768]",
    ),
    "merged by Mul, with -1": (
        """
        const last: i64[1] = [-1]
        b = Shape(x) {start=0, end=1}
        t = Shape(x) {start=1, end=2}
        n = Mul(b, t)
        target = Concat(n, last) {axis=0}
        y = Reshape(x, target)
        """,
        "[B*S, 768]",
    ),
    "half the sequence, through floats": (
        """
        const half: f32[] = 2.0
        const zero: i64[1] = [0]
        const axes: i64[1] = [1]
        t = Shape(x) {start=1, end=2}
        f = Cast(t) {to=1}
        q = Div(f, half)
        w = Floor(q)
        n = Cast(w) {to=7}
        y = Slice(x, zero, n, axes)
        """,
        "[B, floor(S/2), 768]",
    ),
    "scaled by a half, rounded up": (
        """
        const half: f32[] = 0.5
        const b: i64[1] = [3]
        t = Shape(x) {start=1, end=2}
        f = Cast(t) {to=1}
        q = Mul(f, half)
        w = Ceil(q)
        n = Cast(w) {to=7}
        target = Concat(b, n) {axis=0}
        const one: f32[1, 1] = [[1.0]]
        y = Expand(one, target)
        """,
        "[3, floor((S + 1)/2)]",
    ),
    "Expand by Where(Equal(shape, -1), 1, shape)": (
        """
        const minus: i64[] = -1
        const one: i64[] = 1
        s = Shape(x)
        ask = Equal(s, minus)
        target = Where(ask, one, s)
        const unit: f32[1, 1, 1] = [[[1.0]]]
        y = Expand(unit, target)
        """,
        "[B, S, 768]",
    ),
    "positions by Range": (
        """
        const zero: i64[] = 0
        const one: i64[] = 1
        s = Shape(x)
        t = Gather(s, one)
        r = Range(zero, t, one)
        const axes: i64[1] = [0]
        y = Unsqueeze(r, axes)
        """,
        "[1, S]",
    ),
    "mask by ConstantOfShape": (
        """
        const axes: i64[1] = [0]
        const one: i64[] = 1
        s = Shape(x)
        t = Gather(s, one)
        t1 = Unsqueeze(t, axes)
        dims = Concat(t1, t1) {axis=0}
        m = ConstantOfShape(dims)
        y = Trilu(m)
        """,
        "[S, S]",
    ),
    "negative index, Squeeze, Split": (
        """
        const at: i64[1] = [-2]
        const axes: i64[1] = [0]
        s = Shape(x)
        g = Gather(s, at)
        q = Squeeze(g, axes)
        u = Unsqueeze(q, axes)
        const one: i64[1] = [1]
        both = Concat(u, one) {axis=0}
        first, _ = Split(both) {axis=0, num_outputs=2}
        y = ConstantOfShape(first)
        """,
        "[S]",
    ),
    "all but the last, by Sub": (
        """
        const one: i64[1] = [1]
        const zero: i64[1] = [0]
        t = Shape(x) {start=1, end=2}
        n = Add(t, one)
        m = Sub(n, one)
        y = Slice(x, zero, m, one)
        """,
        "[B, S, 768]",
    ),
    "Size over the other dims": (
        """
        const width: i64[] = 768
        const axes: i64[1] = [0]
        n = Size(x)
        q = Div(n, width)
        u = Unsqueeze(q, axes)
        y = ConstantOfShape(u)
        """,
        "[B*S]",
    ),
    "the first of a dim, which is 1 if it is there, spread over 3": (
        """
        const zero: i64[1] = [0]
        const one: i64[1] = [1]
        const three: f32[3, 1] = [[1.0], [2.0], [3.0]]
        first = Slice(x, zero, one, one)
        y = Add(first, three)
        """,
        "[B, 3, 768]",
    ),
    "a dim written into a shape by ScatterND": (
        """
        const base: i64[3] = [1, 1, 768]
        const at: i64[1, 1] = [[1]]
        t = Shape(x) {start=1, end=2}
        target = ScatterND(base, at, t)
        y = ConstantOfShape(target)
        """,
        "[1, S, 768]",
    ),
}


@pytest.mark.parametrize("name", CHAINS)
def test_chain(name: str) -> None:
    body, expected = CHAINS[name]
    graph = parse_graph(f"graph chain(x: f32[B, S, 768]) -> (y) {{{body}}}")
    found = infer(graph)
    found.raise_for_errors()
    shape = found.types["y"].shape
    assert f"[{', '.join(map(str, shape))}]" == expected
    for b, s in ((1, 1), (2, 7)):
        made = interpret(graph, {"x": np.zeros((b, s, 768), np.float32)})["y"]
        assert made.shape == tuple(evaluate(dim, {"B": b, "S": s}) for dim in shape)


def test_undecided_values_stay_unknown() -> None:
    """A comparison that depends on the batch is not guessed, nor does it stop inference."""
    graph = parse_graph(
        """graph g(x: f32[B, S]) -> (y) {
          const one: i64[] = 1
          const zero: i64[1] = [0]
          t = Shape(x) {start=0, end=1}
          c = Greater(t, one)
          y = Where(c, t, zero)
        }"""
    )
    found = infer(graph)
    found.raise_for_errors()
    assert "y" not in found.values and "c" not in found.values
    assert found.types["y"].shape == (1,)


def test_sizes_that_are_not_followed_leave_dims_open() -> None:
    """A size worked out in floats, as `recompute_scale_factor` of PyTorch's interpolate is."""
    graph = parse_graph(
        """graph g(x: f32[N, 3, H]) -> (y) {
          const factor: f32[] = 0.6
          front = Shape(x) {start=0, end=2}
          size = Shape(x) {start=2, end=3}
          exact = Cast(size) {to=1}
          scaled = Mul(exact, factor)
          whole = Floor(scaled)
          last = Cast(whole) {to=7}
          sizes = Concat(front, last) {axis=0}
          y = Resize(x, _, _, sizes) {mode="linear"}
        }"""
    )
    found = infer(graph)
    found.raise_for_errors()
    assert found.types["y"].rank == 3
    known = infer(graph, {"x": (2, 3, 17)})
    known.raise_for_errors()
    assert known.types["y"].shape == (2, 3, 10)


def test_dims_too_complex_to_follow() -> None:
    """A product of more terms than a dim may have: symbols stand for its factors."""
    a, b = (" + ".join(f"floor({name}{i}/7)" for i in range(12)) for name in "AB")
    graph = parse_graph(
        f"""graph g(x: f32[{a}, {b}]) -> (y, z) {{
          const flat: i64[1] = [-1]
          y = Reshape(x, flat)
          r = Relu(x)
          z = Reshape(r, flat)
        }}"""
    )
    found = infer(graph)
    found.raise_for_errors()
    assert found.types["y"] == found.types["z"]
    assert found.types["y"].rank == 1
