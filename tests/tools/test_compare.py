"""Two models, or one on two runtimes, layer by layer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import ir
import layercc as lc
from benchmarks.networks import NETWORKS
from ir.renaming import rename
from layercc.tools.compare import compare, sides
from layercc.tools.compare.align import align
from layercc.tools.compare.exact import evaluate
from layercc.tools.compare.extract import extract, frontier
from layercc.tools.compare.onnx_part import OnnxFile
from layercc.tools.compare.weights import differing_weights
from layercc.tools.peers import PEERS
from tests.tools.networks import Maker, attention, cnn, lstm, quantized, residual

#: Runtimes here that read files of ONNX themselves.
WHOLE_FILES = [name for name in ("onnxruntime", "openvino") if PEERS[name].is_installed]

SMALL = [cnn, residual, attention, lstm, quantized]
LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"


def renamed(graph: ir.Graph) -> ir.Graph:
    """The graph under other names, inputs and outputs included."""
    names = {name: f"v{i}" for i, name in enumerate(sorted(graph.value_names()))}
    made = graph.copy()
    made.nodes = [replace(rename(node, names), name=f"n{i}") for i, node in enumerate(graph.nodes)]
    made.inputs = [replace(v, name=names[v.name]) for v in graph.inputs]
    made.outputs = [replace(v, name=names[v.name]) for v in graph.outputs]
    made.constants = {names[name]: array for name, array in graph.constants.items()}
    made.types = {}
    return made


# --- no false alarm


@pytest.mark.parametrize("against", ["reference64", "reference", "onnxruntime", "threads=1"])
@pytest.mark.parametrize("network", SMALL)
def test_no_layer_departs(network: Callable[[], ir.Graph], against: str) -> None:
    found = compare(network(), against=against)
    assert found.same and found.verdict == "same", str(found)
    assert all(layer.local is not None for layer in found.layers)
    assert "no layer departs" in found.said


@pytest.mark.parametrize("network", SMALL)
def test_nothing_is_found_inside(network: Callable[[], ir.Graph]) -> None:
    found = compare(network(), passes=True)
    assert found.verdict == "same", str(found)
    assert [step.partition(":")[0] for step in found.steps] == ["passes", "kernels", "plan"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["squeezenet", "shufflenet"])
def test_light_models_do_not_depart(name: str) -> None:
    found = compare(LIGHT / f"light_{name}.onnx")
    assert found.verdict == "same", str(found)


@pytest.mark.slow
def test_a_network_of_the_benchmark_does_not_depart() -> None:
    network = NETWORKS["resnet18"]
    found = compare(network.build(), inputs=network.example_inputs())
    assert found.verdict == "same", str(found)


def test_values_are_looked_at_a_few_at_a_time() -> None:
    whole, chunked = compare(residual()), compare(residual(), memory=1000)
    assert [x.pair.left for x in chunked.layers] == [x.pair.left for x in whole.layers]
    assert chunked.verdict == "same"


def test_passes_are_followed_by_outputs_where_values_take_too_much() -> None:
    found = compare(residual(), passes=True, memory=1000)
    assert found.verdict == "same", str(found)
    assert [step.partition(":")[0] for step in found.steps] == ["passes", "kernels", "plan"]


def test_half_precision() -> None:
    make = Maker("half")
    x = make.node("Cast", [make.input("x", (3, 17))], "narrow", to=ir.DType.bf16.onnx)
    make.constant("w", make.random.standard_normal((17, 17)), ir.DType.bf16.value)
    for i in range(4):
        x = make.node("Tanh", [make.node("MatMul", [x, "w"], f"product{i}")], f"tanh{i}")
    found = compare(make.done(x))
    assert found.verdict == "same", str(found)
    assert min(layer.local.tolerance for layer in found.layers if layer.local) > 1e-2


def test_levels_half_way_between_two_are_no_fault() -> None:
    """But a level that is off by one elsewhere is."""
    make = Maker("ties")
    x = make.input("x", (1, 64))
    make.constant("scale", 0.1)
    graph = make.done(make.node("QuantizeLinear", [x, "scale"], "levels"))
    ties = (np.arange(64, dtype=np.float32)[None] + np.float32(0.5)) * np.float32(0.1)
    exact, other = graph.copy(), graph.copy()
    other.constants = {"scale": np.asarray(np.nextafter(graph.constants["scale"], np.float32(1)))}
    found = compare(exact, other, inputs={"x": ties}, on="reference")
    assert found.layers[0].local is not None and found.layers[0].note, str(found)
    assert found.verdict == "weights"
    other.constants = {"scale": np.array(0.11, np.float32)}
    apart = {"x": ties - np.float32(0.03)}
    assert compare(exact, other, inputs=apart, on="reference").culprit is not None


def test_cancellation_is_no_fault() -> None:
    """A sum of numbers that cancel has a large relative error, on any machine."""
    make = Maker("cancelling")
    x = make.input("x", (5, 64))
    big = make.node("Mul", [x, make.constant("large", 1e4)], "big")
    both = make.node("Concat", [big, make.node("Neg", [big], "negative"), x], "both", axis=1)
    make.constant("ones", np.ones((192, 3)))
    found = compare(make.done(make.node("MatMul", [both, "ones"], "sum")), against="onnxruntime")
    assert found.same, str(found)


# --- two models


def test_models_under_other_names_are_aligned() -> None:
    for network in SMALL:
        graph = network()
        found = compare(graph, renamed(graph))
        assert found.verdict == "same", str(found)
        assert found.alone == ([], [])
        assert len(found.layers) == len([x for n in graph.nodes for x in n.outputs]) or found.layers
        assert any("matched by position" in note for note in found.notes)


def test_nodes_without_a_partner_are_listed() -> None:
    """A GELU that one of the models writes out."""
    written, graph = attention(), attention()
    at = next(i for i, node in enumerate(graph.nodes) if node.name == "gelu.scaled")
    end = next(i for i, node in enumerate(graph.nodes) if node.name == "gelu")
    graph.nodes[at : end + 1] = [ir.Node("Gelu", ("wide",), ("gelu",), {}, "activation")]
    found = compare(written, renamed(graph))
    assert found.verdict == "same", str(found)
    assert found.alone[0] == [
        "Div 'gelu.scaled'",
        "Erf 'gelu.erf'",
        "Add 'gelu.one'",
        "Mul 'gelu.y'",
        "Mul 'gelu'",
    ]
    assert [text.partition(" ")[0] for text in found.alone[1]] == ["Gelu"]
    assert {"narrow", "sum2"} <= {layer.pair.left for layer in found.layers}


def test_one_element_of_one_weight() -> None:
    graph = residual()
    weight = graph.constants["block2.conv1.weight"].copy()
    weight[3, 2, 1, 1] += 0.5
    other = graph.copy()
    other.constants["block2.conv1.weight"] = weight
    for partner in (other, renamed(other)):
        found = compare(graph, partner)
        assert found.verdict == "layer" and found.culprit is not None
        assert found.culprit.pair.node.name == "block2.conv1"
        (difference,) = found.weights
        assert difference.name == "block2.conv1.weight"
        assert [node.name for node in difference.users] == ["block2.conv1"]
        assert difference.difference.index == (3, 2, 1, 1) and difference.difference.count == 1
        assert difference.largest == pytest.approx(0.5)
        assert "explained by the weights: 'block2.conv1.weight'" in found.said


def test_a_weight_that_hardly_matters_is_named_all_the_same() -> None:
    graph = residual()
    other = graph.copy()
    bias = graph.constants["stem.bias"].copy()
    bias[2] *= 1 + 2**-22
    other.constants["stem.bias"] = bias
    found = compare(graph, other)
    assert found.verdict == "weights" and not found.same
    assert "weight 'stem.bias', used by Conv 'stem': 1 of 6 elements differ" in str(found)


def test_a_weight_rounded_to_bf16() -> None:
    graph = cnn()
    other = graph.copy()
    weight = graph.constants["conv2.weight"]
    other.constants["conv2.weight"] = weight.astype(ir.DType.bf16.value).astype(np.float32)
    found = compare(graph, other)
    assert found.culprit is not None and found.culprit.pair.left == "conv2"
    (difference,) = found.weights
    assert difference.rounded == "bf16"
    assert "one is the other rounded to bf16" in str(found)
    assert "explained by the weights" in found.said


def test_an_attribute_that_differs() -> None:
    graph, other = cnn(), cnn()
    other.nodes = [
        replace(node, attributes={"epsilon": 0.1}) if node.name == "norm2" else node
        for node in other.nodes
    ]
    found = compare(graph, other)
    assert found.culprit is not None and found.culprit.pair.left == "norm2"
    assert found.weights == []
    assert "its weights are the same" in found.said


def test_another_element_type() -> None:
    graph, other = cnn(), cnn()
    for each, to in ((graph, 1), (other, 11)):
        each.nodes.append(ir.Node("Cast", ("probabilities",), ("out",), {"to": to}))
        kind = each.types["probabilities"].with_dtype(ir.DType.f32 if to == 1 else ir.DType.f64)
        each.outputs = [ir.Value("out", kind)]
    found = compare(graph, other)
    assert found.outputs["out"].kind == "dtype"
    assert not found.same


def test_models_that_do_not_fit_together() -> None:
    with pytest.raises(lc.InputError, match=r"input x: f32.* of the first and x: f32.* differ"):
        compare(cnn(), lstm())
    with pytest.raises(lc.InputError, match="their outputs are"):
        graph = cnn()
        graph.outputs.append(ir.Value("logits", graph.types["logits"]))
        compare(cnn(), graph)
    with pytest.raises(lc.InputError, match="nothing to compare with is called 'abacus'"):
        compare(cnn(), against="abacus")
    with pytest.raises(lc.InputError, match="precision is one of"):
        compare(cnn(), against="precision=exact")
    with pytest.raises(lc.InputError, match="passes are those of layercc"):
        compare(cnn(), on="reference", passes=True)


# --- growth


def test_errors_of_a_layer_and_errors_that_it_passes_on() -> None:
    """One layer is at fault; those behind it are not, whatever they are given."""
    graph, other = cnn(), cnn()
    other.constants["norm1.mean"] = other.constants["norm1.mean"] + np.float32(0.25)
    found = compare(graph, other)
    assert [layer.pair.left for layer in found.layers if layer.departs] == ["norm1"]
    behind = [layer for layer in found.layers if layer.pair.left in ("relu1", "conv2", "norm2")]
    assert all(layer.accumulated and layer.accumulated.departs for layer in behind)


def test_a_model_that_amplifies_errors() -> None:
    """A logistic map doubles errors a step, which is no fault of any step."""
    make = Maker("chaos")
    x = make.node("Sigmoid", [make.input("x", (1, 33))], "start")
    for i in range(30):
        rest = make.node("Sub", [make.constant("one", 1), x], f"rest{i}")
        y = make.node("Mul", [x, rest], f"square{i}")
        x = make.node("Mul", [y, make.constant("rate", 3.99)], f"step{i}")
    found = compare(make.done(x))
    assert found.outputs[x].departs
    assert found.verdict == "amplified" and found.same, str(found)
    assert "the model amplifies errors" in found.said


def test_nothing_is_found_inside_a_model_that_amplifies_errors() -> None:
    """Sums of squares less squares of sums, as JAX writes a variance, of nearly equal numbers."""
    make = Maker("variance")
    x = make.node("Add", [make.input("x", (4, 64)), make.constant("much", 300)], "moved")
    mean = make.node("ReduceMean", [x, make.constant("last", [-1], np.int64)], "mean")
    squares = make.node("ReduceMean", [make.node("Mul", [x, x], "square"), "last"], "squares")
    x = make.node("Sub", [squares, make.node("Mul", [mean, mean], "square2")], "variance")
    x = make.node("Sqrt", [make.node("Add", [x, make.constant("least", 1e-3)], "more")], "root")
    found = compare(make.done(make.dense(x, "dense", (1, 3))), passes=True)
    assert found.verdict == "amplified", str(found)
    assert [step.partition(":")[0] for step in found.steps] == ["passes", "kernels", "plan"]


CHOOSING = """
<ir_version: 9, opset_import: ["" : 20]>
g (float[N, 8] x, int64 rate) => (float[P, Q] y)
<int64 sixteen = {16}, int64[2] narrow = {-1, 4}, int64[2] wide = {-1, 16}> {
  a = Tanh(x)
  c = Equal(rate, sixteen)
  y = If(c) <
    then_branch = t () => (float[P, Q] u) { r = Reshape(a, wide)  u = Exp(r) },
    else_branch = e () => (float[P, Q] v) { s = Reshape(a, narrow)  v = Neg(s) }>
}"""


@pytest.mark.parametrize("rate", [16, 8])
def test_models_that_choose_by_values(tmp_path: Path, rate: int) -> None:
    """Compiling makes plans for other dims, too; a branch that does not fit is not taken."""
    path = tmp_path / "choosing.onnx"
    onnx.save(onnx.parser.parse_model(CHOOSING), path)
    inputs = {"rate": np.array(rate, np.int64)}
    for against in ("reference64", "onnxruntime"):
        found = compare(path, inputs=inputs, shapes={"x": (6, 8)}, against=against, passes=True)
        assert found.verdict == "same", str(found)
        assert all(layer.local is not None for layer in found.layers), str(found)
    assert found.layers[-1].local is not None and found.layers[-1].local.tolerance > 3e-6


def test_random_nodes_are_not_compared() -> None:
    make = Maker("random")
    x = make.node("RandomNormalLike", [make.input("x", (3, 5))], "noise")
    none = make.node("Sub", [x, x], "none")
    found = compare(make.done(make.node("Add", ["x", none], "y")))
    assert found.same, str(found)
    assert found.layers[0].note == "random: not compared"
    assert any("NumPy runs what cannot be compiled" in note for note in found.notes)
    inside = compare(make.graph, passes=True)
    assert inside.same and inside.steps[0] == "passes on 'random' not followed: it is random"


# --- who is at fault


def test_which_of_two_runtimes_departs(monkeypatch: pytest.MonkeyPatch) -> None:
    from layercc.jobs.normalization import Softmax
    from tests.tools.faults import plant_emitter, spoil_last

    def wrong(emit: Any, builder: Any, job: Softmax) -> None:
        emit(builder, job)
        spoil_last(builder, job.y, 0.5)

    plant_emitter(monkeypatch, Softmax, wrong)
    found = compare(cnn(), against="onnxruntime")
    assert found.culprit is not None and found.culprit.pair.node.op == "Softmax"
    assert "layercc departs from float64" in found.said
    assert "onnxruntime agrees with float64" in found.said
    local = found.culprit.local
    assert local is not None and local.count == 1 and local.index == (0, 12) and local.left == "0.5"


def test_another_runtime_that_departs_in_the_uncut_model_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """layercc is looked into, and nothing found there."""
    right = sides.Peer.run

    def wrong(self: sides.Peer, inputs: sides.Arrays) -> dict[str, np.ndarray]:
        return {name: array + np.float32(0.5) for name, array in right(self, inputs).items()}

    monkeypatch.setattr(sides.Peer, "run", wrong)
    found = compare(cnn(), against="onnxruntime")
    assert found.verdict == "whole" and not found.same
    assert found.steps[-1] == "plan: threads and memory plan make no difference"
    assert "layercc agrees with float64" in found.said
    assert "onnxruntime departs from float64" in found.said


# --- files of ONNX


def test_a_file_is_given_to_other_runtimes_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "cnn.onnx"
    lc.to_onnx(cnn(), path=path)
    for against in (*WHOLE_FILES, None):
        found = compare(path, against=against)
        assert found.verdict == "same", str(found)
        assert len(found.layers) >= 12


def test_what_the_front_end_misreads_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from layercc.tools import options

    path = tmp_path / "cnn.onnx"
    lc.to_onnx(cnn(), path=path)
    right = options.load_model

    def wrong(path: Path) -> ir.Graph:
        graph = right(path)
        graph.nodes = [
            replace(n, attributes={**n.attributes, "epsilon": 0.1})
            if n.op == "BatchNormalization" and n.outputs[0] == "norm2"
            else n
            for n in graph.nodes
        ]
        return graph

    monkeypatch.setattr(options, "load_model", wrong)
    assert compare(path, against="reference64").same
    found = compare(path, against="onnxruntime")
    assert found.culprit is not None and found.culprit.pair.left == "norm2"


def test_parts_of_a_file_with_bodies(tmp_path: Path) -> None:
    """Values of the graph around, read in the branches of an If."""
    text = """
    <ir_version: 9, opset_import: ["" : 20]>
    g (float[4] x, bool c) => (float[4] y) {
      a = Relu(x)
      b = Neg(x)
      d = If(c) <then_branch = t () => (float[4] u) { u = Add(a, b) },
                 else_branch = e () => (float[4] v) { v = Sub(a, b) }>
      y = Exp(d)
    }"""
    path = tmp_path / "if.onnx"
    onnx.save(onnx.parser.parse_model(text), path)
    x = np.array([-1, 2, -3, 4], np.float32)
    for taken in (True, False):
        inputs = {"x": x, "c": np.array(taken)}
        found = compare(path, against="onnxruntime", inputs=inputs)
        assert found.verdict == "same", str(found)
        assert [layer.pair.left for layer in found.layers] == ["a", "b", "d", "y"]
        assert all(layer.local is not None for layer in found.layers)
        model, ports = OnnxFile(path).part({"a": x, "c": inputs["c"], "b": x}, ["d"])
        assert {value.name for value in model.graph.input} == set(ports.values())
        assert ports["a"] == "a/given"


def test_files_of_more_than_a_protobuf_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights beside the file; parts are written to files as well."""
    graph = cnn()
    graph.constants["logits.weight"] = np.ones((5, 13), np.float32)
    path = tmp_path / "cnn.onnx"
    model = lc.to_onnx(graph)
    onnx.save(model, path, save_as_external_data=True, location="cnn.onnx.data", size_threshold=64)
    assert (tmp_path / "cnn.onnx.data").exists()
    monkeypatch.setattr(sides, "MOST_BYTES", 100)
    for against in WHOLE_FILES:
        found = compare(path, against=against)
        assert found.verdict == "same", str(found)
        assert all(layer.local is not None for layer in found.layers), str(found)


