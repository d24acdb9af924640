"""The compiled model: what it takes, what it gives, from any thread, at any shape."""

from __future__ import annotations

import os
import pickle
import threading

import numpy as np
import pytest

import layercc as lc
from layercc.cpu.isa import host_isa
from layercc.cpu.runtime import native
from layercc.cpu.runtime.native import default_kernels
from layercc.cpu.runtime.plan import address_of
from layercc.session import plans

LINEAR = """
graph linear(x: f32[N, 6], b: f32[M]) -> (y: f32[N, 5]) {
  const w: f32[6, 5] = random(1)
  p = MatMul(x, w)
  s = Add(p, b)
  y = Relu(s)
}
"""
X = np.linspace(-2, 2, 18, dtype=np.float32).reshape(3, 6)
B = np.array([-1, 0, 0.5, 1, 2], np.float32)


@pytest.fixture(scope="module")
def linear():
    return lc.compile(lc.parse_graph(LINEAR), threads=1)


def expected(x=X, b=B):
    w = lc.parse_graph(LINEAR).constants["w"]
    return np.maximum(np.asarray(x, np.float64) @ w + b, 0)


def close(found, wanted):
    assert found.shape == wanted.shape
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)


def run_text(text, *arrays, threads=1):
    return lc.compile(lc.parse_graph(text), threads=threads)(*arrays)


# What it takes


class WithArray:
    """An object that becomes an array, as a pandas column does."""

    def __init__(self, array):
        self.array = array

    def __array__(self, dtype=None, copy=None):
        return self.array


class WithDlpack:
    def __init__(self, array):
        self.array = array

    def __dlpack__(self, **kwargs):
        return self.array.__dlpack__(**kwargs)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()


def unaligned(array):
    memory = np.zeros(array.nbytes + 1, np.uint8)[1:]
    made = memory.view(array.dtype).reshape(array.shape)
    made[...] = array
    assert not made.flags.aligned
    return made


def read_only(array):
    made = array.copy()
    made.flags.writeable = False
    return made


FORMS = {
    "as it is": lambda a: a,
    "column-major": np.asfortranarray,
    "every second row": lambda a: np.repeat(a, 2, axis=0)[::2],
    "reversed": lambda a: a[::-1].copy()[::-1],
    "unaligned": unaligned,
    "read-only": read_only,
    "big-endian": lambda a: a.astype(">f4"),
    "float16, which widens": lambda a: a.astype(np.float16),
    "int8, which widens": lambda a: a.astype(np.int8),
    "subclass": lambda a: a.view(np.memmap),
    "nested lists": lambda a: a.tolist(),
    "list of arrays": list,
    "__array__": WithArray,
    "__dlpack__": WithDlpack,
}


@pytest.mark.parametrize("form", FORMS)
def test_forms_of_an_array(linear, form):
    array = np.round(X * 4) / 4 if "float16" in form else np.round(X) if "int8" in form else X
    found = linear(FORMS[form](array), B)
    assert type(found) is np.ndarray and found.flags.c_contiguous and found.flags.writeable
    close(found, expected(array))


def test_torch_tensors(linear):
    torch = pytest.importorskip("torch")
    close(linear(torch.from_numpy(X), torch.from_numpy(B)), expected())
    close(linear(torch.from_numpy(X.T.copy()).T, B), expected())
    with pytest.raises(lc.InputError, match=r"input 'x': a Tensor does not become an array"):
        linear(torch.from_numpy(X).requires_grad_(), B)


def test_ways_to_call(linear):
    wanted = expected()
    close(linear(X, B), wanted)
    close(linear(x=X, b=B), wanted)
    close(linear(b=B, x=X), wanted)
    close(linear(X, b=B), wanted)
    found = linear.run({"b": B, "x": X})
    assert list(found) == ["y"]
    close(found["y"], wanted)


