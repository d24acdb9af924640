"""Names that nothing else has, and subgraphs that become part of the graph around them."""

from __future__ import annotations

import numpy as np

import ir.ops  # noqa: F401  fills the registry
from ir.graph import Graph
from ir.inlining import open_group
from ir.interpreter import interpret
from ir.naming import Names
from ir.parser import parse_graph


def test_fresh_names() -> None:
    names = Names({"a", "b", "b.1"})
    assert [names.fresh(hint) for hint in ("c", "c", "a", "b", "a")] == [
        "c", "c.1", "a.1", "b.2", "a.2",
    ]  # fmt: skip
    names.take(["a.3"])
    assert names.fresh("a") == "a.4" and "a.4" in names
    assert Names({"a"}, "_").fresh("a") == "a_1"


GROUP = """
graph g(x: f32[N, 4], w: f32[4]) -> (y, z, same, again, one) {
  y, z, same, again, one = layercc.Fused(x, w) {kind="pointwise"}
    body (a: f32[N, 4], w: f32[4]) -> (y, c, a, y, k) {
      const k: f32[] = 2
      x = Mul(a, w)
      y = Add(x, k)
      c = Exp(x)
    }
}
"""


def test_an_open_group_means_the_same() -> None:
    """Its own names may be those of the graph around it; outputs may be inputs, constants, or each
    other."""
    graph = parse_graph(GROUP)
    opened = graph.copy()
    opened.nodes = []
    names = Names(graph.value_names())
    open_group(opened, graph.nodes[0], names.fresh)
    assert {node.op for node in opened.nodes} == {"Mul", "Add", "Exp", "Identity"}
    inputs = {"x": np.float32([[1, 2, 3, 4]]), "w": np.float32([1, 0, -1, 2])}
    wanted, found = (interpret(each, inputs) for each in (graph, opened))
    for name, array in wanted.items():
        np.testing.assert_array_equal(found[name], array)


def test_each_output_of_an_open_group_is_made_once() -> None:
    graph = parse_graph(GROUP)
    node = graph.nodes[0]
    opened = Graph()
    open_group(opened, node, Names(graph.value_names()).fresh)
    made = [name for each in opened.nodes for name in each.outputs]
    assert len(made) == len(set(made)) and {*node.outputs} <= {*made}