def test_a_weight_in_a_body() -> None:
    body = ir.Graph("t", nodes=[ir.Node("Mul", ("x", "w"), ("u",))])
    body.constants["w"] = np.array([1, 2, 3, 4], np.float32)
    other = ir.Graph("e", nodes=[ir.Node("Neg", ("x",), ("v",))])
    kind = ir.TensorType(ir.DType.f32, (4,))
    body.outputs, other.outputs = [ir.Value("u", kind)], [ir.Value("v", kind)]

    def choosing(then: ir.Graph) -> ir.Graph:
        make = Maker("choosing")
        make.input("x", (4,))
        make.graph.inputs.append(ir.Value("c", ir.TensorType(ir.DType.bool, ())))
        return make.done(make.node("If", ["c"], "y", then_branch=then, else_branch=other))

    changed = body.copy()
    changed.constants = {"w": np.array([1, 2, 3.5, 4], np.float32)}
    found = compare(choosing(body), choosing(changed), inputs={"c": np.array(True)})
    assert [(w.name, w.difference.index) for w in found.weights] == [("w", (2,))]
    assert "used by If 'y'" in str(found.weights[0])
    assert found.culprit is not None and found.culprit.pair.node.op == "If"
    assert "weights in its body differ: 'w'" in found.said


# --- the pieces