def test_inputs_may_have_any_name():
    graph = lc.parse_graph("graph g(self: f32[2], x: f32[2]) -> (y) { y = Sub(self, x) }")
    graph.inputs[1] = lc.Value("x:0/α", graph.inputs[1].type)
    graph.nodes[0] = graph.nodes[0].with_inputs(["self", "x:0/α"])
    graph.types = {}
    model = lc.compile(graph, threads=1)
    a, b = np.float32([3, 4]), np.float32([1, 1])
    np.testing.assert_array_equal(model(self=a, **{"x:0/α": b}), [2, 3])
    np.testing.assert_array_equal(model.run({"x:0/α": b, "self": a})["y"], [2, 3])


WRONG = [
    # arguments, keywords, the message
    ((), {}, r"no array given for 'x', 'b'; the inputs are x: f32\[N, 6\], b: f32\[M\]"),
    ((X,), {}, r"no array given for 'b'"),
    ((X, B, B), {}, r"3 arrays given; the inputs are x: f32\[N, 6\], b: f32\[M\]"),
    ((X, B), {"c": B}, r"there is no input 'c'; the inputs are x: f32"),
    ((X, B), {"b": B}, r"input 'b' is given twice"),
    ((), {"x": X, "c": B}, r"there is no input 'c'"),
    ((X[:, :5], B), {}, r"input 'x' is \[3, 5\], \[N, 6\] would fit: axis 1: expected 6, got 5"),
    ((X[0], B), {}, r"input 'x' is \[6\], \[N, 6\] would fit: expected 2 axes \(N, 6\), got 1"),
    ((X[None], B), {}, r"input 'x' is \[1, 3, 6\], \[N, 6\] would fit"),
    ((np.float32(1), B), {}, r"input 'x' is \[\], \[N, 6\] would fit"),
    ((X.astype(np.float64), B), {}, r"input 'x' is f32; an array of float64 was given"),
    ((X.astype(np.int32), B), {}, r"input 'x' is f32; an array of int32 was given"),
    ((X.astype(complex), B), {}, r"input 'x' is f32; an array of complex128 was given"),
    (([["a"] * 6], B), {}, r"input 'x' is f32; an array of <U1 was given"),
    (([[1.0], [1.0, 2.0]], B), {}, r"input 'x': a list does not become an array: .*inhomogeneous"),
    ((None, B), {}, r"input 'x' is f32; an array of object was given"),
    (({"x": X}, B), {}, r"input 'x' is f32; an array of object was given"),
]


@pytest.mark.parametrize(("arrays", "named", "message"), WRONG)
def test_what_does_not_fit(linear, arrays, named, message):
    with pytest.raises(lc.InputError, match=message):
        linear(*arrays, **named)


def test_shapes_that_the_graph_refuses(linear):
    with pytest.raises(lc.ShapeError, match=r"Add 's'.*\[3, 5\].*\[4\]"):
        linear(X, B[:4])
    close(linear(X, B), expected())  # none the worse for it


def test_one_symbol_has_one_value():
    model = lc.compile(
        lc.parse_graph("graph g(a: f32[N, 2], b: f32[N, 2]) -> (y) { y = Add(a, b) }"), threads=1
    )
    with pytest.raises(lc.InputError, match=r"input 'b' is \[3, 2\].*expected N = 4, got 3"):
        model(np.zeros((4, 2), np.float32), np.zeros((3, 2), np.float32))


INTEGERS = [
    # dtype, what is given, what arrives (None: refused)
    ("u8", [0, 255], [0, 255]),
    ("u8", [0, 256], None),
    ("u8", [-1, 0], None),
    ("u8", [1.0, 2.0], None),
    ("i32", [2**31 - 1, -(2**31)], [2**31 - 1, -(2**31)]),
    ("i32", [2**31, 0], None),
    ("i32", np.array([1, 2], np.int64), None),
    ("i32", np.array([1, 2], np.uint16), [1, 2]),
    ("i32", [True, False], [1, 0]),
    ("i64", [], []),
    ("f32", [1, 2.5], [1, 2.5]),
    ("f16", [1, 2.5], [1, 2.5]),
    ("bf16", [1, 2.5], [1, 2.5]),
    ("bool", [True, False], [True, False]),
    ("bool", [2, 0], None),
]


