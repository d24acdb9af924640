"""The checker: every kind of problem, the layer table, totals, and advice on wrong input sizes."""

from __future__ import annotations

import json

import numpy as np
import pytest

import ir
from ir.totals import peak_activation_bytes
from ir.units import amount, seconds

ALEXNET = """
graph alexnet(x: f32[N, 3, 227, 227]) -> (y: f32[N, 10]) {
  const w1: f32[96, 3, 11, 11] = fill(0.1)
  const w2: f32[256, 96, 5, 5] = fill(0.1)
  const fc: f32[43264, 10] = fill(0.1)
  conv1 = Conv(x, w1) {strides=[4, 4]}
  relu1 = Relu(conv1)
  pool1 = MaxPool(relu1) {kernel_shape=[3, 3], strides=[2, 2]}
  conv2 = Conv(pool1, w2) {pads=[2, 2, 2, 2]}
  pool2 = MaxPool(conv2) {kernel_shape=[3, 3], strides=[2, 2]}
  flat = Flatten(pool2)
  y = Gemm(flat, fc)
}"""


@pytest.fixture(scope="module")
def alexnet() -> ir.Graph:
    return ir.parse_graph(ALEXNET)


def codes(report: ir.Report) -> list[tuple[str, str]]:
    return [(found.code, found.node) for found in report.diagnostics]


def test_a_good_model(alexnet: ir.Graph) -> None:
    report = ir.check(alexnet)
    assert report.ok
    assert report.diagnostics == []
    assert report.shapes["pool2"] == (ir.symbol("N"), 256, 13, 13)
    assert [layer.name for layer in report.layers] == [node.name for node in alexnet.nodes]
    weights = 96 * 3 * 121 + 256 * 96 * 25 + 43264 * 10
    assert report.totals.parameters == sum(layer.parameters for layer in report.layers) == weights
    assert report.totals.parameter_bytes == 4 * weights
    assert report.layers[0].flops == ir.symbol("N") * (2 * 96 * 55 * 55 * 3 * 121)
    assert report.totals.peak_activation_bytes is None
    report.raise_for_errors()


def test_other_input_dims_replace_the_declared_ones(alexnet: ir.Graph) -> None:
    report = ir.check(alexnet, {"x": ("2*B", 3, 227, 227)})
    assert report.shapes["y"] == (2 * ir.symbol("B"), 10)
    report = ir.check(alexnet, {"x": (2, 3, 227, 227)})
    assert report.shapes["y"] == (2, 10)
    relu = 4 * 2 * 96 * 55 * 55
    assert report.totals.peak_activation_bytes == 4 * 2 * 3 * 227 * 227 + 2 * relu


def test_a_wrong_image_size_is_traced_to_the_input(alexnet: ir.Graph) -> None:
    report = ir.check(alexnet, {"x": (1, 3, 224, 224)})
    assert codes(report) == [("shape-mismatch", "y")]
    message = report.errors[0].message
    assert "fits with its declared input x: f32[N, 3, 227, 227]" in message
    assert "conv1 (Conv) makes 54×54 from 224×224, and would make 55×55 from 227×227" in message
    steps = report.traces["y"].steps
    assert [step.name for step in steps] == [
        "x", "conv1", "relu1", "pool1", "conv2", "pool2", "flat",
    ]  # fmt: skip
    assert steps[-1].type.shape == (1, 36864)
    assert steps[-1].fitting is not None and steps[-1].fitting.shape == (1, 43264)
    with pytest.raises(ir.ShapeError, match="alexnet has 1 error") as raised:
        report.raise_for_errors()
    assert raised.value.diagnostics == tuple(report.errors)


def test_only_the_dims_at_fault_are_blamed() -> None:
    graph = ir.parse_graph(
        """
        graph g(x: f32[1, 3, 8, 8]) -> (y) {
          const shape: i64[2] = [1, 48]
          a = MaxPool(x) {kernel_shape=[2, 2], strides=[2, 2]}
          y = Reshape(a, shape)
        }"""
    )
    report = ir.check(graph, {"x": (7, 3, 9, 8)})
    assert report.errors[0].message.endswith("would fit with the input x: f32[1, 3, 9, 8]")


