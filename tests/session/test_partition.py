"""Models of which NumPy runs some nodes, and the rest is compiled in sections."""

# mypy: ignore-errors

from __future__ import annotations

import pickle
import threading
import warnings

import numpy as np
import pytest

import layercc as lc
from layercc.cpu.runtime.plan import Plan
from layercc.session import partition as partitions
from layercc.session import plans
from layercc.session.partition import PartitionedPlan, Section, partition

RNG = np.random.default_rng(0)


def compile_quietly(graph, threads=2):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return lc.compile(graph, threads=threads)


def floats(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


NONZERO = """graph g(x: f32[N, 2]) -> (y, z) {
  r = Relu(x)
  y = NonZero(r)
  s = Cast(y) {to=1}
  q = Exp(s)
  z = Mul(q, q)
}"""
RESHAPE = """graph g(x: f32[N, 3], size: f32[2]) -> (y: f32[A, B]) {
  shape = Cast(size) {to=7}
  t = Reshape(x, shape)
  y = Exp(t)
}"""
IF = """graph g(x: f32[N, 4]) -> (y) {
  const half: f32[] = 0.5
  const w: f32[4, 3] = random(1)
  mean = ReduceMean(x) {keepdims=0}
  c = Greater(mean, half)
  i = If(c) then_branch () -> (a) { a = MatMul(x, w) } else_branch () -> (b) { n = Neg(x)
    b = Softmax(n) }
  y = Relu(i)
}"""
# The carried value grows, so each trip has another shape; floats end the loop.
LOOP = """graph g(x: f32[N, 4], limit: f32[], n: i64[]) -> (last, sums) {
  const yes: bool[] = true
  const w: f32[4, 4] = random(2)
  r = Relu(x)
  last, sums = Loop(n, yes, r) body (i: i64[], c: bool[], v: f32[M, 4]) -> (more, next, total) {
    const axis: i64[1] = [0]
    m = MatMul(v, w)
    t = Tanh(m)
    next = Concat(t, x) {axis=0}
    total = ReduceSum(next, axis) {keepdims=0}
    most = ReduceMax(next) {keepdims=0}
    more = Less(most, limit)
  }
}"""
SCAN = """graph g(h: f32[2], x: f32[T, 2], f: f32[]) -> (y, ys) {
  s = Mul(x, f)
  y, ys = Scan(h, s) {num_scan_inputs=1} body (a: f32[2], b: f32[2]) -> (c, d) {
    k = NonZero(b)
    g = Cast(k) {to=1}
    w = ReduceSum(g) {keepdims=0}
    c = Add(a, w)
    d = Mul(c, b)
  }
}"""
NESTED = """graph g(x: f32[N, 4]) -> (y) {
  const zero: f32[] = 0
  p = ReduceSum(x) {keepdims=0}
  c = Greater(p, zero)
  y = If(c) then_branch () -> (a) {
    q = ReduceMax(x) {keepdims=0}
    d = Greater(q, p)
    a = If(d) then_branch () -> (e) { e = Exp(x) } else_branch () -> (f) { f = Neg(x) }
  } else_branch () -> (b) { b = Neg(x) }
}"""

CASES = {
    "NonZero": (NONZERO, [{"x": floats(n, 2)} for n in (5, 5, 1, 0, 7)]),
    "Reshape": (
        RESHAPE,
        [{"x": floats(n, 3), "size": np.float32(s)} for n, s in ((2, [3, 2]), (4, [-1, 6]))],
    ),
    "If": (IF, [{"x": floats(3, 4) + shift} for shift in (np.float32(5), np.float32(-5))]),
    "Loop": (
        LOOP,
        [
            {"x": floats(n, 4), "limit": np.float32(limit), "n": np.array(trips)}
            for n, limit, trips in ((2, 9, 4), (3, -9, 4), (1, 9, 0), (1, 9, 6))
        ],
    ),
    "Scan": (
        SCAN,
        [{"h": floats(2), "x": floats(t, 2), "f": np.float32(2)} for t in (3, 1, 6)],
    ),
    "nested": (NESTED, [{"x": floats(2, 4) + shift} for shift in np.float32([0, 3, -3])]),
}


@pytest.mark.parametrize("name", CASES)
def test_against_the_interpreter(name):
    text, calls = CASES[name]
    graph = lc.parse_graph(text)
    model = compile_quietly(graph)
    for inputs in calls:
        wanted = lc.interpret(graph, inputs)
        found = model.run(inputs)
        for key, array in wanted.items():
            assert found[key].dtype == array.dtype
            np.testing.assert_allclose(found[key], array, rtol=1e-5, atol=1e-6)
    assert isinstance(next(iter(model._planner.plans.values())), PartitionedPlan)


def test_what_numpy_computes_is_said():
    with pytest.warns(RuntimeWarning, match=r"graph 'g': NumPy runs .*: NonZero ×1"):
        lc.compile(lc.parse_graph(NONZERO))


def test_what_runs_graphs_is_no_slow_node():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = lc.compile(lc.parse_graph(IF))
        model(floats(3, 4))


def test_sections_are_compiled_whole():
    """What lies before, between and behind nodes that NumPy runs is one section each."""
    graph = lc.parse_graph("""graph g(x: f32[N, 2]) -> (y, z, w) {
      a = Relu(x)
      b = NonZero(a)
      c = Neg(x)
      d = Cast(b) {to=1}
      e = Exp(d)
      f = NonZero(e)
      y = Mul(e, e)
      z = Cast(f) {to=1}
      w = Add(c, c)
    }""")
    order = partition(graph, {"b", "f"})
    shown = [
        [node.name for node in item.nodes] if isinstance(item, Section) else item.name
        for item in order
    ]
    assert shown == [["a", "c", "w"], "b", ["d", "e", "y"], "f", ["z"]]
    assert [item.reads for item in order if isinstance(item, Section)] == [["x"], ["b"], ["f"]]
    assert [item.makes for item in order if isinstance(item, Section)] == [
        ["a", "w"], ["e", "y"], ["z"],
    ]  # fmt: skip


def test_sections_have_plans_of_their_own():
    model = compile_quietly(lc.parse_graph(NONZERO))
    for n in (3, 4, 5):
        model(floats(n, 2))
    plan = model.plan({"x": (3, 2)})
    sections = [step for step in plan._parts if isinstance(step, partitions._CompiledSection)]
    (first,), (second,) = (section._plans.values() for section in sections)
    assert len(first.plans) == 3
    assert all(isinstance(made, Plan) for made in (*first.plans.values(), *second.plans.values()))


def test_outputs_belong_to_the_caller():
    graph = lc.parse_graph("""graph g(x: f32[2, 3], s: f32[1]) -> (y, x, k) {
      const k: f32[2] = [1, 2]
      n = Cast(s) {to=7}
      y = Reshape(x, n)
    }""")
    model = compile_quietly(graph)
    x = floats(2, 3)
    for made in model(x, np.float32([6])):
        assert not np.shares_memory(made, x)
        made[...] = 0
    np.testing.assert_array_equal(model(x, np.float32([6]))[2], [1, 2])


def test_inputs_are_checked():
    model = compile_quietly(lc.parse_graph(NONZERO))
    model(floats(2, 2))
    with pytest.raises(lc.InputError, match=r"f32\[N, 2\]|\[N, 2\]"):
        model(floats(2, 3))


def test_faults_name_the_node():
    model = compile_quietly(lc.parse_graph(RESHAPE))
    with pytest.raises(lc.LayerccError, match=r"Reshape 't'"):
        model(floats(2, 3), np.float32([4, 2]))
    close = model(floats(2, 3), np.float32([6, 1]))
    assert close.shape == (6, 1)


def test_memory_is_checked_before_a_node_runs():
    text = """graph g(shape: f32[1]) -> (y) {
      n = Cast(shape) {to=7}
      y = ConstantOfShape(n)
    }"""
    model = compile_quietly(lc.parse_graph(text))
    assert model(np.float32([5])).shape == (5,)
    with pytest.raises(lc.MemoryLimitError, match="ConstantOfShape 'y'"):
        model(np.float32([2**37]))
    with pytest.raises(lc.ShapeError, match="ConstantOfShape 'y'"):
        model(np.float32([2**40]))


def test_loops_end(monkeypatch):
    monkeypatch.setattr(partitions, "_MOST_TRIPS", 10)
    model = compile_quietly(lc.parse_graph(LOOP))
    x = floats(1, 4)
    assert model(x, np.float32(9), np.array(10))[1].shape == (10, 4)
    with pytest.raises(lc.LayerccError, match=r"Loop 'last': it did not end after 10 trips"):
        model(x, np.float32(9), np.array(11))


def test_inputs_of_a_body_hide_constants():
    graph = lc.parse_graph("""graph g(limit: f32[]) -> (y, z) {
      const n: i64[] = 3
      const yes: bool[] = true
      const v: f32[2] = [1, 10]
      y, z = Loop(n, yes, v) body (i: i64[], c: bool[], v: f32[2]) -> (more, w, v) {
        w = Add(v, v)
        top = ReduceMax(w) {keepdims=0}
        more = Less(top, limit)
      }
    }""")
    inputs = {"limit": np.float32(99)}
    found = compile_quietly(graph).run(inputs)
    for name, wanted in lc.interpret(graph, inputs).items():
        np.testing.assert_allclose(found[name], wanted, rtol=1e-6)


def test_many_threads():
    graph = lc.parse_graph(LOOP)
    model = compile_quietly(graph)
    inputs = [(floats(n, 4), np.float32(9), np.array(n)) for n in (1, 2, 3, 4)]
    wanted = [model(*given) for given in inputs]
    failures = []

    def caller(at):
        try:
            for _ in range(30):
                for found, right in zip(model(*inputs[at]), wanted[at], strict=True):
                    np.testing.assert_array_equal(found, right)
        except BaseException as error:
            failures.append(error)

    callers = [threading.Thread(target=caller, args=(at,)) for at in range(4)]
    for thread in callers:
        thread.start()
    for thread in callers:
        thread.join()
    assert not failures


def test_pickling():
    model = compile_quietly(lc.parse_graph(IF))
    x = floats(3, 4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again(x), model(x))


def test_what_has_no_reference_either():
    graph = lc.parse_graph("graph g(x: f32[4, 4]) -> (y) { y = Relu(x) }")
    graph.nodes = [lc.Node("NoSuchOp", ("x",), ("y",))]
    graph.types = {}
    with pytest.raises(lc.LayerccError, match="NoSuchOp"):
        lc.compile(graph)


def test_what_no_node_of_the_graph_can_stand_for_is_raised(monkeypatch):
    """Where lowering refuses a node that only passes have made, nothing could fall back."""

    def refuse(*given):
        raise lc.UnsupportedError("no kernels", ["Cast"], ["made by a pass"])

    monkeypatch.setattr(plans, "lower", refuse)
    with pytest.raises(lc.UnsupportedError, match="no kernels"):
        lc.compile(lc.parse_graph("graph g(x: f32[N, 2]) -> (y) { y = Relu(x) }"))
