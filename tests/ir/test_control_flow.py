"""If, Loop and Scan: shapes through subgraphs, and the reference interpreter."""

from __future__ import annotations

import numpy as np
import pytest

import ir.ops  # noqa: F401  fills the registry
from ir.dims import symbols
from ir.graph import Graph
from ir.inference import infer
from ir.interpreter import interpret
from ir.parser import parse_graph

IF = """
graph g(c: bool[], x: f32[N, 4]) -> (y: f32[K, 4]) {
  const axes: i64[1] = [0]
  y = If(c) then_branch () -> (a) { a = Add(x, x) } else_branch () -> (b) { b = REPLACED }
}
"""


def shape_of(graph: Graph, name: str, **values: np.ndarray) -> str:
    found = infer(graph, values=values)
    found.raise_for_errors()
    return f"[{', '.join(map(str, found.types[name].shape))}]"


def test_if_keeps_what_both_branches_share() -> None:
    graph = parse_graph(IF.replace("REPLACED", "ReduceSum(x, axes) {keepdims=1}"))
    batch, width = infer(graph).types["y"].shape
    assert width == 4 and symbols(batch) - {"N"}
    assert shape_of(graph, "y", c=np.array(True)) == "[N, 4]"
    assert shape_of(graph, "y", c=np.array(False)) == "[1, 4]"
    x = np.ones((3, 4), np.float32)
    assert interpret(graph, {"c": np.array(True), "x": x})["y"].shape == (3, 4)
    assert interpret(graph, {"c": np.array(False), "x": x})["y"].tolist() == [[3, 3, 3, 3]]


def test_if_branches_of_different_rank_must_be_decided() -> None:
    graph = parse_graph(IF.replace("REPLACED", "Unsqueeze(x, axes)"), infer=False)
    (problem,) = infer(graph).errors
    assert problem.code == "data-dependent"
    assert "f32[N, 4] and f32[1, N, 4]" in problem.message
    assert shape_of(graph, "y", c=np.array(False)) == "[1, N, 4]"


def test_problems_in_a_branch_name_the_node_in_it() -> None:
    graph = parse_graph(IF.replace("REPLACED", "Concat(x, c) {axis=0}"), infer=False)
    assert any("Concat 'b'" in str(problem) for problem in infer(graph).errors)


FOR = """
graph g(n: i64[], x: f32[N, 4]) -> (total: f32[N, 4], rows: f32[R, 4]) {
  const yes: bool[] = true
  total, rows = Loop(n, yes, x) body (i: i64[], c: bool[], v: f32[N, 4]) -> (more, w, row) {
    const axes: i64[1] = [0]
    more = Identity(c)
    w = Add(v, x)
    row = ReduceSum(w, axes) {keepdims=0}
  }
}
"""


def test_loop_of_known_count_stacks_that_many() -> None:
    graph = parse_graph(FOR)
    assert shape_of(graph, "rows", n=np.array(3)) == "[3, 4]"
    assert shape_of(graph, "total", n=np.array(3)) == "[N, 4]"
    trips, width = infer(graph).types["rows"].shape
    assert symbols(trips) and width == 4
    made = interpret(graph, {"n": np.array(3), "x": np.ones((2, 4), np.float32)})
    assert made["total"].tolist() == [[4] * 4] * 2
    assert made["rows"].tolist() == [[4] * 4, [6] * 4, [8] * 4]
    none = interpret(graph, {"n": np.array(0), "x": np.ones((2, 4), np.float32)})
    assert none["rows"].shape == (0, 4)


GROWING = """
graph g(n: i64[], x: f32[N, 4]) -> (y, sizes) {
  y, sizes = Loop(n, _, x) body (i: i64[], c: bool[], v: f32[M, 4]) -> (more, w, size) {
    const limit: i64[] = 10
    w = Concat(v, x) {axis=0}
    size = Size(w)
    more = Less(size, limit)
  }
}
"""


def test_carried_dim_that_grows_becomes_a_symbol() -> None:
    graph = parse_graph(GROWING)
    rows, width = infer(graph).types["y"].shape
    assert width == 4 and symbols(rows) - {"N"}
    made = interpret(graph, {"n": np.array(9), "x": np.ones((1, 4), np.float32)})
    assert made["y"].shape == (3, 4)  # stops once there are 10 elements or more
    assert made["sizes"].tolist() == [8, 12]


def test_loop_whose_carried_rank_changes_is_refused() -> None:
    graph = parse_graph(FOR.replace("w = Add(v, x)", "w = Unsqueeze(v, axes)"), infer=False)
    assert "same dtype and rank would fit" in str(infer(graph).errors[0])


SCAN = """
graph g(start: f32[4], xs: f32[B, T, 4]) -> (last, all) {
  last, all = Scan(start, xs) {num_scan_inputs=1, scan_input_axes=[1], scan_output_axes=[1]
    DIRECTION} body (s: f32[4], x: f32[B, 4]) -> (t, y) {
    const axes: i64[1] = [0]
    y = Add(x, s)
    t = ReduceSum(y, axes) {keepdims=0}
  }
}
"""


@pytest.mark.parametrize("backwards", [0, 1])
def test_scan(backwards: int) -> None:
    direction = f", scan_input_directions=[{backwards}], scan_output_directions=[{backwards}]"
    graph = parse_graph(SCAN.replace("\n    DIRECTION", direction))
    assert shape_of(graph, "all") == "[B, T, 4]"
    assert shape_of(graph, "last") == "[4]"
    xs = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    made = interpret(graph, {"start": np.zeros(4, np.float32), "xs": xs})
    state, expected = np.zeros(4), np.zeros((2, 3, 4))
    for step in range(3)[:: -1 if backwards else 1]:
        expected[:, step] = xs[:, step] + state
        state = expected[:, step].sum(axis=0)
    np.testing.assert_array_equal(made["all"], expected)
    np.testing.assert_array_equal(made["last"], state)


def test_what_is_known_of_subgraphs_is_kept() -> None:
    """The branches that may run; the body at the types that hold for every trip."""
    graph = parse_graph(IF.replace("REPLACED", "Neg(x)"))
    (node,) = graph.nodes
    both = infer(graph).bodies[node]
    assert [set(body.types) - {"x", "axes"} for body in both] == [{"a"}, {"b"}]
    (taken,) = infer(graph, {"x": (3, 4)}, {"c": np.array(False)}).bodies[node]
    assert str(taken.types["b"]) == "f32[3, 4]"
    graph = parse_graph(FOR.replace("w = Add(v, x)", "w = Concat(v, x) {axis=0}"))
    (node,) = graph.nodes
    (body,) = infer(graph).bodies[node]
    rows, width = body.types["v"].shape
    assert width == 4 and isinstance(rows, str) and rows != "N"


def test_what_is_known_of_a_group_is_kept() -> None:
    graph = parse_graph("""
    graph g(x: f32[N, 4]) -> (y) {
      y = layercc.Fused(x) {kind="pointwise"} body (a: f32[N, 4]) -> (c) { b = Neg(a)
        c = Exp(b) }
    }""")
    (node,) = graph.nodes
    (body,) = infer(graph, {"x": (3, 4)}).bodies[node]
    assert {name: str(kind) for name, kind in body.types.items()} == dict.fromkeys(
        "abc", "f32[3, 4]"
    )
