"""ONNX import: tensors, names, functions, subgraphs, older opsets, messages; real models."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from ir.diagnostics import InvalidModelError, UnsupportedError
from ir.dims import symbols
from ir.dtypes import ONNX_DTYPES, DType
from ir.graph import Graph
from ir.inference import infer
from ir.interpreter import interpret
from layercc.frontends.onnx import from_onnx
from tests.frontends.onnx_models import body, model_of, one_node, run_onnxruntime

RNG = np.random.default_rng(7)


def normal(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def run(graph: Graph, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
    return list(interpret(graph, inputs).values())


# --- tensors


@pytest.mark.parametrize("code", ONNX_DTYPES, ids=lambda code: str(ONNX_DTYPES[code]))
@pytest.mark.parametrize("raw", [True, False], ids=["raw", "typed-field"])
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 5)], ids=str)
def test_initialiser_of_every_dtype(code: int, raw: bool, shape: tuple[int, ...]) -> None:
    dtype = ONNX_DTYPES[code]
    codes = RNG.integers(0, 4 if dtype in (DType.i2, DType.u2) else 7, shape)
    array = codes.astype(np.float32).astype(dtype.value) if dtype is not DType.bool else codes > 2
    array = np.asarray(array)
    if raw:
        tensor = numpy_helper.from_array(array, "c")
    else:
        values = array.reshape(-1)
        tensor = helper.make_tensor("c", code, shape, values.tolist())
    model = model_of([helper.make_node("Identity", ["c"], ["y"])], {}, ["y"])
    model.graph.initializer.append(tensor)
    found = from_onnx(model).constants["c"]
    assert found.dtype == array.dtype
    np.testing.assert_array_equal(found.astype(np.complex128), array.astype(np.complex128))


def test_negative_four_bit_numbers() -> None:
    array = np.array([-8, 7, -1], ml_dtypes.int4)
    model = model_of(
        [helper.make_node("Identity", ["c"], ["y"])], {}, ["y"], constants={"c": array}
    )
    assert from_onnx(model).constants["c"].tolist() == [-8, 7, -1]


@pytest.mark.parametrize("indices", [[1, 5], [[0, 1], [1, 2]]], ids=["linear", "coordinates"])
def test_sparse_initialiser(indices: list[Any]) -> None:
    model = model_of([helper.make_node("Identity", ["c"], ["y"])], {}, ["y"])
    sparse = model.graph.sparse_initializer.add(dims=[2, 3])
    sparse.values.CopyFrom(numpy_helper.from_array(np.array([4.0, 5.0], np.float32), "c"))
    sparse.indices.CopyFrom(numpy_helper.from_array(np.array(indices, np.int64)))
    assert from_onnx(model).constants["c"].tolist() == [[0, 4, 0], [0, 0, 5]]


@pytest.mark.parametrize(
    ("attribute", "expected"),
    [
        ({"value_float": 1.5}, np.array(1.5, np.float32)),
        ({"value_floats": [1.5, 2]}, np.array([1.5, 2], np.float32)),
        ({"value_int": 3}, np.array(3, np.int64)),
        ({"value_ints": [3, 4]}, np.array([3, 4], np.int64)),
        ({"value": numpy_helper.from_array(np.eye(2))}, np.eye(2)),
    ],
    ids=lambda item: next(iter(item)) if isinstance(item, dict) else "",
)
def test_constant_nodes_become_constants(attribute: dict[str, Any], expected: np.ndarray) -> None:
    nodes = [helper.make_node("Constant", [], ["c"], **attribute)]
    graph = from_onnx(model_of([*nodes, helper.make_node("Identity", ["c"], ["y"])], {}, ["y"]))
    assert [node.op for node in graph.nodes] == ["Identity"]
    assert graph.constants["c"].dtype == expected.dtype
    np.testing.assert_array_equal(graph.constants["c"], expected)


def test_weights_outside_the_file_are_mapped(tmp_path: Path) -> None:
    weights = normal(64, 64)
    model = model_of(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        {"x": normal(2, 64)},
        ["y"],
        constants={"w": weights},
    )
    path = tmp_path / "m.onnx"
    onnx.save(model, path, save_as_external_data=True, location="w.bin", size_threshold=0)
    found = from_onnx(path).constants["w"]
    np.testing.assert_array_equal(found, weights)
    assert not found.flags.writeable
    assert not found.flags.owndata


# --- names, types and graph structure


def test_dims_without_a_name_get_one_each() -> None:
    model = model_of([helper.make_node("Relu", ["x"], ["y"])], {"x": normal(1, 1, 1, 1)}, ["y"])
    dims = model.graph.input[0].type.tensor_type.shape.dim
    for dim, text in zip(dims, ["N", "?", "?", ""], strict=True):
        dim.Clear()
        dim.dim_param = text
    shape = from_onnx(model).inputs[0].shape
    assert shape == ("N", "x_dim1", "x_dim2", "x_dim3")


def test_fresh_dims_do_not_clash_with_the_models_own() -> None:
    model = model_of([helper.make_node("Relu", ["x"], ["y"])], {"x": normal(1, 1)}, ["y"])
    dims = model.graph.input[0].type.tensor_type.shape.dim
    dims[0].dim_param = "x_dim1"
    dims[1].dim_value = -1
    first, second = from_onnx(model).inputs[0].shape
    assert first == "x_dim1"
    assert symbols(second).isdisjoint(symbols(first))


def test_missing_shapes_are_named_together() -> None:
    given = {"a": normal(2), "b": normal(2), "c": normal(2)}
    model = model_of([helper.make_node("Sum", list(given), ["y"])], given, ["y"])
    for position in (0, 2):
        model.graph.input[position].type.tensor_type.ClearField("shape")
    with pytest.raises(InvalidModelError, match=r"'a', 'c'.*\[\"N\", 3, 224, 224\].*would fit"):
        from_onnx(model)


def test_node_names_are_made_unique_and_kept() -> None:
    nodes = [
        helper.make_node("Relu", ["x"], ["a"], name="same"),
        helper.make_node("Relu", ["a"], ["b"], name="same"),
        helper.make_node("Relu", ["b"], ["y"]),
    ]
    graph = from_onnx(model_of(nodes, {"x": normal(2)}, ["y"]))
    assert [node.name for node in graph.nodes] == ["same", "same_1", "y"]


def test_unsorted_nodes_are_sorted() -> None:
    nodes = [helper.make_node("Relu", ["a"], ["y"]), helper.make_node("Neg", ["x"], ["a"])]
    graph = from_onnx(model_of(nodes, {"x": normal(2)}, ["y"]))
    assert [node.op for node in graph.nodes] == ["Neg", "Relu"]


def test_the_default_domain_has_two_names() -> None:
    model, inputs = one_node("Relu", 21, [normal(3)], domain="ai.onnx")
    graph = from_onnx(model)
    assert graph.nodes[0].op == "Relu"
    np.testing.assert_array_equal(run(graph, inputs)[0], np.maximum(inputs["x0"], 0))


def test_nodes_say_which_file_they_come_from(tmp_path: Path) -> None:
    model, _ = one_node("Relu", 21, [normal(3)])
    onnx.save(model, tmp_path / "m.onnx")
    source = from_onnx(tmp_path / "m.onnx").nodes[0].source
    assert source is not None
    assert source.file.endswith("m.onnx")


# --- subgraphs and functions


def test_bodies_read_outer_names_and_hide_none() -> None:
    """Both branches name a value like one of the graph around them."""
    then = body([helper.make_node("Neg", ["a"], ["b"])], [], ["b"], "then")
    other = body([helper.make_node("Add", ["a", "x"], ["b"])], [], ["b"], "else")
    nodes = [
        helper.make_node("Relu", ["x"], ["a"]),
        helper.make_node("If", ["cond"], ["y"], then_branch=then, else_branch=other),
        helper.make_node("Exp", ["y"], ["b"]),
    ]
    x = normal(3)
    model = model_of(nodes, {"x": x, "cond": np.array(True)}, ["b"])
    graph = from_onnx(model)
    for cond in (True, False):
        inputs = {"x": x, "cond": np.array(cond)}
        a = np.maximum(x, 0)
        np.testing.assert_allclose(run(graph, inputs)[0], np.exp(-a if cond else a + x), rtol=1e-6)


def test_loop_bodies_are_typed_by_what_goes_in() -> None:
    inner = body(
        [
            helper.make_node("Identity", ["go"], ["go_out"]),
            helper.make_node("Add", ["carried", "step"], ["sum"]),
            helper.make_node("Identity", ["sum"], ["each"]),
        ],
        ["i", "go", "carried"],
        ["go_out", "sum", "each"],
    )
    nodes = [helper.make_node("Loop", ["trips", "", "start"], ["final", "all"], body=inner)]
    given = {"start": np.arange(3.0), "step": np.ones(3)}
    model = model_of(nodes, given, ["final", "all"], constants={"trips": np.array(4, np.int64)})
    graph = from_onnx(model)
    (loop,) = graph.nodes
    carried = loop.attributes["body"].inputs[2]
    assert (carried.dtype, carried.shape) == (DType.f64, (3,))
    final, every = run(graph, given)
    np.testing.assert_array_equal(final, given["start"] + 4)
    assert every.shape == (4, 3)
    assert infer(graph).types["all"].shape == (4, 3)


def function_model() -> tuple[onnx.ModelProto, dict[str, np.ndarray]]:
    """y = scaled(scaled(x) by 2) by 3, where scaled calls another function."""
    double = helper.make_function(
        "local", "Product", ["a", "b"], ["c"],
        [helper.make_node("Mul", ["a", "b"], ["c"])],
        [helper.make_opsetid("", 21)],
    )  # fmt: skip
    constant = helper.make_node("Constant", [], ["factor"])
    constant.attribute.append(
        onnx.AttributeProto(name="value_float", ref_attr_name="by", type=onnx.AttributeProto.FLOAT)
    )
    scaled = helper.make_function(
        "local", "Scaled", ["x", "unused"], ["y"],
        [constant, helper.make_node("Product", ["x", "factor"], ["y"], domain="local")],
        [helper.make_opsetid("", 21), helper.make_opsetid("local", 1)],
        attributes=["by"],
    )  # fmt: skip
    nodes = [
        helper.make_node("Scaled", ["x"], ["h"], domain="local", name="first", by=2.0),
        helper.make_node("Scaled", ["h"], ["y"], domain="local", name="second", by=3.0),
    ]
    x = normal(4)
    model = model_of(nodes, {"x": x}, ["y"])
    model.functions.extend([double, scaled])
    model.opset_import.append(helper.make_opsetid("local", 1))
    return model, {"x": x}


def test_functions_are_inlined() -> None:
    model, inputs = function_model()
    graph = from_onnx(model)
    assert [node.op for node in graph.nodes] == ["Mul", "Mul"]
    assert [node.name for node in graph.nodes] == ["first/y/c", "second/y/c"]
    np.testing.assert_allclose(run(graph, inputs)[0], inputs["x"] * 6, rtol=1e-6)
    np.testing.assert_allclose(run_onnxruntime(model, inputs)[0], inputs["x"] * 6, rtol=1e-6)


# --- messages


def test_all_unknown_ops_are_named_at_once() -> None:
    branch = body([helper.make_node("Bar", ["x"], ["b"], domain="com.foo")], [], ["b"])
    nodes = [
        *[helper.make_node("DeformConv2", ["x"], [f"d{i}"]) for i in range(3)],
        helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch),
    ]
    model = model_of(nodes, {"x": normal(2), "c": np.array(True)}, ["y"])
    with pytest.raises(UnsupportedError) as caught:
        from_onnx(model)
    assert str(caught.value) == (
        "the model uses 2 ops layercc does not know: DeformConv2 ×3, com.foo.Bar ×2\n"
        "  DeformConv2: 'd0', 'd1', 'd2'\n"
        "  com.foo.Bar: 'b'\n"
        "@lc.op(domain='com.foo', name='Bar') on a function adds one: docs/own-layers.md"
    )
    assert caught.value.ops == ("DeformConv2", "com.foo.Bar")


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (TensorProto.STRING, "'x'.*tensors of string are not supported"),
        (99, "'x'.*99 is no ONNX element type"),
    ],
)
def test_element_types_that_do_not_exist(kind: int, words: str) -> None:
    model, _ = one_node("Relu", 21, [normal(2)])
    model.graph.input[0].name = model.graph.node[0].input[0] = "x"
    model.graph.input[0].type.tensor_type.elem_type = kind
    with pytest.raises((UnsupportedError, InvalidModelError), match=words):
        from_onnx(model)


def test_unknown_attributes_are_refused() -> None:
    model, _ = one_node("Softmax", 13, [normal(2, 2)], axes=1)
    with pytest.raises(InvalidModelError, match=r"'axes' of Softmax.*it has: axis"):
        from_onnx(model)


def test_newer_opsets_are_refused() -> None:
    model, _ = one_node("Relu", 21, [normal(2)])
    model.opset_import[0].version = 9999
    with pytest.raises(UnsupportedError, match="opset 9999"):
        from_onnx(model)


# --- real models

_LIGHT = Path(onnx.__file__).parent / "backend/test/data/light"


def _package_files(package: str, pattern: str) -> list[Path]:
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        return []
    return sorted(Path(spec.submodule_search_locations[0]).glob(pattern))


REAL = [
    *sorted(_LIGHT.glob("*.onnx")),
    *_package_files("magika", "models/*/model.onnx"),
    *_package_files("rapidocr_onnxruntime", "models/*.onnx"),
    *_package_files("silero_vad", "data/*.onnx"),
]


@pytest.mark.parametrize("path", REAL, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_real_models_have_shapes(path: Path) -> None:
    graph = from_onnx(path)
    values = {v.name: np.array(16000) for v in graph.inputs if v.name == "sr"}
    sizes = {"batch": 1, "input_dim0": 1, "sequence": 576, "input_dim1": 576, "state_dim1": 1}
    shapes = {
        v.name: [sizes.get(dim, 64) if isinstance(dim, str) else dim for dim in v.shape]
        for v in graph.inputs
    }
    concrete = infer(graph, shapes, values)
    assert concrete.errors == []
    assert all(concrete.types[name].is_static for name in graph.output_names)
    if "If" not in {node.op for node in graph.nodes}:  # branches may differ in rank
        assert infer(graph, values=values).errors == []


def _silero_inputs() -> dict[str, np.ndarray]:
    return {
        "input": normal(1, 576) * 0.1,
        "state": normal(2, 1, 128) * 0.1,
        "sr": np.array(16000),
    }


RUNNABLE = {
    "silero_vad": _silero_inputs,
    "silero_vad_16k_op15": _silero_inputs,
    "silero_vad_op18_ifless": _silero_inputs,
    "ch_ppocr_mobile_v2.0_cls_infer": lambda: {"x": normal(2, 3, 48, 96)},
    "ch_PP-OCRv4_rec_infer": lambda: {"x": normal(1, 3, 48, 32)},
    "light_shufflenet": lambda: {"gpu_0/data_0": normal(1, 3, 224, 224)},
}


@pytest.mark.parametrize(
    "path", [path for path in REAL if path.stem in RUNNABLE], ids=lambda path: path.stem
)
def test_real_models_compute_what_onnxruntime_does(path: Path) -> None:
    inputs = RUNNABLE[path.stem]()
    graph = from_onnx(path)
    expected = run_onnxruntime(str(path), inputs)
    for want, have in zip(expected, run(graph, inputs), strict=True):
        np.testing.assert_allclose(have, want, rtol=1e-3, atol=1e-5 * np.abs(want).max())