@pytest.mark.parametrize(("dtype", "given", "wanted"), INTEGERS)
def test_python_numbers_keep_their_value(dtype, given, wanted):
    model = lc.compile(lc.parse_graph(f"graph g(x: {dtype}[N]) -> (y) {{ y = Identity(x) }}"))
    if wanted is None:
        with pytest.raises(lc.InputError, match=f"input 'x' is {dtype}; .* was given"):
            model(given)
    else:
        assert model(given).tolist() == wanted


# What it gives

OUTPUTS = {
    "several": ("(a: f32[2, 3]) -> (s, d) { s = Add(a, a)\n d = Sub(a, s) }",
                lambda a: (a + a, a - (a + a))),
    "an input": ("(a: f32[2, 3]) -> (a, s) { s = Neg(a) }", lambda a: (a, -a)),
    "nothing but an input": ("(a: f32[2, 3]) -> (a) { }", lambda a: a),
    "the same value twice": ("(a: f32[2, 3]) -> (s, s) { s = Neg(a) }", lambda a: (-a, -a)),
    "an input twice": ("(a: f32[2, 3]) -> (a, a) { }", lambda a: (a, a)),
    "a constant": ("(a: f32[2, 3]) -> (c, s) { const c: f32[2] = [5, 6]\n s = Neg(a) }",
                   lambda a: (np.float32([5, 6]), -a)),
    "a constant twice": ("(a: f32[2, 3]) -> (c, c) { const c: f32[2] = [5, 6] }",
                         lambda a: (np.float32([5, 6]),) * 2),
    "a view of an input": ("(a: f32[2, 3]) -> (v) { v = Flatten(a) {axis=0} }",
                           lambda a: a.reshape(1, 6)),
    "a value and its view": ("(a: f32[2, 3]) -> (s, v) { s = Neg(a)\n v = Flatten(s) {axis=0} }",
                             lambda a: (-a, -a.reshape(1, 6))),
    "a view and its value": ("(a: f32[2, 3]) -> (v, s) { s = Neg(a)\n v = Flatten(s) {axis=0} }",
                             lambda a: (-a.reshape(1, 6), -a)),
    "what later nodes read": ("(a: f32[2, 3]) -> (s, t) { s = Neg(a)\n t = Transpose(s) }",
                              lambda a: (-a, -a.T)),
    "a shape": ("(a: f32[2, 3]) -> (n, s) { n = Shape(a)\n s = Neg(a) }",
                lambda a: (np.array([2, 3]), -a)),
    "a scalar": ("(a: f32[]) -> (s) { s = Neg(a) }", lambda a: -a),
    "none of some node": ("(a: f32[2, 3]) -> (s) { s = Neg(a)\n t = Exp(a) }", lambda a: -a),
}  # fmt: skip


@pytest.mark.parametrize("case", OUTPUTS)
@pytest.mark.parametrize("threads", [1, 2])
def test_outputs(case, threads):
    text, reference = OUTPUTS[case]
    model = lc.compile(lc.parse_graph(f"graph g{text}"), threads=threads)
    shape = tuple(model.graph.inputs[0].shape)
    a = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    before = a.copy()
    found, wanted = model(a), reference(a)
    many = isinstance(wanted, tuple)
    assert isinstance(found, tuple) == many
    arrays = found if many else (found,)
    for one, other in zip(arrays, wanted if many else (wanted,), strict=True):
        assert one.shape == np.shape(other) and one.dtype == np.asarray(other).dtype
        np.testing.assert_array_equal(one, other)
    for one in arrays:  # each is the caller's own
        one[...] = 99
    np.testing.assert_array_equal(a, before)
    for array in model(a) if many else [model(a)]:
        assert not (array == 99).any()
    for i, one in enumerate(arrays):
        assert not any(np.shares_memory(one, other) for other in arrays[i + 1 :])