def test_parts_of_a_graph() -> None:
    graph = cnn()
    values = {"relu1": np.ones((1, 7, 11, 11), np.float32)}
    part, ports = extract(graph, values, ["pool", "relu1"])
    assert ports == {"relu1": "relu1.given"}
    assert [node.op for node in part.nodes][-2:] == ["Relu", "MaxPool"]
    assert part.nodes[-1].inputs == ("relu1.given",)
    assert frontier(graph, ["norm2"], {"relu1", "pool", "conv1"}) == ["pool"]
    assert frontier(graph, ["norm2"], {"x"}) == ["x"]


@pytest.mark.parametrize("network", SMALL)
def test_values_in_float64(network: Callable[[], ir.Graph]) -> None:
    graph = network()
    x = np.random.default_rng(0).standard_normal(graph.inputs[0].shape).astype(np.float32)
    inputs = {graph.input_names[0]: x}
    exact, plain = evaluate(graph, inputs, exact=True), evaluate(graph, inputs, exact=False)
    wanted = ir.interpret(graph, inputs)
    for name, array in wanted.items():
        assert plain[name].dtype == array.dtype
        assert exact[name].dtype == (np.float64 if array.dtype == np.float32 else array.dtype)
        np.testing.assert_array_equal(plain[name], array)
        np.testing.assert_allclose(exact[name], array, rtol=1e-4, atol=1e-5)


def test_weights_at_exchanged_operands() -> None:
    graph, other = cnn(), cnn()
    other.nodes = [
        replace(node, inputs=node.inputs[::-1]) if node.name == "logits" else node
        for node in other.nodes
    ]
    assert differing_weights(graph, other, align(graph, other).pairs) == []