def test_a_size_that_would_fit_is_found() -> None:
    report = ir.check(ir.parse_graph(ALEXNET.replace("227", "224")))
    assert "would fit with the input x: f32[N, 3, 227, 227]" in report.errors[0].message


def test_the_report_as_text(alexnet: ir.Graph) -> None:
    text = str(ir.check(alexnet))
    lines = [line.split("  ") for line in text.split("\n")]
    row = next(line for line in lines if line[0] == "conv1")
    cells = [cell.strip() for cell in row if cell]
    assert cells == [
        "conv1",
        "Conv",
        "f32[N, 96, 55, 55]",
        "34.8 k",
        "211 MFLOP × N",
        "1.16 MB × N",
    ]
    assert "parameters   1.08 M (4.33 MB)" in text
    text = str(ir.check(alexnet, {"x": ("N", 3, 224, 224)}))
    assert "  y = Gemm(flat, fc)\n      ^^^^\n" in text
    assert "flat   Flatten  [N, 36864]        would be [N, 43264]" in text
    assert all(len(line) <= 110 for line in text.split("\n"))


def test_the_report_as_json(alexnet: ir.Graph) -> None:
    data = json.loads(json.dumps(ir.check(alexnet, {"x": ("N", 3, 224, 224)}).to_dict()))
    assert data["ok"] is False
    assert data["diagnostics"][0]["node"] == "y"
    assert data["tensors"]["conv1"] == {"dtype": "f32", "shape": ["N", 96, 54, 54]}
    assert data["layers"][0]["parameters"] == 96 * 3 * 121
    assert data["layers"][-1]["outputs"] == [None]
    assert data["traces"]["y"]["steps"][0]["fitting_shape"] == ["N", 3, 227, 227]


TWO = """
graph two(x: f32[N, 4], m: f32[2*N, K]) -> (y: f32[N, 4]) {
  y: f32[N, 4] = Relu(x)
  z: f32[2*N, K] = Relu(m)
}"""


@pytest.mark.parametrize(
    ("given", "code", "said"),
    [
        ({"xx": (1, 4)}, "unknown-input", "no input 'xx'; did you mean 'x'. The inputs are: x, m"),
        ({"x": (1, 4, 4)}, "wrong-rank", "rank 2, [N, 4]; [1, 4, 4] of rank 3 does not fit"),
        ({"x": (-1, 4)}, "bad-dim", "negative"),
        ({"x": (1.5, 4)}, "bad-dim", "input 'x'"),
        ({"x": (2, 4), "m": (3, 5)}, "conflicting-dim", "2*N is 4, so 3 does not fit"),
    ],
)
def test_faults_in_the_dims_given(given: dict, code: str, said: str) -> None:
    report = ir.check(ir.parse_graph(TWO), given)
    assert [found.code for found in report.errors] == [code]
    assert said in report.errors[0].message


def test_one_symbol_cannot_have_two_values() -> None:
    graph = ir.parse_graph("graph g(a: f32[N], b: f32[N]) -> (y) { y = Add(a, b) }")
    report = ir.check(graph, {"a": (3,), "b": (4,)})
    assert ("conflicting-dim", "g") in codes(report)
    assert "N would be 3 and, in input 'b', 4" in report.errors[0].message


def test_a_symbol_given_once_is_replaced_in_all_inputs() -> None:
    report = ir.check(ir.parse_graph(TWO), {"x": (3, 4)})
    assert report.ok
    assert report.shapes["z"] == (6, ir.symbol("K"))


def test_unused_inputs_and_dead_nodes_are_warnings() -> None:
    report = ir.check(ir.parse_graph(TWO))
    assert report.ok
    assert codes(report) == [("unused-input", "two"), ("dead-node", "z")]
    assert all(found.severity == "warning" for found in report.warnings)
    assert len(report.warnings) == 2