def test_no_inputs():
    text = "graph g() -> (y) { const c: f32[3] = [1, 2, 3]\n y = Neg(c) }"
    np.testing.assert_array_equal(run_text(text), [-1, -2, -3])


@pytest.mark.parametrize("batch", [0, 1, 2, 7, 64])
def test_batches(linear, batch):
    x = np.random.default_rng(batch).standard_normal((batch, 6)).astype(np.float32)
    close(linear(x, B), expected(x))


def test_addresses_are_read_from_array_objects():
    for array in [np.zeros(5), np.zeros((2, 3))[:, 1:], np.zeros(0), np.float32([[1]]).T]:
        assert address_of(array) == array.__array_interface__["data"][0]


# Plans

CONV = """
graph net(x: f32[N, 3, H, W]) -> (y) {
  const w: f32[5, 3, 3, 3] = random(1)
  const b: f32[5] = random(2)
  c = Conv(x, w, b) {pads=[1, 1, 1, 1]}
  r = Relu(c)
  const v: f32[4, 5, 1, 1] = random(3)
  d = Conv(r, v)
  y = Transpose(d) {perm=[0, 2, 3, 1]}
}
"""


def test_new_shapes_are_planned_and_nothing_is_compiled(monkeypatch):
    graph = lc.parse_graph(CONV)
    model = lc.compile(graph, threads=2)
    loaded = dict(default_kernels(host_isa())._loaded)

    def refuse(key, isa):
        raise AssertionError(f"{key} is compiled for a new shape")

    monkeypatch.setattr(native, "compile_kernel", refuse)
    for shape in [(1, 3, 8, 8), (2, 3, 5, 7), (3, 3, 1, 1), (1, 3, 17, 31), (0, 3, 4, 4)]:
        x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
        wanted = lc.interpret(graph, {"x": x})["y"]
        np.testing.assert_allclose(model(x), wanted, rtol=1e-4, atol=1e-4)
    assert default_kernels(host_isa())._loaded.keys() == loaded.keys()


def test_plans_are_made_once_and_bounded(monkeypatch):
    model = lc.compile(lc.parse_graph(LINEAR), threads=1)
    made = []
    original = plans.lower
    monkeypatch.setattr(plans, "lower", lambda *a: made.append(1) or original(*a))
    monkeypatch.setattr(plans, "_MOST_PLANS", 3)
    for _ in range(3):
        for rows in (2, 3):
            close(model(X[:rows], B), expected(X[:rows]))
    assert len(made) == 2
    for rows in (1, 2, 3, 4, 5, 6):
        x = np.ones((rows, 6), np.float32)
        close(model(x, B), expected(x))
    assert len(model._planner.plans) == 3


def test_plans_share_arenas():
    model = lc.compile(lc.parse_graph(CONV), threads=1)
    for size in (4, 16, 8, 16, 4):
        model(np.zeros((1, 3, size, size), np.float32))
    arenas = model._planner._backend._arenas
    largest = model.plan({"x": (1, 3, 16, 16)}).program.arena_bytes
    assert arenas.nbytes == largest > 0


@pytest.mark.parametrize(("pads", "size"), [("1, 1, 1, 1", 1), ("0, 0, 0, 0", 16)])
def test_kernels_are_compiled_with_the_model(pads, size):
    """Ahead of the first call, at the smallest size tried that fits."""
    text = CONV.replace("1, 1, 1, 1]}", pads + "]}", 1)
    model = lc.compile(lc.parse_graph(text), threads=1)
    (plan,) = model._planner.plans.values()
    assert [port.shape for port in plan.program.inputs] == [(size, 3, size, size)]


