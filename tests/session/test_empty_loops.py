"""Loops and scans that make no trip: types of stacks of nothing, interpreted and compiled.

Every expected shape is what one iteration would have stacked, behind a dim of 0.
"""

# mypy: ignore-errors

from __future__ import annotations

import warnings

import ml_dtypes
import numpy as np
import pytest

import layercc as lc
from ir.inference import infer

HEAD = "i: i64[], c: bool[]"

#: What a body stacks: carried `v: f32[K]` and the outer `x: f32[n]` → (its lines, shape of a row
#: with n = 3, dtype). No dim of the row is declared in the body.
ROWS = {
    "carried": ("row = Identity(v)", (3,), "f32"),
    "outer": ("row = Neg(x)", (3,), "f32"),
    "scalar": ("row = ReduceSum(v) {keepdims=0}", (), "f32"),
    "matrix": ("a = Unsqueeze(v, axis)\n b = Unsqueeze(v, one)\n row = Mul(a, b)", (3, 3), "f32"),
    "longer": ("row = Concat(v, x, v) {axis=0}", (9,), "f32"),
    "half": ("row = Cast(v) {to=10}", (3,), "f16"),
    "brain": ("row = Cast(v) {to=16}", (3,), "bf16"),
    "double": ("row = Cast(v) {to=11}", (3,), "f64"),
    "bool": ("row = Greater(v, x)", (3,), "bool"),
    "bytes": ("row = Cast(v) {to=2}", (3,), "u8"),
    "shape": ("row = Shape(v)", (1,), "i64"),
    "number": ("row = Identity(i)", (), "i64"),
    "by shape": (
        "s = Shape(v)\n t = Concat(two, s) {axis=0}\n row = Expand(v, t)",
        (2, 3),
        "f32",
    ),
    "by number": ("s = Add(i, five)\n row = Expand(half, s)", (5,), "f32"),
    "by value": ("k = NonZero(v)\n row = Cast(k) {to=1}", (1, 3), "f32"),
    "quantised": ("row, _, _ = DynamicQuantizeLinear(v)", (3,), "u8"),
}
CONSTANTS = """const yes: bool[] = true
  const no: bool[] = false
  const zero: i64[] = 0
  const minus: i64[] = -3
  const axis: i64[1] = [0]
  const two: i64[1] = [2]
  const one: i64[1] = [1]
  const five: i64[1] = [5]
  const half: f32[1] = [0.5]
  const many: i64[] = 4
"""
#: Why there is no trip: inputs besides x, lines before the loop, (M, cond), arrays for the inputs.
REASONS = {
    "M = 0": ("", "", "zero, yes", {}),
    "M < 0": ("", "", "minus, yes", {}),
    "M alone": ("", "", "zero, _", {}),
    "never true": ("", "", "_, no", {}),
    "cond false": ("", "", "many, no", {}),
    "M is an input": (", m: i64[]", "", "m, yes", {"m": np.array(0)}),
    "cond is an input": (", q: bool[]", "", "many, q", {"q": np.array(False)}),
    "M of one element": (", m: i64[1]", "", "m, yes", {"m": np.array([0])}),
    "M of floats": (", m: f32[]", "t = Cast(m) {to=7}", "t, yes", {"m": np.float32(0)}),
    "cond of floats": (", m: f32[]", "q = Greater(m, m)", "many, q", {"m": np.float32(0)}),
    "M of a dim": (
        ", e: f32[E, 2]",
        "s = Shape(e) {end=1}\n  t = Squeeze(s)",
        "t, yes",
        {"e": np.zeros((0, 2), np.float32)},
    ),
}


def loop(row: str, reason: str = "M = 0", goes_on: str = "Identity(c)") -> str:
    inputs, before, bounds, _ = REASONS[reason]
    return f"""graph g(x: f32[n]{inputs}) -> (last, rows) {{
  {CONSTANTS}
  {before}
  last, rows = Loop({bounds}, x) body ({HEAD}, v: f32[K]) -> (more, w, row) {{
    {ROWS[row][0]}
    more = {goes_on}
    w = Mul(v, v)
  }}
}}"""


def results(text, **arrays):
    """By the interpreter and by the compiled model, which must agree in all but the last bits."""
    graph = lc.parse_graph(text)
    expected = lc.interpret(graph, arrays)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        found = lc.compile(graph, threads=1).run(arrays)
    for name, array in expected.items():
        assert found[name].dtype == array.dtype and found[name].shape == array.shape, name
        np.testing.assert_allclose(*(a.astype(np.float64) for a in (found[name], array)), 1e-6)
    return found


X = np.array([1, -2, 3], np.float32)


@pytest.mark.parametrize("row", ROWS)
def test_rows_of_every_kind(row):
    found = results(loop(row), x=X)
    _, shape, dtype = ROWS[row]
    assert found["rows"].shape == (0, *shape)
    assert found["rows"].dtype == lc.DType[dtype].value
    np.testing.assert_array_equal(found["last"], X)


