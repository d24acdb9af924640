"""A function of layers as an op: expanded when compiled, a function in ONNX."""

# mypy: ignore-errors

from __future__ import annotations

import pickle

import numpy as np
import onnx
import pytest

import layercc as lc
from tests.own.own_ops import block, halves, swiglu, tower

ORT = pytest.importorskip("onnxruntime")


def network():
    x = lc.Input((5,), name="x")
    gate, up = np.arange(32, dtype=np.float32).reshape(2, 8, 2) / 16 - 1
    y = swiglu(block(block(x), units=8), gate, up, np.ones(2, np.float32))
    first, second = halves(y)
    return lc.Model(x, first - second)


def test_expanded_where_it_is_compiled():
    model = network()
    assert [n.op for n in model.nodes][:3] == ["tests.block", "tests.block", "tests.swiglu"]
    x = np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32)
    wanted = lc.interpret(model, {"x": x})[model.output_names[0]]
    fn = lc.compile(model, threads=1)
    np.testing.assert_allclose(fn(x), wanted, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(fn))(x), fn(x))
    assert fn(x[:0]).shape == (0, 1)


def test_layers_inside_have_their_weights_outside():
    model = network()
    layers = [layer for layer in model.layers if type(layer).__name__ == "block"]
    assert [[w.name for w in layer.weights] for layer in layers] == [
        ["kernel", "bias", "gamma", "beta"]
    ] * 2
    assert {"block.kernel", "block_1.kernel", "block_1.beta"} <= set(model.constants)
    assert layers[0].count_params() == 5 * 3 + 3 * 3
    layers[0].set_weights([np.zeros_like(w) for w in layers[0].get_weights()])
    assert not model.constants["block.kernel"].any()


def test_a_layer_that_is_used_twice_shares_its_weights():
    x = lc.Input((3,), name="x")
    layer = block.layer()
    model = lc.Model(x, layer(layer(x)))
    first, second = model.nodes
    assert first.inputs[1:] == second.inputs[1:] and len(model.constants) == 4


def test_composites_in_composites():
    x = lc.Input((5,), name="x")
    model = lc.Model(x, tower(x))
    names = [
        "dense.kernel",
        "dense.bias",
        "block.kernel",
        "block.bias",
        "block.gamma",
        "block.beta",
    ]
    names += ["block_1.kernel", "block_1.bias", "block_1.gamma", "block_1.beta"]
    assert [weight.name for weight in model.weights] == names
    given = np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32)
    wanted = lc.interpret(model, {"x": given})[model.output_names[0]]
    np.testing.assert_allclose(lc.compile(model, threads=1)(given), wanted, rtol=1e-5, atol=1e-6)
    proto = lc.to_onnx(model)
    assert [f.name for f in proto.functions] == ["swish", "block", "block", "tower"]
    (got,) = ORT.InferenceSession(proto.SerializeToString()).run(None, {"x": given})
    np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-5)


def test_export_as_functions():
    model = network()
    proto = lc.to_onnx(model)
    onnx.checker.check_model(proto)
    overloads = [(f.name, f.overload) for f in proto.functions if f.name != "swish"]
    assert overloads == [("block", ""), ("block", "1"), ("swiglu", ""), ("halves", "")]
    x = np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32)
    (got,) = ORT.InferenceSession(proto.SerializeToString()).run(None, {"x": x})
    fn = lc.compile(model, threads=1)
    np.testing.assert_allclose(got, fn(x), rtol=1e-4, atol=1e-5)
    again = lc.from_onnx(proto)
    assert [n.op for n in again.nodes] == [n.op for n in model.nodes]
    np.testing.assert_array_equal(lc.compile(again, threads=1)(x), fn(x))


def test_what_does_not_fit_is_told_of_the_layer_inside():
    text = "graph g(x: f32[2, 5], w: f32[4, 3]) -> (y: f32[2, 3]) { y = tests.swiglu(x, w, w) }"
    (problem,) = lc.check(lc.parse_graph(text)).errors
    assert "in swiglu (" in problem.message and "own_ops.py:" in problem.message
    assert problem.op == "tests.swiglu"
    with pytest.raises(lc.ShapeError, match="input 'up' is missing"):
        swiglu(lc.Input((5,)), np.ones((4, 3), np.float32))
    with pytest.raises(lc.ShapeError, match="swiglu"):
        swiglu(lc.Input((5,)), np.ones((4, 3), np.float32), np.ones((4, 3), np.float32))
    missing = lc.parse_graph("graph g(x: f32[2, 5]) -> (y: f32[2, 3]) { y = tests.block(x) }")
    (problem,) = lc.check(missing).errors
    assert "have the weights kernel f32[5, 3], bias f32[3]" in problem.message


def test_a_function_that_is_none_of_tensors():
    @lc.op(domain="tests.broken", composite=True)
    def branching(x):
        return x if x else -x

    x = lc.Input((5,))
    with pytest.raises(lc.ShapeError, match=r"branching \(.*\) is no function of the builder's"):
        branching(x)

    @lc.op(domain="tests.broken")
    def layered(x):
        return lc.Dense(3)(x)

    with pytest.raises(lc.ShapeError, match=r"is no function of scalars.*composite=True"):
        layered(x)


def test_in_the_branches_of_an_if():
    graph = lc.parse_graph(
        """graph g(x: f32[N, 4], w: f32[4, 4], c: bool[]) -> (y: f32[N, 4]) {
          y = If(c)
            then_branch () -> (a) { a = tests.swiglu(x, w, w) }
            else_branch () -> (b) { b = tests.swish(x) }
        }"""
    )
    random = np.random.default_rng(0)
    x, w = random.normal(size=(3, 4)), random.normal(size=(4, 4))
    fn = lc.compile(graph, threads=1)
    for chosen in (True, False):
        given = {"x": x.astype(np.float32), "w": w.astype(np.float32), "c": np.array(chosen)}
        wanted = lc.interpret(graph, given)["y"]
        np.testing.assert_allclose(fn(**given), wanted, rtol=1e-5, atol=1e-6)
    assert [function.name for function in lc.to_onnx(graph).functions] == ["swiglu", "swish"]