@pytest.mark.parametrize("form", [tuple, list, lambda pair: dict(zip("xb", pair, strict=True))])
def test_example_inputs(form, monkeypatch):
    """The plan is made with the model; a call with such arrays makes none."""
    examples = form((X.astype(np.float16), B))  # as a call takes them
    model = lc.compile(lc.parse_graph(LINEAR), examples, threads=1)
    assert list(model._planner.plans) == [((3, 6), (5,))]
    monkeypatch.setattr(plans, "lower", None)
    close(model(X, B), expected())


def test_example_inputs_of_other_models():
    (key,) = lc.compile(
        lc.parse_graph(CONV), np.zeros((2, 3, 9, 9), np.float32), threads=1
    )._planner.plans
    assert key == ((2, 3, 9, 9),)
    text = "graph g(x: f32[N, 6], shape: i64[2]) -> (y) { y = Reshape(x, shape) }"
    shape = np.array([3, 2])
    model = lc.compile(lc.parse_graph(text), (np.zeros((1, 6), np.float32), shape), threads=1)
    assert list(model._planner.plans) == [((1, 6), (2,), shape.tobytes())]
    graph = lc.parse_graph("graph g(x: f32[N], k: f32[1]) -> (y) { y = Mul(x, k) }")
    graph.defaults["k"] = np.float32([2])
    model = lc.compile(graph, {"x": np.ones(7, np.float32), "k": np.float32([3])}, threads=1)
    (taking,) = model._taking.values()
    assert ((7,), (1,)) in taking._planner.plans
    assert model(np.ones(2, np.float32)).tolist() == [2, 2]


@pytest.mark.parametrize("examples", [(X,), (X[:, :5], B), {"x": X, "c": B}, (X, B, B)])
def test_example_inputs_that_do_not_fit(examples):
    with pytest.raises(lc.InputError):
        lc.compile(lc.parse_graph(LINEAR), examples)


def test_plan_of_wrong_shapes(linear):
    assert linear.plan({"x": (9, 6), "b": (5,)}).program.outputs[0].shape == (9, 5)
    with pytest.raises(lc.InputError, match="axis 1: expected 6, got 7"):
        linear.plan({"x": (9, 7), "b": (5,)})
    with pytest.raises(lc.InputError, match="no array given for 'b'"):
        linear.plan({"x": (9, 6)})


# Values that decide shapes and branches

SELECTED = {
    "Reshape": (
        "(x: f32[N, 6], shape: i64[2]) -> (y) { r = Reshape(x, shape)\n y = Neg(r) }",
        [((4, 6), [12, 2]), ((4, 6), [-1, 8]), ((2, 6), [3, 4]), ((4, 6), [12, 2])],
    ),
    "Reshape by a computed shape": (
        "(x: f32[N, 6], n: i64[1]) -> (y) { const rest: i64[1] = [-1]\n"
        " s = Concat(n, rest) {axis=0}\n r = Reshape(x, s)\n y = Neg(r) }",
        [((4, 6), [12]), ((4, 6), [1]), ((2, 6), [4]), ((4, 6), [8])],
    ),
    "If": (
        "(x: f32[N, 2], flag: bool[]) -> (y) { y = If(flag)\n"
        " then_branch () -> (a: f32[N, 2]) { a = Neg(x) }\n"
        " else_branch () -> (b: f32[N, 2]) { b = Add(x, x) } }",
        [((3, 2), True), ((3, 2), False), ((1, 2), False), ((3, 2), True)],
    ),
    "If on a comparison": (
        "(x: f32[N, 2], n: i64[]) -> (y) { const c: i64[] = 2\n flag = Less(n, c)\n y = If(flag)\n"
        " then_branch () -> (a: f32[N, 2]) { a = Neg(x) }\n"
        " else_branch () -> (b: f32[N, 2]) { b = Add(x, x) } }",
        [((3, 2), 1), ((3, 2), 2), ((1, 2), 5), ((3, 2), -4)],
    ),
    "the value is an output too": (
        "(x: f32[N, 6], shape: i64[2]) -> (y, shape) { r = Reshape(x, shape)\n y = Neg(r) }",
        [((4, 6), [12, 2]), ((4, 6), [3, 8])],
    ),
}