def test_all_problems_are_reported_at_once() -> None:
    graph = ir.parse_graph(
        """
        graph bad(x: f32[N, 4], i: i64[N]) -> (y: f32[N, 5]) {
          const w: f32[5, 3] = fill(1)
          a: f32[N, 3] = MatMul(x, w)
          b: f32[N, 4] = NoSuchOp(x)
          c: f32[N, 4] = Add(x, i)
          d: f32[N, 4] = Relu(missing)
          e: f32[N] = Relu(x)
          y: f32[N, 4] = Relu(x)
        }"""
    )
    found = {(problem.code, problem.node) for problem in ir.check(graph).errors}
    assert found == {
        ("shape-mismatch", "a"),
        ("unsupported-op", "b"),
        ("bad-dtype", "c"),
        ("undefined-value", "d"),
    }
    warned = [(problem.code, problem.node) for problem in ir.check(graph).warnings[:2]]
    assert warned == [("declared-shape", "e"), ("declared-shape", "y")]


def test_a_cycle_is_a_problem_and_no_crash() -> None:
    graph = ir.parse_graph(
        "graph g(x: f32[N]) -> (b: f32[N]) { a: f32[N] = Add(x, b) b: f32[N] = Relu(a) }"
    )
    assert [found.code for found in ir.check(graph).errors] == ["undefined-value"]


def test_constants_count_once_and_shapes_are_no_parameters() -> None:
    report = ir.check(
        ir.parse_graph(
            """
            graph g(x: f32[N, 4]) -> (y) {
              const w: f32[4] = fill(1)
              const unread: f32[100] = fill(1)
              const shape: i64[2] = [-1, 2]
              a = Add(x, w)
              b = Add(a, w)
              y = Reshape(b, shape)
            }"""
        )
    )
    assert report.ok
    assert [layer.parameters for layer in report.layers] == [4, 0, 0]
    assert report.totals.parameters == 4


def test_a_model_without_nodes() -> None:
    graph = ir.parse_graph("graph g(x: f32[2, 3]) -> (x: f32[2, 3]) {}")
    report = ir.check(graph)
    assert report.ok
    assert report.totals.peak_activation_bytes == 24
    assert "parameters" in str(report)


def test_peak_activation_bytes_against_counting_each_step() -> None:
    graph = ir.parse_graph(
        """
        graph g(x: f32[8]) -> (y) {
          a = Relu(x)
          b = Concat(a, a) {axis=0}
          unread = Relu(b)
          c = Relu(a)
          d = Concat(c, b) {axis=0}
          y = Relu(d)
        }"""
    )
    # alive at each node: x a | x a b | x a b unread | x a b c | x b c d | x d y
    steps = [16, 32, 48, 40, 56, 56]
    assert peak_activation_bytes(graph, graph.types) == 4 * max(steps)


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0, "", "0"),
        (999, "B", "999 B"),
        (1000, "", "1.00 k"),
        (999_499, "", "999 k"),
        (999_500, "", "1.00 M"),
        (25_300_000, "B", "25.3 MB"),
        (ir.symbol("N") * 2_500, "B", "2.50 kB × N"),
        (ir.symbol("N") + 1, "FLOP", "N + 1 FLOP"),
        (None, "B", "?"),
    ],
)
def test_amounts(value: object, unit: str, text: str) -> None:
    assert amount(value, unit) == text  # type: ignore[arg-type]


def test_seconds() -> None:
    assert [seconds(v) for v in (1.5, 0.0258, 3.1e-5)] == ["1.5 s", "25.8 ms", "31 µs"]


def test_node_names_need_not_be_unique() -> None:
    graph = ir.Graph(
        "g",
        [ir.Value("x", ir.TensorType(ir.DType.f32, (2,)))],
        [ir.Value("b", ir.TensorType(ir.DType.f32, (2,)))],
        [ir.Node("Relu", ("x",), ("a",), name="n"), ir.Node("Relu", ("a",), ("b",), name="n")],
        {"unused": np.zeros(3, np.float32)},
    )
    assert [layer.flops for layer in ir.check(graph).layers] == [2, 2]
