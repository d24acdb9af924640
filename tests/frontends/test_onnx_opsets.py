"""What a model declares of itself: the opset of its ops, the types of its outputs."""

# mypy: ignore-errors

from __future__ import annotations

import warnings

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import helper

import layercc as lc
from ir.registry import find_op

X = np.ones((2, 3), np.float32)


def since():
    """Op → the opset that it came with, for ops that layercc knows."""
    first = {}
    for schema in onnx.defs.get_all_schemas_with_history():
        if schema.domain == "" and find_op(schema.name) is not None:
            first[schema.name] = min(schema.since_version, first.get(schema.name, 999))
    return {op: version for op, version in sorted(first.items()) if version > 7}


def model_of(nodes, opset, outputs=None, functions=(), imports=()):
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes, "g", [info("x", 1, [2, 3])], outputs or [onnx.ValueInfoProto(name="y")]
    )
    opsets = [helper.make_opsetid("", opset), *imports]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10, functions=list(functions))


def judge(proto):
    options = ort.SessionOptions()
    options.log_severity_level = 4
    return ort.InferenceSession(
        proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


@pytest.mark.parametrize(("op", "version"), since().items())
def test_an_op_newer_than_the_opset(op, version):
    node = helper.make_node(op, ["x"], ["y"], name="mine")
    said = f"{op} 'mine': the op exists since opset {version}; opset {version - 1} is imported"
    with pytest.raises(lc.InvalidModelError, match=said):
        lc.from_onnx(model_of([node], version - 1))
    try:  # whatever else is wrong with it, that is not
        lc.from_onnx(model_of([node], version))
    except lc.LayerccError as error:
        assert "exists since" not in str(error)


@pytest.mark.parametrize(
    ("op", "opset"), [("Gelu", 19), ("Mish", 17), ("HardSwish", 13), ("Celu", 11), ("Erf", 8)]
)
def test_as_onnxruntime_does(op, opset):
    node = helper.make_node(op, ["x"], ["y"])
    with pytest.raises(Exception, match=r"No Op registered|not a registered"):
        judge(model_of([node], opset))
    with pytest.raises(lc.InvalidModelError, match=f"{op} 'y': the op exists since"):
        lc.compile(model_of([node], opset))
    np.testing.assert_allclose(
        lc.compile(model_of([node], opset + 1), threads=1)(X),
        judge(model_of([node], opset + 1)).run(None, {"x": X})[0], 1e-5, 1e-6,
    )  # fmt: skip


def test_in_a_branch():
    branches = [
        helper.make_graph([helper.make_node("Gelu", ["x"], [n])], n, [],
                          [onnx.ValueInfoProto(name=n)])
        for n in "ab"
    ]  # fmt: skip
    flag = helper.make_node(
        "Constant", [], ["c"], value=onnx.numpy_helper.from_array(np.array(True))
    )
    node = helper.make_node("If", ["c"], ["y"], then_branch=branches[0], else_branch=branches[1])
    with pytest.raises(lc.InvalidModelError, match=r"Gelu '[ab]': the op exists since opset 20"):
        lc.from_onnx(model_of([flag, node], 18))


@pytest.mark.parametrize("opset", [18, 20])
def test_in_a_function_its_own_opset_counts(opset):
    function = helper.make_function(
        "my", "F", ["a"], ["b"], [helper.make_node("Gelu", ["a"], ["b"])],
        [helper.make_opsetid("", opset)],
    )  # fmt: skip
    node = helper.make_node("F", ["x"], ["y"], domain="my")
    proto = model_of([node], 18, functions=[function], imports=[helper.make_opsetid("my", 1)])
    if opset == 20:
        assert lc.from_onnx(proto).nodes[0].op == "Gelu"
        return
    with pytest.raises(lc.InvalidModelError, match="Gelu 'b': the op exists since opset 20"):
        lc.from_onnx(proto)


# Declared types


#: Node over x: f32[2, 3], what it makes, shapes declared of it that contradict this.
SHAPES = [
    ("Relu", {}, [(2, 4), (3, 3), (2,), (2, 3, 1), (), ("K",), (1, 3), ("N", "N", "N")]),
    ("Transpose", {}, [(2, 3), (3, 3), (3,), ("N", 3), (3, 2, 1)]),
    ("ReduceSum", {"keepdims": 0}, [(1, 1), (2, 3), ("K",), (1,)]),
    ("Shape", {}, [(3,), (1,), (), (2, 1)]),
    ("Flatten", {"axis": 0}, [(2, 3), (6, 1), (6,), (1, "N", 6)]),
]
CASES = [(op, attributes, shape) for op, attributes, shapes in SHAPES for shape in shapes]


@pytest.mark.parametrize(("op", "attributes", "shape"), CASES)
def test_a_declared_shape_that_is_another(op, attributes, shape):
    code = 7 if op == "Shape" else 1
    info = helper.make_tensor_value_info("y", code, shape)
    proto = model_of([helper.make_node(op, ["x"], ["y"], **attributes)], 18, [info])
    expected = judge(proto).run(None, {"x": X})[0]  # onnxruntime warns only
    with pytest.warns(RuntimeWarning, match="output 'y' is declared as .* but is"):
        fn = lc.compile(proto, threads=1)
    np.testing.assert_array_equal(fn(X), expected)
    report = lc.check(lc.from_onnx(proto))
    assert report.ok
    (problem,) = report.warnings
    assert (problem.code, problem.node, problem.op) == ("declared-shape", "y", op)


@pytest.mark.parametrize("shape", [(2, 3), (2, None), None])
@pytest.mark.parametrize("code", [7, 10, 11, 9, 2, 16, 6, 3])
def test_a_declared_dtype_that_is_another(code, shape):
    info = helper.make_tensor_value_info("y", code, shape)
    proto = model_of([helper.make_node("Relu", ["x"], ["y"])], 18, [info])
    with pytest.raises(Exception, match="Type Error"):
        judge(proto)
    with pytest.raises(lc.InvalidModelError, match=r"output 'y' is declared as .* f32"):
        lc.compile(proto)
    report = lc.check(lc.from_onnx(proto))
    assert [found.code for found in report.errors] == ["declared-dtype"]


@pytest.mark.parametrize("shape", [(2, 3), ("N", 3), ("A", "B"), (None, None), None])
def test_declarations_that_hold(shape):
    info = helper.make_tensor_value_info("y", 1, shape)
    proto = model_of([helper.make_node("Relu", ["x"], ["y"])], 18, [info])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        lc.compile(proto, threads=1)
    assert not lc.check(lc.from_onnx(proto)).diagnostics


def test_values_within_the_text_form():
    graph = lc.parse_graph("graph g(x: f32[2]) -> (y: f32[2]) { a: f32[3] = Neg(x)\n y = Neg(a) }")
    with pytest.warns(RuntimeWarning, match=r"value 'a' is declared as f32\[3\], but is f32\[2\]"):
        lc.compile(graph, threads=1)
    graph = lc.parse_graph("graph g(x: f32[2]) -> (y: f32[2]) { a: i32[2] = Neg(x)\n y = Neg(a) }")
    with pytest.raises(lc.InvalidModelError, match="Neg 'a': value 'a' is declared as i32"):
        lc.compile(graph)
