"""Calls tell which nodes of the model as given they compute, and of which layer these are."""

# mypy: ignore-errors

from __future__ import annotations

import numpy as np
import pytest

import layercc as lc
from ir.graph import Graph
from layercc.passes import run_passes
from layercc.profiling.layers import layer_of
from layercc.session.origins import Origins
from tests.profiling.models import floats, record

BLOCK = """graph block(x: f32[N, 3, 8, 8]) -> (y) {
  const w: f32[3, 3, 3, 3] = random(1)
  const s: f32[3] = fill(1)
  c = Conv(x, w) {pads = [1, 1, 1, 1]}
  n = BatchNormalization(c, s, s, s, s)
  a = Add(n, x)
  y = Relu(a)
}"""
GELU = """graph gelu(x: f32[N, 8]) -> (y) {
  const root: f32[] = 1.4142135
  const one: f32[] = 1
  const half: f32[] = 0.5
  d = Div(x, root)  e = Erf(d)  p = Add(e, one)  m = Mul(x, p)  y = Mul(m, half)
}"""
SHAPES = """graph shapes(x: f32[N, 2, 3]) -> (y) {
  const axis: i64[1] = [0]
  const first: i64[] = 0
  const rest: i64[1] = [6]
  const w: f32[6, 4] = random(1)
  s = Shape(x)
  n = Gather(s, first)
  u = Unsqueeze(n, axis)
  t = Concat(u, rest) {axis = 0}
  r = Reshape(x, t)
  y = MatMul(r, w)
}"""
ATTENTION = """graph attention(q: f32[2, 3, 5, 4], k: f32[2, 3, 5, 4], v: f32[2, 3, 5, 4]) -> (y) {
  const half: f32[] = 0.5
  t = Transpose(k) {perm = [0, 1, 3, 2]}
  a = MatMul(q, t)  b = Mul(a, half)  c = Softmax(b)  y = MatMul(c, v)
}"""
MEAN = """graph mean(x: f32[N, 3, 4, 5]) -> (y) {
  const axes: i64[2] = [2, 3]
  y = ReduceMean(x, axes) {keepdims = 0}
}"""
GEMM = """graph gemm(x: f32[N, 3], b: f32[4]) -> (y, z) {
  const w: f32[4, 3] = random(1)
  y = Gemm(x, w, b) {transB = 1}
  z = Exp(y)
}"""


def sources(graph: Graph) -> set[tuple[str, tuple[str, ...]]]:
    optimized = run_passes(graph)
    return {(each.op, each.nodes) for each in Origins(graph).of(optimized).values()}


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (BLOCK, ("Conv", ("c", "n", "a", "y"))),  # the contraction first
        (GELU, ("Mul", ("y", "d", "e", "p", "m"))),
        (SHAPES, ("MatMul", ("y",))),
        (SHAPES, ("Reshape", ("r",))),  # not what was computed from the shape
        (BLOCK, ("Transpose", ("y",))),  # back to channels-first
        (ATTENTION, ("Attention", ("a", "t", "b", "c", "y"))),
        (MEAN, ("GlobalAveragePool", ("y",))),
        (MEAN, ("Reshape", ("y",))),
        (GEMM, ("Gemm", ("y",))),
        (GEMM, ("Exp", ("z",))),
    ],
)
def test_sources(text: str, wanted: tuple[str, tuple[str, ...]]) -> None:
    assert wanted in sources(lc.parse_graph(text))


def test_calls_carry_them() -> None:
    fn = lc.compile(lc.parse_graph(BLOCK))
    _, recording = record(fn, [floats(2, 3, 8, 8)])
    found = {call.sources for call in recording.calls if call.kind == "contraction"}
    assert found == {("c", "n", "a", "y")}
    assert {call.op for call in recording.calls if call.kind == "contraction"} == {"Conv"}


def test_every_node_has_an_origin_in_the_model() -> None:
    """Of a network of the builder, nothing but changes of layout is without."""
    model = lc.Sequential([
        lc.Input((12, 12, 3)), lc.Conv2D(8, 3), lc.BatchNormalization(), lc.ReLU(),
        lc.GlobalAveragePooling2D(), lc.Dense(5, activation="gelu"), lc.Dense(3),
    ])  # fmt: skip
    fn = lc.compile(model)
    _, recording = record(fn, [floats(1, 12, 12, 3)])
    names = dict.fromkeys((node.name for node in fn.graph.nodes), "")
    layers = []
    for call in recording.calls:
        assert call.sources and set(call.sources) <= names.keys(), call
        layers.append(layer_of(call.sources[0], names))
    assert list(dict.fromkeys(layers)) == ["conv2d", "global_average_pooling2d", "dense", "dense_1"]


def test_specialized_models() -> None:
    """Values of an input are part of the plan: the graph is another for each."""
    fn = lc.compile(
        lc.parse_graph("graph g(x: f32[6], s: i64[2]) -> (y) { r = Reshape(x, s)  y = Exp(r) }")
    )
    for shape in ([2, 3], [3, 2]):
        arrays = [floats(6), np.array(shape)]
        (y,), recording = record(fn, arrays)
        assert y.shape == tuple(shape)
        assert [call.sources for call in recording.calls if call.kind == "pointwise"] == [("y",)]


@pytest.mark.parametrize(
    ("node", "layer"),
    [
        ("/layer1/layer1.0/conv1/Conv", "layer1.0.conv1"),
        ("/layer1/layer1.1/downsample/downsample.0/Conv", "layer1.1.downsample.0"),
        ("/layer1/layer1.0/Add", "layer1.0"),
        ("/encoder/layer.0/attention/self/query/MatMul", "encoder.layer.0.attention.self.query"),
        ("/layer10/layer10.0/Add", "layer10.0"),
        ("/layer1/layer10/Add", "layer1.layer10"),  # no list of modules
        ("/Relu", "Relu"),
        ("model/conv/Conv2D", "model.conv"),
        ("dense.mat_mul", "dense"),
        ("block.dense.mat_mul", "block.dense"),
        ("dense", "dense"),
        ("a.b", "a.b"),
        ("", ""),
    ],
)
def test_layers(node: str, layer: str) -> None:
    assert layer_of(node, dict.fromkeys(["dense", "block.dense", "block", node], "")) == layer


def test_a_layer_that_the_model_names() -> None:
    assert layer_of("node_conv2d_3", {"node_conv2d_3": "layer1.0.conv1"}) == "layer1.0.conv1"
