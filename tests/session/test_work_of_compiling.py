"""Types are inferred once a level, and nothing is planned in vain.

Counted are runs of inference over a whole graph: calls of `ir.inference.infer`. Subgraphs (bodies,
branches, fused groups) and single nodes, which passes infer as they make them, do not count; nor
does what reading a model or building it takes.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest

import layercc as lc
from benchmarks.networks import classic
from ir.inference import _Inferrer
from layercc.passes import SIMPLIFY, pipeline
from layercc.session import plans
from layercc.session.partition import PartitionedPlan


@dataclass
class Work:
    inferences: int = 0
    pipelines: int = 0
    lowerings: int = 0

    def since(self, before: Work) -> Work:
        """What was done after `before`."""
        return Work(*(getattr(self, f) - getattr(before, f) for f in self.__dataclass_fields__))

    def copy(self) -> Work:
        return self.since(Work())


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Iterator[Work]:
    done = Work()
    run, sequence, lower = _Inferrer.run, pipeline.run_sequence, plans.lower

    def counted_run(self, graph):
        done.inferences += sys._getframe(1).f_code.co_name == "infer"
        run(self, graph)

    def counted_sequence(graph, passes, **options):
        passes = list(passes)
        done.pipelines += passes[0] is SIMPLIFY[0]
        return sequence(graph, passes, **options)

    def counted_lower(*given):
        done.lowerings += 1
        return lower(*given)

    monkeypatch.setattr(_Inferrer, "run", counted_run)
    monkeypatch.setattr(pipeline, "run_sequence", counted_sequence)
    monkeypatch.setattr(plans, "lower", counted_lower)
    yield done


def test_lenet(work: Work) -> None:
    graph = classic.lenet5()
    before = work.copy()
    model = lc.compile(graph, threads=1)
    assert work.since(before) == Work(inferences=2, pipelines=1, lowerings=1)
    (x,) = graph.inputs
    for batch in (3, 5):
        before = work.copy()
        model(np.zeros((batch, *x.shape[1:]), np.float32))
        assert work.since(before) == Work(inferences=1, pipelines=0, lowerings=1)


UNDECIDED = """graph g(x: f32[N, 4]) -> (y) {
  const half: f32[] = 0.5
  mean = ReduceMean(x) {keepdims=0}
  c = Greater(mean, half)
  i = If(c) then_branch () -> (a) { a = Exp(x) } else_branch () -> (b) { n = Neg(x)
    b = Softmax(n) }
  y = Relu(i)
}"""


def test_an_if_that_no_value_decides(work: Work) -> None:
    """It is known as such before a plan is tried. Its sections are models of their own."""
    graph = lc.parse_graph(UNDECIDED)
    before = work.copy()
    model = lc.compile(graph, threads=1)
    done = work.since(before)
    assert done.inferences <= 4 and (done.pipelines, done.lowerings) == (1, 0)
    assert isinstance(model._planner._partitioned, PartitionedPlan)
    x = np.ones((3, 4), np.float32)
    before = work.copy()
    np.testing.assert_allclose(model(x), np.exp(x), 1e-6)
    done = work.since(before)  # the condition, a branch, and what is behind
    assert done.inferences <= 6 and (done.pipelines, done.lowerings) == (3, 3)
    before = work.copy()
    model(np.ones((5, 4), np.float32))
    assert work.since(before) == Work(inferences=3, pipelines=0, lowerings=3)


FLAG = """graph g(x: f32[N, 4], flag: bool[]) -> (y) {
  i = If(flag) then_branch () -> (a) { a = Exp(x) } else_branch () -> (b) { b = Neg(x) }
  y = Relu(i)
}"""
RESHAPE = """graph g(x: f32[N, 4], shape: i64[2]) -> (y) {
  r = Reshape(x, shape)
  y = Relu(r)
}"""


@pytest.mark.parametrize(
    ("text", "values"),
    [(FLAG, [np.array(True), np.array(False)]), (RESHAPE, [np.array([2, -1]), np.array([4, -1])])],
    ids=["If", "Reshape"],
)
def test_values_of_an_input_that_decide(text: str, values: list[np.ndarray], work: Work) -> None:
    """A plan, and a run of the pipeline, for each value; none before one is given."""
    graph = lc.parse_graph(text)
    before = work.copy()
    model = lc.compile(graph, threads=1)
    done = work.since(before)
    assert done.inferences <= 4 and done.pipelines <= 1 and done.lowerings == 0
    for value in values:
        before = work.copy()
        model(np.ones((3, 4), np.float32), value)
        done = work.since(before)
        assert done.inferences <= 5 and (done.pipelines, done.lowerings) == (1, 1)


BEFORE_PLANNING = {
    "no kernel": "(x: f32[N, 4]) -> (y) { r = Relu(x)\n n = NonZero(r)\n y = Cast(n) {to=1} }",
    "a shape of floats": "(x: f32[N, 4], s: f32[2]) -> (y) { r = Relu(x)\n t = Cast(s) {to=7}\n"
    " y = Reshape(r, t) }",
    "a loop": "(x: f32[N, 4], s: f32[]) -> (y) { n = Cast(s) {to=7}\n y = Loop(n, _, x)"
    " body (i: i64[], g: bool[], v: f32[N, 4]) -> (g, w) { w = Relu(v) } }",
}


@pytest.mark.filterwarnings("ignore:.*NumPy runs:RuntimeWarning")
@pytest.mark.parametrize("case", BEFORE_PLANNING)
def test_what_must_be_cut_is_found_before_planning(case: str, work: Work) -> None:
    graph = lc.parse_graph(f"graph g{BEFORE_PLANNING[case]}")
    before = work.copy()
    model = lc.compile(graph, threads=1)
    done = work.since(before)
    assert isinstance(model._planner._partitioned, PartitionedPlan)
    assert done.inferences <= 4 and (done.pipelines, done.lowerings) == (1, 0)
