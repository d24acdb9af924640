"""Inputs with defaults: initialisers that are graph inputs too, beside onnxruntime."""

# mypy: ignore-errors

from __future__ import annotations

import itertools
import pickle
import re
import warnings

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import helper, numpy_helper

import ir
import layercc as lc
from layercc import onnx_backend
from tests.frontends.onnx_models import body, value

RNG = np.random.default_rng(3)
X = RNG.standard_normal((2, 3, 4)).astype(np.float32)


def floats(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


def ints(*values):
    return np.array(values, np.int64)


node = helper.make_node


def model(nodes, defaults, x=X, opset=18, ir_version=8, declared=None, first=(), outputs=("y",)):
    """`declared`: value infos of defaults, where not those of the arrays; `first`: names of those
    that are declared before x."""
    infos = {n: value(n, array) for n, array in defaults.items()} | (declared or {})
    inputs = [infos[n] for n in first] + ([] if x is None else [value("x", x)])
    inputs += [info for n, info in infos.items() if n not in first]
    graph = helper.make_graph(
        nodes,
        "g",
        inputs,
        [onnx.ValueInfoProto(name=name) for name in outputs],
        [numpy_helper.from_array(array, n) for n, array in defaults.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    made.ir_version = ir_version
    return made


def judge(proto, given):
    options = ort.SessionOptions()
    options.log_severity_level = 3
    session = ort.InferenceSession(
        proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return session.run(None, given)


#: Name → nodes that read x and defaults; name → (default, another array that overrides it).
CASES = {
    "bias": ([node("Add", ["x", "w"], ["y"])], {"w": (floats(4), floats(4))}),
    "scalar": (
        [node("Mul", ["x", "w"], ["y"])],
        {"w": (np.array(2, np.float32), np.array(-3, np.float32))},
    ),
    "matrix": ([node("MatMul", ["x", "w"], ["y"])], {"w": (floats(4, 5), floats(4, 5))}),
    "dense": (
        [node("MatMul", ["x", "w"], ["m"]), node("Add", ["m", "b"], ["a"]),
         node("Relu", ["a"], ["y"])],
        {"w": (floats(4, 5), floats(4, 5)), "b": (floats(5), floats(5))},
    ),
    "Conv": (
        [node("Conv", ["x", "w", "b"], ["y"])],
        {"w": (floats(6, 3, 2), floats(6, 3, 2)), "b": (floats(6), floats(6))},
    ),
    "normalization": (
        [node("BatchNormalization", ["x", "s", "b", "m", "v"], ["y"])],
        {"s": (floats(3), floats(3)), "b": (floats(3), floats(3)),
         "m": (floats(3), floats(3)), "v": (abs(floats(3)), abs(floats(3)))},
    ),
    "target of Reshape": (
        [node("Reshape", ["x", "s"], ["r"]), node("Exp", ["r"], ["y"])],
        {"s": (ints(6, 4), ints(3, 8))},
    ),
    "rank of Reshape": (
        [node("Reshape", ["x", "s"], ["r"]), node("Softmax", ["r"], ["y"])],
        {"s": (ints(2, 12), ints(4, 6))},
    ),
    "starts of Slice": (
        [node("Slice", ["x", "s", "e", "a"], ["y"])],
        {"s": (ints(1), ints(0)), "e": (ints(4), ints(2)), "a": (ints(2), ints(1))},
    ),
    "indices of Gather": (
        [node("Gather", ["x", "i"], ["y"], axis=2)],
        {"i": (ints(0, 3), ints(2, 1))},
    ),
    "axes of ReduceSum": (
        [node("ReduceSum", ["x", "a"], ["y"])],
        {"a": (ints(1), ints(-1))},
    ),
    "Unsqueeze": ([node("Unsqueeze", ["x", "a"], ["y"])], {"a": (ints(0), ints(3))}),
    "bounds of Clip": (
        [node("Clip", ["x", "low", "high"], ["y"])],
        {"low": (np.array(-1, np.float32), np.array(0, np.float32)),
         "high": (np.array(1, np.float32), np.array(.5, np.float32))},
    ),
    "Pad": (
        [node("Pad", ["x", "p"], ["y"])],
        {"p": (ints(0, 0, 1, 0, 1, 0), ints(1, 0, 0, 0, 0, 2))},
    ),
    "scales of Resize": (
        [node("Unsqueeze", ["x", "a"], ["u"]), node("Resize", ["u", "", "s"], ["y"])],
        {"a": (ints(0), ints(0)),
         "s": (np.array([1, 1, 2, 2], np.float32), np.array([1, 1, 1, 3], np.float32))},
    ),
    "condition of If": (
        [node("If", ["c"], ["y"], then_branch=body([node("Neg", ["x"], ["p"])], [], ["p"], "t"),
              else_branch=body([node("Abs", ["x"], ["q"])], [], ["q"], "e"))],
        {"c": (np.array(True), np.array(False))},
    ),
    "read in a branch": (
        [node("If", ["c"], ["y"],
              then_branch=body([node("Add", ["x", "w"], ["p"])], [], ["p"], "t"),
              else_branch=body([node("Mul", ["x", "w"], ["q"])], [], ["q"], "e"))],
        {"c": (np.array(True), np.array(False)), "w": (floats(4), floats(4))},
    ),
    "trips of a Loop": (
        [node("Loop", ["m", "", "x"], ["y"], body=helper.make_graph(
            [node("Identity", ["c"], ["d"]), node("Add", ["v", "x"], ["u"])], "body",
            [helper.make_tensor_value_info("i", 7, []), helper.make_tensor_value_info("c", 9, []),
             onnx.ValueInfoProto(name="v")],
            [onnx.ValueInfoProto(name="d"), onnx.ValueInfoProto(name="u")]))],
        {"m": (np.array(2), np.array(0))},
    ),
    "half": (
        [node("Cast", ["x"], ["h"], to=10), node("Mul", ["h", "w"], ["y"])],
        {"w": (floats(4).astype(np.float16), floats(4).astype(np.float16))},
    ),
    "integers": (
        [node("Cast", ["x"], ["h"], to=6), node("Add", ["h", "w"], ["y"])],
        {"w": (np.array([1, 2, 3, 4], np.int32), np.array([9, 8, 7, 6], np.int32))},
    ),
    "bools": (
        [node("Where", ["c", "x", "z"], ["y"])],
        {"c": (np.array([True, False, True, True]), np.array([False] * 4)),
         "z": (np.zeros(1, np.float32), floats(1))},
    ),
    "an output itself": (
        [node("Identity", ["w"], ["y"]), node("Neg", ["x"], ["z"])], {"w": (floats(2), floats(2))},
    ),
    "quantised": (
        [node("QuantizeLinear", ["x", "s", "z"], ["y"])],
        {"s": (np.array(.1, np.float32), np.array(.2, np.float32)),
         "z": (np.array(3, np.uint8), np.array(200, np.uint8))},
    ),
    "not read": ([node("Neg", ["x"], ["y"])], {"w": (floats(2), floats(2))}),
    "read by Shape alone": (
        [node("Shape", ["w"], ["s"]), node("Expand", ["x", "s"], ["y"])],
        {"w": (floats(2, 3, 4), floats(2, 3, 4))},
    ),
}  # fmt: skip


def compiled(graph):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return lc.compile(graph, threads=1)


def same(found, expected):
    assert found.dtype == expected.dtype and found.shape == expected.shape
    if found.dtype.kind == "f":
        tolerance = 2e-3 if found.dtype == np.float16 else 1e-5
        np.testing.assert_allclose(found, expected, tolerance, tolerance)
    else:
        np.testing.assert_array_equal(found, expected)


@pytest.mark.filterwarnings("ignore:.*NumPy runs what cannot be compiled")
@pytest.mark.parametrize("name", CASES)
def test_every_set_of_overrides(name):
    nodes, arrays = CASES[name]
    defaults = {n: default for n, (default, _) in arrays.items()}
    proto = model(nodes, defaults)
    graph = lc.from_onnx(proto)
    ir.verify(graph)
    assert graph.input_names == ["x", *defaults] and list(graph.defaults) == list(defaults)
    assert lc.check(graph).ok
    written = lc.from_onnx(lc.to_onnx(graph))
    assert written.input_names == graph.input_names and list(written.defaults) == list(defaults)
    fn, again = compiled(graph), compiled(written)
    sets = [s for k in range(len(defaults) + 1) for s in itertools.combinations(defaults, k)]
    if len(sets) > 4:  # none, the first, the last, all
        sets = [sets[0], sets[1], sets[len(defaults)], sets[-1]]
    for overridden in sets:
        given = {"x": X} | {n: arrays[n][1] for n in overridden}
        (expected,) = judge(proto, given)
        same(fn.run(given)["y"], expected)
        same(again.run(given)["y"], expected)
        same(lc.interpret(graph, given)["y"], expected)


@pytest.mark.parametrize("ir_version", [3, 4, 7, 8, 10])
def test_by_version_of_the_file(ir_version):
    """Before version 4 initialisers had to be inputs, and were constants all the same."""
    nodes, arrays = CASES["bias"]
    proto = model(nodes, {"w": arrays["w"][0]}, opset=8, ir_version=ir_version)
    graph, given = lc.from_onnx(proto), {"x": X, "w": arrays["w"][1]}
    if ir_version == 3:
        assert graph.input_names == ["x"] and "w" in graph.constants and not graph.defaults
        with pytest.raises(Exception, match="Invalid input name: w"):
            judge(proto, given)
        with pytest.raises(lc.InputError, match="no input 'w'"):
            compiled(graph).run(given)
    else:
        same(compiled(graph).run(given)["y"], judge(proto, given)[0])


def test_ways_to_call():
    nodes, arrays = CASES["dense"]
    (w, w2), (b, b2) = arrays["w"], arrays["b"]
    fn = compiled(model(nodes, {"w": w, "b": b}))

    def y(w, b):
        return np.maximum(X @ w + b, 0)

    for found, expected in (
        (fn(X), y(w, b)),
        (fn(x=X), y(w, b)),
        (fn(X, w2), y(w2, b)),
        (fn(X, w2, b2), y(w2, b2)),
        (fn(X, b=b2), y(w, b2)),
        (fn(X, b=b2, w=w2), y(w2, b2)),
        (fn(w=w2, x=X), y(w2, b)),
        (fn(X, w2.tolist()), y(w2, b)),
        (fn(X), y(w, b)),
    ):
        np.testing.assert_allclose(found, expected, 1e-5, 1e-5)
    loaded = pickle.loads(pickle.dumps(fn))
    np.testing.assert_array_equal(loaded(X, b=b2), fn(X, b=b2))
    assert fn.plan({"x": X.shape, "b": b.shape}).program.inputs[1].name == "b"
    assert [port.name for port in fn.plan({"x": X.shape}).program.inputs] == ["x"]


@pytest.mark.parametrize(
    ("arguments", "named", "said"),
    [
        ((), {}, "no array given for 'x'"),
        ((), {"w": floats(4, 5)}, "no array given for 'x'"),
        ((X, X, X, X), {}, "4 arrays given; the inputs are x: .*, w: .*, b: "),
        ((X, floats(4, 5)), {"w": floats(4, 5)}, "input 'w' is given twice"),
        ((X,), {"c": X}, "no input 'c'; the inputs are x: .*; optional: w: .*, b: "),
        ((X, floats(5, 4)), {}, r"input 'w' is \[5, 4\], \[4, 5\] would fit"),
        ((X,), {"b": np.zeros(5)}, "input 'b' is f32; an array of float64"),
        ((X,), {"b": None}, "input 'b'"),
    ],
)
def test_what_does_not_fit(arguments, named, said):
    nodes, arrays = CASES["dense"]
    fn = compiled(model(nodes, {n: default for n, (default, _) in arrays.items()}))
    with pytest.raises(lc.InputError, match=said):
        fn(*arguments, **named)


def test_defaults_are_folded_and_packed():
    """A model whose defaults stay is that of constants: the same program."""
    nodes, arrays = CASES["Conv"]
    defaults = {n: default for n, (default, _) in arrays.items()}
    fixed = model(nodes, defaults, ir_version=3, opset=8)
    optional = model(nodes, defaults, ir_version=8, opset=8)
    a, b = (compiled(proto).plan({"x": X.shape}).program for proto in (fixed, optional))
    assert [call.key for call in a.calls] == [call.key for call in b.calls]
    assert len(a.constants) == len(b.constants) > 0


def test_an_input_declared_behind_a_default():
    """As for onnxruntime, defaults come behind the inputs that are needed."""
    proto = model([node("Sub", ["w", "x"], ["y"])], {"w": floats(4)}, first=["w"])
    fn = compiled(proto)
    assert fn.graph.input_names == ["x", "w"]
    same(fn(X), judge(proto, {"x": X})[0])
    same(fn(X, X[0, 0]), judge(proto, {"x": X, "w": X[0, 0]})[0])


def test_a_declared_symbol_lets_sizes_vary():
    info = helper.make_tensor_value_info("w", 1, ["K", 4])
    proto = model([node("Concat", ["r", "w"], ["y"], axis=0),
                   node("Reshape", ["x", "s"], ["r"])][::-1],
                  {"w": floats(2, 4), "s": ints(-1, 4)}, declared={"w": info})  # fmt: skip
    fn = compiled(proto)
    assert fn(X).shape == (8, 4) and fn(X, floats(5, 4)).shape == (11, 4)
    with pytest.raises(lc.InputError, match="would fit"):
        fn(X, floats(5, 3))


def test_no_shape_declared():
    info = onnx.ValueInfoProto(name="w")
    info.type.tensor_type.elem_type = 1
    graph = lc.from_onnx(
        model([node("Add", ["x", "w"], ["y"])], {"w": floats(4)}, declared={"w": info})
    )
    assert str(graph.inputs[1]) == "w: f32[4]"


@pytest.mark.parametrize("kind", [(1, [5]), (1, [1, 4]), (11, [4]), (7, ["K"]), (11, None)])
def test_a_default_that_does_not_fit_its_input(kind):
    """onnxruntime refuses these too: "Shape of initializer w does not match"."""
    info = helper.make_tensor_value_info("w", *kind)
    proto = model([node("Add", ["x", "w"], ["y"])], {"w": floats(4)}, declared={"w": info})
    with pytest.raises(Exception, match=r"(?i)initializer"):
        judge(proto, {"x": X})
    with pytest.raises(lc.InvalidModelError, match=r"input 'w' is .* but its default is f32"):
        lc.from_onnx(proto)


def test_a_model_of_nothing_but_defaults():
    proto = model([node("Neg", ["w"], ["y"])], {"w": floats(3)}, x=None)
    fn = compiled(proto)
    same(fn(), judge(proto, {})[0])
    same(fn(np.ones(3, np.float32)), -np.ones(3, np.float32))


@pytest.mark.parametrize("opset", [9, 10])
def test_a_default_that_reading_the_model_needs_is_a_constant(opset):
    """Old ops whose inputs have become attributes, or the other way round."""
    scales = np.array([1, 1, 2], np.float32)
    op = "Upsample" if opset == 9 else "Resize"
    proto = model(
        [node(op, ["x", "s"], ["u"]), node("Add", ["u", "w"], ["y"])],
        {"s": scales, "w": floats(1)}, opset=opset,
    )  # fmt: skip
    graph = lc.from_onnx(proto)
    assert "w" in graph.defaults
    same(compiled(graph)(X), judge(proto, {"x": X})[0])


def test_shapes_that_lifting_hangs_on():
    """Where an old op cannot be read without the rank behind a default, all are constants."""
    x = np.full((1, 1), -1, np.float32)
    proto = model(
        [node("Tile", ["sizes", "repeats"], ["t"]), node("Reshape", ["x", "t"], ["r"]),
         node("PRelu", ["r", "slope"], ["y"])],
        {"sizes": ints(1), "repeats": ints(3), "slope": floats(1)}, x, opset=6,
        declared={"slope": helper.make_tensor_value_info("slope", 1, ["K"])},
    )  # fmt: skip
    graph = lc.from_onnx(proto)
    assert graph.input_names == ["x"] and not graph.defaults
    assert compiled(graph)(x).shape == (1, 1, 1)


def test_text_and_equality():
    nodes, arrays = CASES["dense"]
    defaults = {n: default for n, (default, _) in arrays.items()}
    graph = lc.from_onnx(model(nodes, defaults))
    text, weights = ir.text.print_with_weights(graph)
    assert 'w: f32[4, 5] = f32[4, 5](@weights("w"))' in text and set(weights) == {"w"}
    assert "b: f32[5] = f32[5]([" in text
    back = ir.parse_graph(text, weights=weights, infer=False)
    assert ir.graphs_equal(graph, back)
    back.defaults["b"] = back.defaults["b"] + 1
    assert [line.split(":")[0] for line in ir.graph_differences(graph, back)] == ["default 'b'"]


def test_stored_as_text(tmp_path):
    graph = lc.from_onnx(model(CASES["matrix"][0], {"w": floats(4, 5)}))
    ir.save_text(graph, tmp_path)
    back = ir.load_text(tmp_path)
    np.testing.assert_array_equal(back.defaults["w"], graph.defaults["w"])
    assert back.input_names == ["x", "w"]


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ("w: f32[2] = f32[2]([1, 2]), x: f32[2]", "follows 'w'"),
        ("x: f32[2], w: f32[2] = f32[3]([1, 2, 3])", "but its default is f32[3]"),
        ("x: f32[2], w: f32[2] = i64[2]([1, 2])", "but its default is i64[2]"),
        ("x: f32[2], w: f32[N, N] = f32[1, 2]([1, 2])", "but its default is f32[1, 2]"),
    ],
)
def test_malformed_defaults(inputs, said):
    graph = ir.parse_graph(f"graph g({inputs}) -> (y) {{ y = Neg(x) }}")
    with pytest.raises(lc.InvalidModelError, match=re.escape(said)):
        ir.verify(graph)
    report = lc.check(graph)
    assert [found.code for found in report.errors] == ["bad-default"]
    assert said in report.errors[0].message


def test_only_the_outermost_graph_has_defaults():
    with pytest.raises(lc.InvalidModelError, match="only inputs of the outermost graph"):
        ir.parse_graph(
            """graph g(x: f32[2], c: bool[]) -> (y) {
  y = Scan(x) {num_scan_inputs=1} body (a: f32[] = f32[](1)) -> (b) { b = Neg(a) } }"""
        )


def test_check_with_and_without_the_default():
    graph = lc.from_onnx(model(CASES["target of Reshape"][0], {"s": ints(6, 4)}))
    report = lc.check(graph)
    assert report.ok and report.shapes["y"] == (6, 4)
    assert "s: i64[2] = default" in str(report)
    report = lc.check(graph, {"s": (2,)})
    assert report.ok and not any(isinstance(dim, int) for dim in report.shapes["y"])
    dense = lc.from_onnx(model(CASES["matrix"][0], {"w": floats(4, 5)}))
    assert lc.check(dense).totals.parameters == 20


def test_the_backend():
    nodes, arrays = CASES["dense"]
    defaults = {n: default for n, (default, _) in arrays.items()}
    prepared = onnx_backend.prepare(model(nodes, defaults))
    (w,) = arrays["w"][1:]
    expected = np.maximum(X @ w + defaults["b"], 0)
    np.testing.assert_allclose(prepared.run([X, w])[0], expected, 1e-5, 1e-5)
    np.testing.assert_allclose(prepared.run({"x": X, "w": w})[0], expected, 1e-5, 1e-5)
    np.testing.assert_allclose(
        prepared.run([X])[0], np.maximum(X @ defaults["w"] + defaults["b"], 0), 1e-5, 1e-5
    )
    for wrong in ([], [X] * 4):
        with pytest.raises(lc.InputError, match="arrays given for inputs x, w, b"):
            prepared.run(wrong)


def test_the_tools(tmp_path):
    from layercc.tools.arrays import make_inputs

    graph = lc.from_onnx(model(CASES["matrix"][0], {"w": floats(4, 5)}))
    assert list(make_inputs(graph)) == ["x"]
    assert list(make_inputs(graph, {"w": floats(4, 5)})) == ["x", "w"]
    assert list(make_inputs(graph, shapes={"w": (4, 5)})) == ["x", "w"]


def test_passes_take_defaults_as_constants():
    graph = lc.from_onnx(model(CASES["bias"][0], {"w": floats(4)}))
    from layercc.passes import run_passes

    after = run_passes(graph, verify=True)
    assert after.input_names == ["x"] and not after.defaults
    assert graph.input_names == ["x", "w"]