@pytest.mark.parametrize("reason", REASONS)
@pytest.mark.parametrize("row", ["carried", "half", "matrix", "by number"])
def test_for_every_reason(row, reason):
    found = results(loop(row, reason), x=X, **REASONS[reason][3])
    _, shape, dtype = ROWS[row]
    assert (found["rows"].shape, found["rows"].dtype) == ((0, *shape), lc.DType[dtype].value)
    np.testing.assert_array_equal(found["last"], X)


@pytest.mark.parametrize("goes_on", ["Less(i, many)", "Equal(i, i)"])
def test_whether_it_would_go_on_is_of_no_matter(goes_on):
    found = results(loop("carried", goes_on=goes_on), x=X)
    assert found["rows"].shape == (0, 3)


@pytest.mark.parametrize("reason", ["M = 0", "cond false", "never true"])
def test_inference_knows(reason):
    """The shape follows before running: on symbols, with the values that come out of the loop."""
    found = infer(lc.parse_graph(loop("longer", reason)))
    assert str(found.types["rows"]) == "f32[0, 3*n]"
    assert str(found.types["last"]) == "f32[n]"


def test_values_come_through_a_loop_that_never_runs():
    """Those that shapes are computed from, too."""
    found = results(
        f"""graph g(x: f32[n]) -> (y) {{
  {CONSTANTS}
  const shape: i64[2] = [-1, 3]
  s = Loop(zero, yes, shape) body ({HEAD}, v: i64[K]) -> (more, w) {{
    more = Identity(c)
    w = Add(v, v)
  }}
  y = Reshape(x, s)
}}""",
        x=X,
    )
    assert found["y"].shape == (1, 3)


def test_a_body_that_never_runs_may_not_fit():
    """As a branch that is not taken may not; then the types that the body declares count."""
    found = results(
        f"""graph g(x: f32[4]) -> (y) {{
  {CONSTANTS}
  const three: f32[3] = [1, 2, 3]
  last, y = Loop(zero, yes, x) body ({HEAD}, v: f32[K]) -> (more, w, row: f16[7, R]) {{
    more = Identity(c)
    w = Identity(v)
    s = Add(v, three)
    row = Cast(s) {{to=10}}
  }}
}}""",
        x=np.zeros(4, np.float32),
    )
    assert found["y"].shape == (0, 7, 0) and found["y"].dtype == np.float16


@pytest.mark.parametrize(
    ("line", "shape"),
    [
        ("y = Add(rows, x)", (0, 3)),
        ("y = MatMul(rows, w)", (0, 2)),
        ("y = ReduceSum(rows, axis) {keepdims=0}", (3,)),
        ("y = Transpose(rows)", (3, 0)),
        ("y = Concat(rows, also) {axis=0}", (1, 3)),
        ("y = Softmax(rows)", (0, 3)),
        ("y = Gather(rows, one) {axis=1}", (0, 1)),
        ("y = Reshape(rows, other) {allowzero=1}", (3, 0, 1)),
        ("y, _ = Split(rows, sizes) {axis=1}", (0, 2)),
    ],
)
def test_what_follows(line, shape):
    found = results(
        f"""graph g(x: f32[n], q: bool[]) -> (y) {{
  {CONSTANTS}
  const w: f32[3, 2] = random(3)
  const other: i64[3] = [3, 0, 1]
  const sizes: i64[2] = [2, 1]
  also = Unsqueeze(x, axis)
  last, rows = Loop(many, q, x) body ({HEAD}, v: f32[K]) -> (more, u, row) {{
    more = Identity(c)
    u = Tanh(v)
    row = Identity(u)
  }}
  {line}
}}""",
        x=X,
        q=np.array(False),
    )
    assert found["y"].shape == shape


NESTED = f"""graph g(x: f32[n], outer: i64[], inner: i64[]) -> (last, rows) {{
  {CONSTANTS}
  last, rows = Loop(outer, yes, x) body ({HEAD}, v: f32[K]) -> (more, w, row) {{
    more = Identity(c)
    u, row = Loop(inner, yes, v) body (j: i64[], d: bool[], a: f32[L]) -> (go, b, both) {{
      go = Identity(d)
      b = Mul(a, x)
      both = Concat(b, v) {{axis=0}}
    }}
    w = Add(u, v)
  }}
}}"""