@pytest.mark.parametrize("case", SELECTED)
def test_values_that_decide(case):
    text, calls = SELECTED[case]
    graph = lc.parse_graph(f"graph g{text}")
    model = lc.compile(graph, threads=1)
    name = graph.inputs[1].name
    for shape, value in calls * 2:
        x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
        value = np.asarray(value, graph.inputs[1].dtype.value)
        wanted = lc.interpret(graph, {"x": x, name: value})
        for output, array in model.run({"x": x, name: value}).items():
            np.testing.assert_array_equal(array, wanted[output])
    assert model._planner.specialized == [1]


def test_plan_of_values_that_decide():
    text = "graph g(x: f32[N, 6], shape: i64[2]) -> (y) { y = Reshape(x, shape) }"
    model = lc.compile(lc.parse_graph(text), threads=1)
    plan = model.plan({"x": (4, 6), "shape": (2,)}, {"shape": [8, 3]})
    assert plan.program.outputs[0].shape == (8, 3)
    with pytest.raises(lc.InputError, match="Reshape 'y'"):
        model.plan({"x": (4, 6), "shape": (2,)}, {"shape": [5, 5]})


def test_integer_inputs_that_decide_nothing():
    text = "graph g(x: i64[N], n: i64[1]) -> (y) { y = Mul(x, n) }"
    model = lc.compile(lc.parse_graph(text), threads=1)
    for factor in (2, 3):
        assert model([1, 2, 3], [factor]).tolist() == [factor, 2 * factor, 3 * factor]
    assert model._planner.specialized == [] and len(model._planner.plans) == 2  # shape 1, and 3


def test_a_value_that_fits_nothing():
    text = "graph g(x: f32[4], shape: i64[2]) -> (y) { y = Reshape(x, shape) }"
    model = lc.compile(lc.parse_graph(text), threads=1)
    for _ in range(2):
        with pytest.raises(lc.InputError, match="Reshape 'y'"):
            model(np.zeros(4, np.float32), [3, 2])
    assert model(np.ones(4, np.float32), [2, 2]).tolist() == [[1, 1], [1, 1]]


def test_branches_by_shape():
    text = """
    graph g(x: f32[N, 2]) -> (y: f32[N, 2]) {
      s = Shape(x) {end=1}
      const one: i64[1] = [1]
      few = Equal(s, one)
      y = If(few)
        then_branch () -> (a: f32[N, 2]) { a = Neg(x) }
        else_branch () -> (b: f32[N, 2]) { b = Add(x, x) }
    }
    """
    model = lc.compile(lc.parse_graph(text), threads=1)
    for rows in (1, 3, 1, 2):
        x = np.full((rows, 2), 5, np.float32)
        assert (model(x) == (-5 if rows == 1 else 10)).all()


LOOPS = {
    # a graph, and calls: values of its inputs
    "as many steps as rows": (
        "(x: f32[T, N, 2]) -> (y, ys) { const i: i64[] = 0\n const yes: bool[] = true\n"
        " s = Shape(x) {end=1}\n t = Squeeze(s)\n zero = Sub(x, x)\n h = Gather(zero, i)\n"
        " y, ys = Loop(t, yes, h) body (k: i64[], go: bool[], h: f32[N, 2]) -> (go, n, r) {\n"
        " row = Gather(x, k)\n a = Add(h, row)\n n = Tanh(a)\n r = Neg(n) } }",
        [((4, 3, 2),), ((1, 1, 2),), ((4, 2, 2),)],
    ),
    "as often as an input says": (
        "(x: f32[N, 2], times: i64[]) -> (y) {\n"
        " y = Loop(times, _, x) body (k: i64[], go: bool[], h: f32[N, 2]) -> (go, n) {\n"
        " n = Add(h, x) } }",
        [((3, 2), 2), ((3, 2), 0), ((1, 2), 5)],
    ),
    "while it is small": (
        "(x: f32[N, 2], limit: i64[]) -> (y, sizes) { const many: i64[] = 1000\n"
        " y, sizes = Loop(many, _, x)"
        " body (k: i64[], go: bool[], v: f32[M, 2]) -> (more, w, size) {\n"
        " w = Concat(v, x) {axis=0}\n size = Size(w)\n more = Less(size, limit) } }",
        [((2, 2), 9), ((2, 2), 1), ((1, 2), 30)],
    ),
    "a scan": (
        "(x: f32[B, T, 2], h: f32[B, 2]) -> (last, ys) {\n"
        " last, ys = Scan(h, x) {num_scan_inputs=1, scan_input_axes=[1], scan_output_axes=[1]}\n"
        " body (h: f32[B, 2], row: f32[B, 2]) -> (n, r) { a = Add(h, row)\n n = Tanh(a)\n"
        " r = Neg(n) } }",
        [((2, 5, 2), (2, 2)), ((1, 1, 2), (1, 2))],
    ),
}


