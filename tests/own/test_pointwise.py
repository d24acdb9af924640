"""A scalar function as an op: computed, fused, checked, exported."""

# mypy: ignore-errors

from __future__ import annotations

import pickle

import numba
import numpy as np
import onnx
import pytest

import layercc as lc
from ir.diagnostics import LayerccError
from layercc.passes import run_passes
from tests.own.own_ops import gated, kinked, near, scrambled, squashed, steep, swish

ORT = pytest.importorskip("onnxruntime")


def graph_of(op, *kinds, attributes=""):
    inputs = ", ".join(f"x{i}: {kind}" for i, kind in enumerate(kinds))
    names = ", ".join(f"x{i}" for i in range(len(kinds)))
    return lc.parse_graph(
        f"graph g({inputs}) -> (y) {{ y = tests.{op.__name__}({names}) {attributes} }}"
    )


def sample(kind, seed=0):
    dtype, shape = kind.removesuffix("]").split("[")
    sizes = [int(size) for size in shape.split(",") if size]
    random = np.random.default_rng(seed)
    numpy = np.dtype(lc.DType[dtype].value)
    if dtype == "bool":
        return random.random(sizes) > 0.5
    if numpy.kind in "iu":
        return random.integers(0, 40, sizes).astype(numpy)
    made = random.normal(scale=2, size=sizes).astype(numpy)
    made.flat[:3] = [np.nan, np.inf, -np.inf][: made.size]
    return made


CASES = [
    (swish, ["f32[3, 7]"], ""),
    (swish, ["f64[5]"], "{beta=0.25}"),
    (swish, ["f16[13]"], ""),
    (swish, ["bf16[13]"], "{beta=2.0}"),
    (swish, ["f32[0, 7]"], ""),
    (gated, ["f32[3, 1]", "f32[7]", "bool[3, 7]"], ""),
    (gated, ["i32[3, 1]", "i32[7]", "bool[3, 7]"], "{low=2.0, flip=1}"),
    (steep, ["f32[3, 7]", "f32[7]"], "{k=3}"),
    (steep, ["f32[3, 7]"], "{k=3}"),
    (near, ["f32[3, 7]", "f32[7]", "f32[1]"], ""),
    (near, ["i64[11]"], ""),
    (scrambled, ["u8[11]", "u8[11]"], ""),
    (squashed, ["f32[3, 7]"], ""),
    (kinked, ["f32[3, 7]"], "{slope=0.25}"),
]


@pytest.mark.parametrize(("op", "kinds", "attributes"), CASES)
def test_compiled_as_interpreted(op, kinds, attributes):
    graph = graph_of(op, *kinds, attributes=attributes)
    arrays = [sample(kind, i) for i, kind in enumerate(kinds)]
    wanted = lc.interpret(graph, dict(zip(graph.input_names, arrays, strict=True)))["y"]
    got = lc.compile(graph, threads=1)(*arrays)
    assert got.dtype == wanted.dtype and got.shape == wanted.shape
    tolerance = 1e-2 if kinds[0][:3] in ("f16", "bf1") else 1e-5
    kind = np.float64 if got.dtype.kind == "V" else got.dtype  # bfloat16
    np.testing.assert_allclose(got.astype(kind), wanted.astype(kind), rtol=tolerance, atol=1e-6)


def test_the_reference_is_the_function():
    x = np.linspace(-3, 3, 11)
    y = x[::-1].copy()
    np.testing.assert_allclose(swish(x, beta=0.5), x / (1 + np.exp(-0.5 * x)))
    wanted = [np.exp(-a) * 2 if a > b else b for a, b in zip(x, y, strict=True)]
    np.testing.assert_allclose(steep(x, y), wanted)
    assert near(x, x + 0.5, x + 2).tolist() == [False] * 11


def test_it_is_fused_with_its_neighbours():
    x = lc.Input((16,), name="x")
    y = lc.Dense(8)(x)
    model = lc.Model(x, swish(swish(y) * 2.0 + 1.0, beta=0.5))
    (node,) = run_passes(model).nodes  # one contraction with all of it behind
    assert node.op == "layercc.Fused"
    assert [inner.op for inner in node.attributes["body"].nodes][-1] == "tests.swish"


