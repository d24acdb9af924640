"""What only running can tell is a note of `check`, no error: what compiles and runs is `ok`."""

# mypy: ignore-errors

from __future__ import annotations

import warnings

import numpy as np
import pytest

import layercc as lc
from ir.parser import parse_type

RNG = np.random.default_rng(0)


def floats(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


def ints(*values):
    return np.array(values, np.int64)


SQUEEZE = """graph g(x: f32[N, a, 4]) -> (y: f32[*]) {
  const one: i64[] = 1
  const axis: i64[1] = [1]
  s = Shape(x) {start=1, end=2}
  q = Squeeze(s)
  c = Equal(q, one)
  i = If(c) then_branch () -> (p) { p = Squeeze(x, axis) } else_branch () -> (r) { r = Identity(x) }
  y = Relu(i)
}"""
NESTED = """graph g(x: f32[N, 4], u: bool[], v: bool[]) -> (y: f32[*]) {
  const axis: i64[1] = [0]
  y = If(u) then_branch () -> (p: f32[*]) {
    p = If(v) then_branch () -> (r) { r = Unsqueeze(x, axis) } else_branch () -> (s) {
      s = ReduceMax(x) {keepdims=0} }
  } else_branch () -> (t) { t = Neg(x) }
}"""
LOOP = """graph g(x: f32[N, 1], m: i64[]) -> (y: f32[*]) {
  const yes: bool[] = true
  y, rows = Loop(m, yes, x) body (i: i64[], c: bool[], v: f32[N, 1]) -> (d, w, r: f32[*]) {
    d = Identity(c)
    w = Add(v, x)
    r = Squeeze(w)
  }
}"""
SCAN = """graph g(x: f32[T, N, 1]) -> (y: f32[*]) {
  y = Scan(x) {num_scan_inputs=1} body (b: f32[N, 1]) -> (r: f32[*]) { r = Squeeze(b) }
}"""

#: Name → graph, inputs of a call. Each is open in a node without which there is no output type.
OPEN = {
    "If dim is 1": (SQUEEZE, [floats(2, 1, 4)]),
    "If dim is not 1": (SQUEEZE, [floats(2, 3, 4)]),
    "nested If": (NESTED, [floats(3, 4), np.array(True), np.array(False)]),
    "Loop": (LOOP, [floats(3, 1), np.array(2)]),
    "Scan": (SCAN, [floats(5, 3, 1)]),
    "Squeeze": ("x: f32[N, M] | y = Squeeze(x)", [floats(1, 3)]),
    "Squeeze, its reader": ("x: f32[N, M] | s = Squeeze(x)\n y = Softmax(s)", [floats(1, 3)]),
    "Squeeze of axes": ("x: f32[N, M], a: i64[K] | y = Squeeze(x, a)", [floats(1, 3), ints(0)]),
    "GatherND": (
        "x: f32[4, 5, 6], i: i64[N, K] | y = GatherND(x, i)",
        [floats(4, 5, 6), ints([1, 2], [3, 4], [0, -1])],
    ),
    "GatherND in batches": (
        "x: f32[B, 5, 6], i: i64[B, N, K] | y = GatherND(x, i) {batch_dims=1}",
        [floats(2, 5, 6), ints([[1], [2]], [[0], [4]])],
    ),
    "ScatterND": (
        "x: f32[4, 5], i: i64[N, K], u: f32[N, 5] | y = ScatterND(x, i, u)",
        [floats(4, 5), ints([1], [3]), floats(2, 5)],
    ),
    "Reshape": ("x: f32[N], s: i64[K] | y = Reshape(x, s)", [floats(6), ints(2, -1)]),
    "Expand": ("x: f32[N, 1], s: i64[K] | y = Expand(x, s)", [floats(2, 1), ints(3, 2, 4)]),
    "ConstantOfShape": ("s: i64[K] | y = ConstantOfShape(s)", [ints(2, 3)]),
    "Unsqueeze": ("x: f32[N, 4], a: i64[K] | y = Unsqueeze(x, a)", [floats(2, 4), ints(0, 3)]),
    "ReduceSum": (
        "x: f32[N, 4, 5], a: i64[K] | y = ReduceSum(x, a) {keepdims=0}",
        [floats(2, 4, 5), ints(0, 2)],
    ),
    "AffineGrid": (
        "t: f32[N, 2, 3], s: i64[4] | y = AffineGrid(t, s)",
        [floats(2, 2, 3), ints(2, 3, 4, 5)],
    ),
    "Col2Im": (
        "x: f32[N, 8, 6], s: i64[2], b: i64[2] | y = Col2Im(x, s, b)",
        [floats(1, 8, 6), ints(3, 4), ints(2, 2)],
    ),
    "MaxUnpool": (
        "x: f32[1, 1, 2, 2], i: i64[1, 1, 2, 2], s: i64[4]"
        " | y = MaxUnpool(x, i, s) {kernel_shape=[2, 2], strides=[2, 2]}",
        [floats(1, 1, 2, 2), ints([[[5, 7], [13, 15]]]), ints(1, 1, 5, 5)],
    ),
    "floats decide": (
        "x: f32[N], s: f32[K] | t = Cast(s) {to=7}\n y = Reshape(x, t)",
        [floats(6), np.array([3, 2], np.float32)],
    ),
}  # fmt: skip


def graph_of(text):
    if not text.startswith("graph"):
        inputs, nodes = text.split(" | ")
        text = f"graph g({inputs}) -> (y: f32[*]) {{ {nodes} }}"
    return lc.parse_graph(text)


@pytest.mark.parametrize("name", OPEN)
def test_what_runs_is_ok(name):
    text, arrays = OPEN[name]
    graph = graph_of(text)
    report = lc.check(graph)
    assert report.ok and not report.errors
    assert {note.code for note in report.notes} == {"data-dependent"}
    assert all("settled when the model runs" in note.message for note in report.notes)
    assert report.notes[0].node in {node.name for node in graph.nodes}
    assert "note[data-dependent]" in str(report)
    assert {"note"} <= {found["severity"] for found in report.to_dict()["diagnostics"]}
    report.raise_for_errors()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        made = lc.compile(graph, threads=1)(*arrays)
    given = dict(zip(graph.input_names, arrays, strict=True))
    expected = lc.interpret(graph, given)["y"]
    assert made.shape == expected.shape and made.dtype == expected.dtype
    np.testing.assert_allclose(made, expected, 1e-5, 1e-6)


def test_a_fault_beside_a_note_is_still_one():
    graph = lc.Graph(
        "g",
        [lc.Value("x", parse_type("f32[N, M, 3]")), lc.Value("w", parse_type("f32[4, 2]"))],
        [lc.Value("y", lc.TensorType.open_rank(lc.DType.f32))],
        [lc.Node("Squeeze", ("x",), ("y",)), lc.Node("MatMul", ("x", "w"), ("z",))],
    )
    report = lc.check(graph)
    assert not report.ok
    assert [(found.node, found.code) for found in report.errors] == [("z", "shape-mismatch")]
    assert [note.node for note in report.notes] == ["y"]
    with pytest.raises(lc.ShapeError, match="MatMul 'z'"):
        lc.compile(graph)


def test_with_sizes_that_settle_it_there_is_no_note():
    report = lc.check(graph_of(SQUEEZE), {"x": (2, 1, 4)})
    assert report.ok and not report.notes
    assert report.shapes["y"] == (2, 4)


def test_advice_beside_notes():
    """A size that would fit is found for an error, though a note remains with it."""
    graph = lc.parse_graph(
        """graph g(x: f32[1, 3, 8, 8], s: f32[N, M]) -> (y: f32[*], z: f32[1, 10]) {
  const w: f32[192, 10] = fill(0.1)
  y = Squeeze(s)
  f = Flatten(x)
  z = MatMul(f, w)
}"""
    )
    report = lc.check(graph, {"x": (1, 3, 9, 9)})
    (error,) = report.errors
    assert "fits with its declared input x: f32[1, 3, 8, 8]" in error.message


# Ranks that are open


def test_an_open_rank_is_printed_and_parsed():
    graph = graph_of(SQUEEZE)
    assert str(graph.outputs[0]) == "y: f32[*]"
    assert lc.print_graph(lc.parse_graph(lc.print_graph(graph))) == lc.print_graph(graph)
    assert "-> y: f32[*]" in str(lc.check(graph))


@pytest.mark.parametrize(
    "text",
    [
        "graph g(x: f32[*]) -> (y) { y = Relu(x) }",
        "graph g(x: f32[2]) -> (y) { y: f32[*] = Relu(x) }",
        "graph g(x: f32[2]) -> (y: f32[*, 2]) { y = Relu(x) }",
        "graph g(x: f32[2]) -> (y: f32[2, *]) { y = Relu(x) }",
        "graph g(x: f32[2]) -> (y) { const w: f32[*] = [1]\n y = Add(x, w) }",
    ],
)
def test_only_an_output_has_an_open_rank(text):
    with pytest.raises(lc.InvalidModelError, match="line 1, column"):
        lc.parse_graph(text)


def squeeze_model():
    """As PyTorch exports `squeeze(1)` under dynamic dims: no shape is declared for the output."""
    onnx = pytest.importorskip("onnx")
    helper, number = onnx.helper, onnx.numpy_helper.from_array
    out = onnx.ValueInfoProto(name="y")
    out.type.tensor_type.elem_type = 1
    branches = [
        helper.make_graph([node], name, [], [onnx.ValueInfoProto(name=node.output[0])])
        for name, node in (
            ("then", helper.make_node("Squeeze", ["x", "axes"], ["p"])),
            ("else", helper.make_node("Identity", ["x"], ["q"])),
        )
    ]
    nodes = [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("Gather", ["s", "at"], ["d"], axis=0),
        helper.make_node("Equal", ["d", "one"], ["c"]),
        helper.make_node("If", ["c"], ["y"], then_branch=branches[0], else_branch=branches[1]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", 1, ["N", "a", 4])],
        [out],
        [number(ints(1), "axes"), number(np.array(1), "at"), number(np.array(1), "one")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])


def test_an_imported_output_of_open_rank(tmp_path):
    model = squeeze_model()
    graph = lc.from_onnx(model)
    assert str(graph.outputs[0]) == "y: f32[*]"
    report = lc.check(graph)
    assert report.ok and [note.op for note in report.notes] == ["If"]
    compiled = lc.compile(model)
    assert compiled(floats(2, 1, 4)).shape == (2, 4)
    assert compiled(floats(2, 3, 4)).shape == (2, 3, 4)
    written = lc.to_onnx(graph)
    assert not written.graph.output[0].type.tensor_type.HasField("shape")
    assert str(lc.from_onnx(written).outputs[0]) == "y: f32[*]"


def test_the_command_succeeds(tmp_path):
    from click.testing import CliRunner

    from layercc.tools.cli import main

    path = tmp_path / "squeeze.onnx"
    path.write_bytes(squeeze_model().SerializeToString())
    result = CliRunner().invoke(main, ["check", str(path)])
    assert result.exit_code == 0, result.output
    assert "y: f32[*]" in result.output and "note[data-dependent] in If 'y'" in result.output