@pytest.mark.parametrize("outer", [0, 2])
@pytest.mark.parametrize("inner", [0, 3])
@pytest.mark.parametrize("by_floats", [False, True])
def test_nested(outer, inner, by_floats):
    text, numbers = NESTED, (np.array(outer), np.array(inner))
    if by_floats:  # no plan can be made ahead
        text = text.replace("outer: i64[], inner: i64[]", "o: f32[], p: f32[]").replace(
            CONSTANTS, CONSTANTS + "\n outer = Cast(o) {to=7}\n inner = Cast(p) {to=7}"
        )
        numbers = (np.float32(outer), np.float32(inner))
    names = ("o", "p") if by_floats else ("outer", "inner")
    found = results(text, x=X, **dict(zip(names, numbers, strict=True)))
    # Of no outer trips, `inner` is a value that decides a dim and is known all the same.
    assert found["rows"].shape == (outer, inner, 6)


@pytest.mark.parametrize("taken", [True, False])
@pytest.mark.parametrize("condition", ["input", "floats"])
def test_inside_a_branch(taken, condition):
    given = "q: bool[]" if condition == "input" else "f: f32[]"
    before = "" if condition == "input" else "q = Greater(f, f0)"
    found = results(
        f"""graph g(x: f32[n], {given}) -> (y) {{
  {CONSTANTS}
  const f0: f32[] = 0
  {before}
  y = If(q) then_branch () -> (a) {{
    last, a = Loop(zero, yes, x) body ({HEAD}, v: f32[K]) -> (more, w, row) {{
      more = Identity(c)
      w = Exp(v)
      row = Mul(w, x)
    }}
  }} else_branch () -> (b) {{ b = Unsqueeze(x, axis) }}
}}""",
        x=X,
        **({"q": np.array(taken)} if condition == "input" else {"f": np.float32(taken)}),
    )
    assert found["y"].shape == ((0, 3) if taken else (1, 3))


SCANS = {
    "axis 0": ("", (0, 2)),
    "backwards": ("scan_input_directions=[1], scan_output_directions=[1],", (0, 2)),
    "output axis 1": ("scan_output_axes=[1],", (2, 0)),
    "output axis -1": ("scan_output_axes=[-1],", (2, 0)),
}


@pytest.mark.parametrize("name", SCANS)
@pytest.mark.parametrize("data_dependent", [False, True])
def test_scans_of_no_slices(name, data_dependent):
    attributes, shape = SCANS[name]
    decided = "k = NonZero(b)\n r = Cast(k) {to=1}" if data_dependent else "r = Identity(b)"
    found = results(
        f"""graph g(h: f32[S], x: f32[T, 2]) -> (y, ys) {{
  y, ys = Scan(h, x) {{{attributes} num_scan_inputs=1}} body (a: f32[S], b: f32[2]) -> (d, e) {{
    {decided}
    s = ReduceSum(r) {{keepdims=0}}
    d = Add(a, s)
    t = Sigmoid(b)
    e = Cast(t) {{to=11}}
  }}
}}""",
        h=np.ones(5, np.float32),
        x=np.zeros((0, 2), np.float32),
    )
    np.testing.assert_array_equal(found["y"], np.ones(5))
    assert found["ys"].shape == shape and found["ys"].dtype == np.float64


def test_scan_of_no_slices_along_another_axis():
    found = results(
        """graph g(x: f32[2, T, 3]) -> (ys) {
  ys = Scan(x) {num_scan_inputs=1, scan_input_axes=[1], scan_output_axes=[2]}
   body (b: f32[2, 3]) -> (e) { e = Transpose(b) }
}""",
        x=np.zeros((2, 0, 3), np.float32),
    )
    assert found["ys"].shape == (3, 2, 0)


def test_an_imported_body_that_declares_nothing():
    """ONNX lets a body leave out the types of its outputs."""
    onnx = pytest.importorskip("onnx")
    helper = onnx.helper
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["c"], ["more"]),
            helper.make_node("Add", ["v", "x"], ["w"]),
            helper.make_node("Cast", ["w"], ["row"], to=onnx.TensorProto.BFLOAT16),
        ],
        "body",
        [
            helper.make_tensor_value_info("i", 7, []),
            helper.make_tensor_value_info("c", 9, []),
            onnx.ValueInfoProto(name="v"),
        ],
        [onnx.ValueInfoProto(name=name) for name in ("more", "w", "row")],
    )
    graph = helper.make_graph(
        [helper.make_node("Loop", ["m", "", "x"], ["last", "rows"], body=body)],
        "g",
        [
            helper.make_tensor_value_info("m", 7, []),
            helper.make_tensor_value_info("x", 1, ["n", 2]),
        ],
        [
            helper.make_tensor_value_info("last", 1, ["n", 2]),
            helper.make_tensor_value_info("rows", 16, ["t", "n", 2]),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)])
    x = np.ones((5, 2), np.float32)
    rows = lc.compile(model).run({"m": np.array(0), "x": x})["rows"]
    assert rows.shape == (0, 5, 2) and rows.dtype == ml_dtypes.bfloat16
    assert lc.compile(model).run({"m": np.array(2), "x": x})["rows"].shape == (2, 5, 2)