@pytest.mark.parametrize("case", LOOPS)
def test_loops(case):
    text, calls = LOOPS[case]
    graph = lc.parse_graph(f"graph g{text}")
    model = lc.compile(graph, threads=1)
    rng = np.random.default_rng(0)
    for values in calls * 2:
        inputs = {
            value.name: rng.standard_normal(given).astype(np.float32)
            if value.dtype.value == np.float32
            else np.asarray(given, value.dtype.value)
            for value, given in zip(graph.inputs, values, strict=True)
        }
        wanted = lc.interpret(graph, inputs)
        for output, array in model.run(inputs).items():
            np.testing.assert_allclose(array, wanted[output], rtol=1e-6, atol=1e-6)


def test_long_loops_are_not_unrolled():
    text = """
    graph g(x: f32[3]) -> (y) {
      const many: i64[] = 99
      y = Loop(many, _, x) body (k: i64[], go: bool[], v: f32[3]) -> (go, w) {
        w = Loop(many, _, v) body (j: i64[], on: bool[], u: f32[3]) -> (on, t) { t = Sin(u) }
      }
    }
    """
    graph = lc.parse_graph(text)
    x = np.ones(3, np.float32)
    wanted = lc.interpret(graph, {"x": x})["y"]
    np.testing.assert_allclose(lc.compile(graph, threads=1)(x), wanted, rtol=1e-4)


def test_optimized_graphs_are_bounded(monkeypatch):
    monkeypatch.setattr(plans, "_MOST_SPECIALIZATIONS", 2)
    text = "graph g(x: f32[12], shape: i64[2]) -> (y) { r = Reshape(x, shape)\n y = Neg(r) }"
    model = lc.compile(lc.parse_graph(text), threads=1)
    for rows in (1, 2, 3, 4, 6, 12) * 2:
        assert model(np.ones(12, np.float32), [rows, -1]).shape == (rows, 12 // rows)
    assert len(model._planner._optimized) == 2


def test_shapes_known_with_the_input_shapes():
    text = """graph g(x: f32[N, 6]) -> (y: f32[A, B]) {
        const one: i64[1] = [1]
        const six: i64[1] = [6]
        n = Shape(x) {end=1}
        most = Max(n, one)
        odd = Mod(most, six)
        rows = Max(odd, one)
        all = Size(x)
        columns = Div(all, rows)
        shape = Concat(rows, columns) {axis=0}
        y = Reshape(x, shape)
    }"""
    model = lc.compile(lc.parse_graph(text))
    for n, rows in [(1, 1), (3, 3), (6, 1), (8, 2)]:
        assert model(np.zeros((n, 6), np.float32)).shape == (rows, 6 * n // rows)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"threads": 0}, ValueError, "threads must be at least 1"),
        ({"precision": "best"}, ValueError, "precision is one of highest, high, medium"),
        ({"target": "tpu"}, lc.UnsupportedError, "target 'tpu'"),
    ],
)
def test_wrong_options(options, error, message):
    with pytest.raises(error, match=message):
        lc.compile(lc.parse_graph(LINEAR), **options)