def test_among_convolutions_in_their_layout():
    graph = lc.parse_graph(
        """graph g(x: f32[N, 3, 9, 9], slope: f32[6, 1, 1]) -> (y: f32[N, 4, 9, 9]) {
          const w: f32[6, 3, 3, 3] = random(0)
          const v: f32[4, 6, 3, 3] = random(1)
          a = Conv(x, w) {pads=[1, 1, 1, 1]}
          b = tests.steep(a, slope)
          y = Conv(b, v) {pads=[1, 1, 1, 1]}
        }"""
    )
    random = np.random.default_rng(0)
    x = random.normal(size=(2, 3, 9, 9)).astype(np.float32)
    slope = random.random((6, 1, 1)).astype(np.float32)
    wanted = lc.interpret(graph, {"x": x, "slope": slope})["y"]
    got = lc.compile(graph, threads=1)(x, slope)
    np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-4)
    ops = [node.op for node in run_passes(graph).nodes]
    assert ops.count("layercc.Fused") == 1 and "tests.steep" not in ops


def test_names_and_attributes_in_the_builder():
    x = lc.Input((4,), name="x")
    model = lc.Sequential([x, swish.layer(beta=0.5, name="first"), swish.layer()])
    assert [(node.name, node.op) for node in model.nodes] == [
        ("first", "tests.swish"),
        ("swish", "tests.swish"),
    ]
    assert model.nodes[0].attributes == {"beta": 0.5} and not model.nodes[1].attributes
    assert str(model.nodes[1].source).startswith(__file__)
    with pytest.raises(TypeError, match=r"swish \(.*own_ops.py:\d+\) has no attribute 'gamma'"):
        swish(x, gamma=1)
    with pytest.raises(TypeError, match="attribute 'beta' is 'much'; float would fit"):
        swish(x, beta="much")


@pytest.mark.parametrize(
    ("inputs", "node", "code", "message"),
    [
        ("x: i32[2]", "swish(x)", "bad-dtype", "'x' is i32"),
        ("x: f32[2]", "swish(x, x)", "bad-arity", "2 inputs given, 1"),
        ("x: f32[2]", "swish(x) {gamma=1}", "bad-attribute", "the op has beta"),
        ("x: f32[2]", 'swish(x) {beta="a"}', "bad-attribute", "is 'a'; float would fit"),
        ("x: f32[2], z: f32[3]", "steep(x, z)", "shape-mismatch", "2 against 3"),
        ("x: f32[2]", "gated(x)", "missing-input", "input 'y' is missing"),
    ],
)
def test_check_finds_what_does_not_fit(inputs, node, code, message):
    graph = lc.parse_graph(f"graph g({inputs}) -> (y: f32[2]) {{ y = tests.{node} }}")
    (problem,) = lc.check(graph).errors
    assert problem.code == code and message in problem.message


@pytest.mark.parametrize("op", [swish, gated, squashed], ids=lambda op: op.__name__)
def test_export_as_a_function(op):
    kinds = {"swish": ["f32[3, 7]"], "squashed": ["f32[7]"]}
    kinds = kinds.get(op.__name__, ["f32[3, 7]", "f32[7]", "bool[3, 7]"])
    graph = graph_of(op, *kinds)
    model = lc.to_onnx(graph)
    onnx.checker.check_model(model)
    assert [function.name for function in model.functions] == [op.__name__]
    arrays = [sample(kind, i) for i, kind in enumerate(kinds)]
    session = ORT.InferenceSession(model.SerializeToString())
    given = dict(zip(graph.input_names, arrays, strict=True))
    (got,) = session.run(None, given)
    np.testing.assert_allclose(got, lc.interpret(graph, given)["y"], rtol=1e-5, atol=1e-6)
    again = lc.from_onnx(model)
    assert [node.op for node in again.nodes] == [f"tests.{op.__name__}"]
    (node,) = model.graph.node
    node.domain = model.functions[0].domain = "elsewhere"  # as in a process that lacks the op
    model.opset_import[1].domain = "elsewhere"
    assert "elsewhere" not in str(lc.from_onnx(model))


def test_export_of_what_onnx_cannot_say():
    model = lc.to_onnx(graph_of(steep, "f32[7]", "f32[7]"))
    assert not model.functions and model.graph.node[0].domain == "tests"
    assert [node.op for node in lc.from_onnx(model).nodes] == ["tests.steep"]


