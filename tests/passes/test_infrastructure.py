"""How passes are run: order, rounds, `until`, verification and what a failure says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ir.dtypes import DType
from ir.graph import Graph, Node
from ir.inference import infer
from ir.parser import parse_graph
from ir.text import print_graph
from ir.types import TensorType
from layercc.passes import PIPELINE, PassError, graph_pass, run_passes
from layercc.passes.clean_imports import clean_imports
from layercc.passes.infrastructure import watching

TEXT = """
graph small(x: f32[N, 4]) -> (y) {
  const two: f32[] = 2.0
  a = Identity(x)
  b = Pow(a, two)
  y = Relu(b)
}
"""


@graph_pass("optimize")
def misspell(graph: Graph) -> Graph:
    """Read a value that does not exist."""
    broken = graph.copy()
    broken.nodes[-1] = broken.nodes[-1].with_inputs(["nowhere"])
    return broken


@graph_pass("optimize")
def mistype(graph: Graph) -> Graph:
    """Say that a value has another type than it has."""
    broken = graph.copy()
    broken.types["y"] = TensorType(DType.i32, broken.types["y"].shape)
    return broken


@graph_pass("optimize")
def shrink(graph: Graph) -> Graph:
    """Return another shape than the graph did."""
    broken = graph.copy()
    broken.constants["axes"] = np.array([1])
    broken.nodes[-1] = Node("ReduceSum", ("b", "axes"), ("y",))
    broken.types = infer(broken).types
    return broken


@graph_pass("optimize")
def crash(graph: Graph) -> Graph:
    """Fail."""
    raise KeyError("lost")


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (misspell, "'nowhere' is not defined"),
        (mistype, "'y' is said to be i32"),
        (shrink, "'y' of the outputs was"),
        (crash, "lost"),
    ],
    ids=lambda value: str(value)[:8],
)
def test_failure_names_the_pass_and_those_before(fault, says: str) -> None:
    with pytest.raises(PassError, match=rf"(?s)pass {fault} .*clean_imports.*{says}"):
        run_passes(parse_graph(TEXT), [clean_imports, fault], verify=True)


def test_argument_is_not_changed() -> None:
    graph = parse_graph(TEXT)
    before = print_graph(graph)
    after = run_passes(graph)
    assert after is not graph
    assert print_graph(graph) == before


def test_until_stops_after_the_pass() -> None:
    seen: list[str] = []
    graph = parse_graph(TEXT)
    after = run_passes(
        graph, until="clean_imports", observe=lambda each, *_: seen.append(each.name)
    )
    assert seen[-1] == "clean_imports"
    assert [node.op for node in after.nodes] == ["Pow", "Relu"]
    with pytest.raises(ValueError, match="no pass is called 'cleaning'; there are"):
        run_passes(graph, until="cleaning")


def test_every_pass_is_described_and_named_once() -> None:
    assert all(each.description.endswith(".") for each in PIPELINE)
    by_name = {each.name: each for each in PIPELINE}
    assert all(by_name[each.name] is each for each in PIPELINE)


def test_types_are_inferred_when_absent() -> None:
    graph = replace(parse_graph(TEXT), types={})
    after = run_passes(graph, verify=True)
    assert str(after.types["y"]) == "f32[N, 4]"


def test_values_of_groups_are_known_when_planning() -> None:
    graph = parse_graph(
        """
        graph sized(shape: i64[2], x: f32[1, 1]) -> (y: f32[A, B]) {
          const two: i64[] = 2
          t = Mul(shape, two)
          u = Add(t, two)
          y = Expand(x, u)
        }
        """
    )
    after = run_passes(graph, verify=True)
    planned = infer(after, values={"shape": np.array([3, 4])})
    assert planned.types["y"].shape == (8, 10)


def test_who_watches_sees_all_that_run():
    graph, seen = parse_graph(TEXT), []
    with watching(lambda each, before, after: seen.append((each.name, before is after))):
        run_passes(graph, [clean_imports])
        run_passes(graph, [clean_imports], observe=lambda *_: seen.append("observed"))
    run_passes(graph, [clean_imports])
    ran = [("clean_imports", False), ("clean_imports", True)]
    watched = [each for each in seen if each != "observed"]
    assert watched == ran * 2 and seen.count("observed") == 2