def test_a_graph_that_does_not_fit():
    text = "graph g(x: f32[N, 5], w: f32[6, 5]) -> (y: f32[N, 5]) { y = MatMul(x, w) }"
    with pytest.raises(lc.ShapeError, match="MatMul 'y'"):
        lc.compile(lc.parse_graph(text))


# Threads and processes


def in_threads(count, work):
    """Runs `work(number)` in threads; raises what any of them raised."""
    failures = []

    def guarded(number):
        try:
            work(number)
        except BaseException as error:
            failures.append(error)

    workers = [threading.Thread(target=guarded, args=(number,)) for number in range(count)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if failures:
        raise failures[0]


@pytest.mark.parametrize("threads", [1, 2])
def test_calls_from_several_threads(threads):
    graph = lc.parse_graph(CONV)
    model = lc.compile(graph, threads=threads)
    inputs = [
        np.random.default_rng(i).standard_normal((1 + i % 2, 3, 6, 5)).astype(np.float32)
        for i in range(6)
    ]
    wanted = [model(x) for x in inputs]

    def work(number):
        for call in range(1000):
            which = (call * (number + 1) + number) % len(inputs)
            assert (model(inputs[which]) == wanted[which]).all()

    in_threads(2, work)


def test_new_shapes_from_several_threads():
    model = lc.compile(lc.parse_graph(LINEAR), threads=2)

    def work(number):
        for rows in range(1, 40):
            x = np.full((rows, 6), number, np.float32)
            close(model(x, B), expected(x))

    in_threads(4, work)


def test_new_values_from_several_threads():
    text = "graph g(x: f32[12], shape: i64[2]) -> (y) { r = Reshape(x, shape)\n y = Neg(r) }"
    model = lc.compile(lc.parse_graph(text), threads=1)

    def work(number):
        for rows in (1, 2, 3, 4, 6, 12) * 3:
            assert model(np.ones(12, np.float32), [rows, -1]).shape == (rows, 12 // rows)

    in_threads(4, work)


def test_results_do_not_depend_on_threads():
    text = """
    graph net(x: f32[2, 24, 33, 31]) -> (y) {
      const w: f32[40, 24, 3, 3] = random(1)
      c = Conv(x, w) {pads=[1, 1, 1, 1]}
      r = Relu(c)
      const v: f32[31, 70] = random(2)
      y = MatMul(r, v)
    }
    """
    graph = lc.parse_graph(text)
    x = np.random.default_rng(0).standard_normal((2, 24, 33, 31)).astype(np.float32)
    alone = lc.compile(graph, threads=1)(x)
    np.testing.assert_allclose(alone, lc.interpret(graph, {"x": x})["y"], rtol=1e-3, atol=1e-3)
    for threads in (2, 3, 8):
        model = lc.compile(graph, threads=threads)
        for _ in range(3):
            assert model(x).tobytes() == alone.tobytes()


def test_pickling():
    model = lc.compile(lc.parse_graph(LINEAR), threads=1)
    again = pickle.loads(pickle.dumps(model))
    assert again.threads == 1
    assert again.graph.input_names == ["x", "b"]
    assert again(X, B).tobytes() == model(X, B).tobytes()
    fresh = lc.compile(lc.parse_graph(LINEAR))
    # "all cores" means those of the machine it wakes on
    assert fresh.__reduce__()[1][1].threads is None


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_fork():
    model = lc.compile(lc.parse_graph(LINEAR), threads=2)
    wanted = model(X, B)
    with model._planner._lock:  # as if another thread were planning
        child = os.fork()
        if child == 0:
            status = 1
            try:
                x = np.ones((9, 6), np.float32)
                close(model(x, B), expected(x))
                status = 0 if (model(X, B) == wanted).all() else 2
            finally:
                os._exit(status)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert (model(X, B) == wanted).all()