def test_an_older_version_of_the_domain_is_refused():
    model = lc.to_onnx(graph_of(swish, "f32[7]"))
    assert {entry.domain: entry.version for entry in model.opset_import}["tests"] == 3
    model.opset_import[1].version = 2
    with pytest.raises(
        lc.UnsupportedError, match=r"version 2 .*own_ops.py:\d+ came with version 3"
    ):
        lc.from_onnx(model)


def test_pickled():
    fn = lc.compile(graph_of(swish, "f32[3, 7]"), threads=1)
    x = sample("f32[3, 7]")
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(fn))(x), fn(x))


def test_a_model_whose_ops_are_not_there():
    text = "graph g(x: f32[3]) -> (y: f32[3]) { y = tests.nowhere.op(x) }"
    (problem,) = lc.check(lc.parse_graph(text)).errors
    assert problem.message.endswith("if a module defines it by @lc.op, import that first")


# --- what cannot become an op


def test_two_functions_of_one_name():
    with pytest.raises(lc.OpDefinitionError, match=r"there is an op tests.swish .*own_ops.py:\d+"):

        @lc.op(domain="tests")
        def swish(x):
            return x


def test_a_function_defined_again_replaces_itself():
    def make(factor):
        @lc.op(domain="tests.again")
        def scaled(x):
            return factor * x

        return scaled

    graph = lc.parse_graph("graph g(x: f32[3]) -> (y: f32[3]) { y = tests.again.scaled(x) }")
    x = np.arange(3, dtype=np.float32)
    for factor in (2.0, 3.0):
        kept = make(factor)
        np.testing.assert_array_equal(lc.compile(graph, threads=1)(x), factor * x)
        assert kept.name == "tests.again.scaled"


def refused(match, *, function=None, **options):
    def plain(x):
        return x

    with pytest.raises(lc.OpDefinitionError, match=match) as caught:
        lc.op(**{"domain": "tests.refused", **options})(function or plain)
    assert __file__ in str(caught.value)


def test_signatures_that_no_op_has():
    refused("it has no input", function=lambda: 1)
    refused(r"\*\*options says no attributes", function=lambda x, **options: x)
    refused("the default {}; a number", function=lambda x, *, table={}: x)
    refused("'k' has neither a default nor an annotation", function=lambda x, *, k: x)
    refused("domain 'layercc' is not yours", domain="layercc")
    refused("types='reel' is no set of element types; any, ", types="reel")
    refused("types names 'z', which is no input", types={"z": "int"})
    refused("shape='z' names no input; it has x", shape="z", function=lambda x, out: None)
    refused("has none called 'out'", shape="x")
    refused("composite=True and shape= exclude", shape="x", composite=True)
    refused("a Numba function of arrays needs a rule", function=numba.njit(lambda x: x))
    refused("keras='my::op': a class would fit", keras="my::op")
    refused("torch='relu': a class, or a custom op", torch="relu")
    for types in ("float", {"x": "any"}):
        refused("has more than arrays can hold", shape="x", types=types, function=lambda x, out: 0)
    refused("parallel= and outputs= are for functions of arrays", parallel=("x",))
    with pytest.raises(lc.OpDefinitionError, match="takes a function; 3 is none"):
        lc.op(3)


def test_functions_that_are_none_of_scalars():
    @lc.op(domain="tests.broken")
    def summed(x):
        return x.sum()

    graph = lc.parse_graph("graph g(x: f32[3]) -> (y: f32[3]) { y = tests.broken.summed(x) }")
    (problem,) = lc.check(graph).errors
    assert problem.code == "bad-function"
    assert f"summed ({__file__}:" in problem.message and "no attribute 'sum'" in problem.message
    with pytest.raises(LayerccError, match="no attribute 'sum'"):
        lc.compile(graph)

    @lc.op(domain="tests.broken")
    def picky(x):
        if x > 0:
            raise ValueError("positive")
        return x

    graph = lc.parse_graph("graph g(x: f32[3]) -> (y: f32[3]) { y = tests.broken.picky(x) }")
    with pytest.raises(lc.UnsupportedError, match=r"(?s)picky \(.*does not compile.*cannot raise"):
        lc.compile(graph)
