"""Work grows no faster than the graph, whatever its shape.

Work is counted, not timed: executed lines of Python, here and in `ir`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np
import pytest

import layercc as lc
from benchmarks.compile_time import node_count
from benchmarks.graph_shapes import SHAPES, UNITS
from ir.diagnostics import LayerccError
from ir.graph import Graph, Node
from ir.inference import _Inferrer, infer
from ir.typefill import fill_types
from layercc import memory_plan
from layercc.cpu.isa import host_isa
from layercc.cpu.programs import program_of
from layercc.lower import lower
from layercc.passes import run_passes
from layercc.passes.clean_imports import clean_imports
from layercc.passes.inline_branches import inline_branches
from layercc.session.partition import partition
from layercc.weights import Weights

#: Units in the smaller graph, how many times as many are in the larger one, and how many times the
#: work that may take: what is quadratic takes nearly the square.
SMALL, FACTOR, MOST = 12, 4, 4.7

#: Levels of nests, each of them with a few units.
DEPTH = 3

#: Every shape with a unit that passes leave alone, one that they replace and one that they rename;
#: every unit in a fan.
CASES = sorted(
    {(shape, unit) for shape in SHAPES for unit in ("relu", "identity", "matmul")}
    | {("fan", unit) for unit in UNITS}
)


def lines(run: Callable[[], object]) -> int:
    """How many lines of Python are executed."""
    count = 0

    def step(frame, event, argument):
        nonlocal count
        count += 1
        return step

    before = sys.gettrace()
    sys.settrace(step)
    try:
        run()
    except LayerccError:
        pass  # a graph that is partitioned: the way there counts, too
    finally:
        sys.settrace(before)
    return count


def lowered(graph: Graph) -> object:
    shapes = {value.name: value.shape for value in graph.inputs}
    return program_of(lower(graph, shapes), Weights(), host_isa())  # type: ignore[arg-type]


@pytest.mark.parametrize(("shape", "unit"), CASES)
def test_work_is_linear_in_the_size_of_the_graph(shape, unit, monkeypatch):
    monkeypatch.setattr(memory_plan, "_FEW_PAIRS", 0)
    monkeypatch.setattr(memory_plan, "_MOST_OTHERS", 8)
    work: dict[str, list[int]] = {"infer": [], "check": [], "passes": [], "lower": []}
    for size in (SMALL, FACTOR * SMALL):
        graph = SHAPES[shape](size, UNITS[unit], *([DEPTH] if shape.startswith("nested") else ()))
        optimized = run_passes(graph)
        lc.check(graph)  # fills caches of arithmetic on dims
        work["infer"].append(lines(lambda: infer(graph)))  # noqa: B023
        work["check"].append(lines(lambda: lc.check(graph)))  # noqa: B023
        work["passes"].append(lines(lambda: run_passes(graph)))  # noqa: B023
        work["lower"].append(lines(lambda: lowered(optimized)))  # noqa: B023
    grown = {phase: large / small for phase, (small, large) in work.items()}
    assert all(ratio <= MOST for ratio in grown.values()), grown


@pytest.mark.parametrize("depth", [2, 20])
@pytest.mark.parametrize("shape", ["nested_ifs", "nested_loops"])
def test_inference_visits_each_node_of_a_nest_once(shape, depth, monkeypatch):
    graph = SHAPES[shape](40, UNITS["add"], depth)
    visited = []
    visit = _Inferrer.node
    monkeypatch.setattr(_Inferrer, "node", lambda self, n: visited.append(n.name) or visit(self, n))
    infer(graph)
    assert len(visited) == node_count(graph)


def test_types_left_out_of_a_text_are_filled_in_linear_time():
    """Those of branches, which want all known that stands before them."""
    work = []
    for size in (SMALL, FACTOR * SMALL):
        nodes = "".join(
            f"v{i + 1} = If(c) then_branch () -> (a{i}) {{ a{i} = Relu(v{i}) }}"
            f" else_branch () -> (b{i}) {{ b{i} = Neg(v{i}) }} "
            for i in range(size)
        )
        text = f"graph g(v0: f32[N, 4], c: bool[]) -> (v{size}: f32[N, 4]) {{ {nodes} }}"
        untyped = lc.parse_graph(text, infer=False)
        work.append(lines(lambda: fill_types(untyped)))  # noqa: B023
        assert untyped.types[f"v{size}"] == untyped.types["v0"]
    assert work[1] <= MOST * work[0]


def growing_loops(depth: int) -> Graph:
    """Loops inside each other, each of which carries a value that grows with every trip."""
    text = f"t{depth} = Concat(v{depth}, v{depth}) {{axis=0}}"
    for level in range(depth, 0, -1):
        outer = f"v{level - 1}" if level > 1 else "x"
        text = (
            f"t{level - 1} = Loop(n, _, {outer}) body (i{level}: i64[], g{level}: bool[],"
            f" v{level}: f32[M{level}]) -> (g{level}, t{level}) {{ {text} }}"
        )
    return lc.parse_graph(f"graph g(x: f32[4], n: i64[]) -> (t0) {{ {text} }}")


@pytest.mark.parametrize("depth", [1, 4, 10])
def test_nested_loops_whose_carried_dims_change(depth, monkeypatch):
    """Each level is inferred once more than the one around it, not twice as often."""
    graph = growing_loops(depth)
    visited = []
    visit = _Inferrer.node
    monkeypatch.setattr(_Inferrer, "node", lambda self, n: visited.append(n.name) or visit(self, n))
    found = infer(graph)
    assert not found.errors and found.types["t0"].rank == 1
    assert len(visited) == (depth + 1) * (depth + 2) // 2


def test_sections_are_cut_in_linear_time():
    """A section behind each node that NumPy runs."""
    work = []
    for size in (SMALL, FACTOR * SMALL):
        graph = SHAPES["chain"](size, UNITS["undecided"])
        fallback = {node.name for node in graph.nodes if node.op == "NonZero"}
        order = []
        work.append(lines(lambda: order.extend(partition(graph, fallback))))  # noqa: B023
        assert len(order) == 2 * size + 1
    assert work[1] <= MOST * work[0]


def test_a_node_that_reads_many_replaced_values_is_written_once(monkeypatch):
    """A thousand Identities into one Concat."""
    graph = SHAPES["fan"](1000, UNITS["identity"])
    written = []
    post_init = Node.__post_init__

    def count(self):
        written.append(len(self.inputs))
        post_init(self)

    monkeypatch.setattr(Node, "__post_init__", count)
    clean_imports.run(graph)
    assert written.count(1000) == 1
    assert len(written) <= 3000


def test_known_branches_of_a_deep_nest_are_taken_at_once():
    """Each level is inferred once more, and no level is left for a partition."""
    depth = 20
    graph = SHAPES["nested_ifs"](2 * depth, UNITS["add"], depth)
    for level in range(depth):
        graph.inputs = [value for value in graph.inputs if value.name != f"flag{level}"]
        graph.constants[f"flag{level}"] = np.array(True)
    after = inline_branches.run(graph)
    assert not any(node.op == "If" for node in after.nodes)
    assert sum(node.op == "Add" for node in after.nodes) == depth + 1
