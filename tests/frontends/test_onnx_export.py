"""ONNX export: the checker accepts it, onnxruntime computes the same, import gives it back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from ir.diagnostics import LayerccError, UnsupportedError
from ir.dims import symbol
from ir.dtypes import DType, dtype_of
from ir.graph import Graph, Node, Value
from ir.inference import infer
from ir.interpreter import interpret
from ir.types import TensorType
from layercc.frontends.onnx import exporter, from_onnx, to_onnx
from tests.frontends.onnx_models import run_onnxruntime
from tests.frontends.test_onnx_import import REAL
from tests.onnx.test_backend_nodes import (
    ALL,
    cases,
    read_model,
    reason_to_skip,
)

RNG = np.random.default_rng(3)


def f32(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def graph_of(
    nodes: list[Node],
    inputs: dict[str, np.ndarray],
    outputs: list[str],
    constants: dict[str, np.ndarray] | None = None,
) -> Graph:
    values = [Value(n, TensorType(dtype_of(a), a.shape)) for n, a in inputs.items()]
    graph = Graph("test", values, [], nodes, dict(constants or {}))
    found = infer(graph)
    found.raise_for_errors()
    graph.outputs = [Value(name, found.types[name]) for name in outputs]
    return graph


def check_same(graph: Graph, inputs: dict[str, np.ndarray], opset: int | None = None) -> Graph:
    """Exports; compares with the interpreter, through onnxruntime and back through the importer."""
    model = to_onnx(graph, opset)
    onnx.checker.check_model(model, full_check=True)
    expected = list(interpret(graph, inputs).values())
    back = from_onnx(model)
    for found in (run_onnxruntime(model, inputs), interpret(back, inputs).values()):
        for want, have in zip(expected, found, strict=True):
            assert want.dtype == have.dtype
            np.testing.assert_allclose(have, want, rtol=1e-5, atol=1e-5)
    assert back.input_names == graph.input_names
    assert back.output_names == graph.output_names
    return back


def test_channels_last_nodes_get_transposes() -> None:
    x = f32(2, 6, 5, 3)
    last = {"channels_last": 1}
    nodes = [
        Node("Conv", ("x", "w", "b"), ("c",), {"pads": (1, 1, 1, 1), **last}),
        Node("BatchNormalization", ("c", "s", "b", "m", "v"), ("n",), last),
        Node("Relu", ("n",), ("r",)),
        Node("MaxPool", ("r",), ("p",), {"kernel_shape": (2, 2), "strides": (2, 2), **last}),
        Node("GlobalAveragePool", ("p",), ("g",), last),
    ]
    constants = {"w": f32(4, 3, 3, 3), **{k: abs(f32(4)) for k in "bsmv"}}
    back = check_same(graph_of(nodes, {"x": x}, ["g", "p"], constants), {"x": x})
    counts = [node.op for node in back.nodes].count("Transpose")
    assert counts == 5  # into the first; out of BatchNormalization, into and out of the pools


def test_resize_sizes_keep_their_order_when_channels_are_last() -> None:
    x = f32(1, 3, 4, 2)
    node = Node("Resize", ("x", "", "", "sizes"), ("y",), {"mode": "linear", "channels_last": 1})
    graph = graph_of([node], {"x": x}, ["y"], {"sizes": np.array([1, 2, 5, 7])})
    assert graph.outputs[0].shape == (1, 5, 7, 2)
    check_same(graph, {"x": x})


def fused_graph() -> tuple[Graph, dict[str, np.ndarray]]:
    """A group that has a constant, passes an input through, and shares names with the outside."""
    kind = TensorType(DType.f32, (2, 3))
    body = Graph(
        "group",
        [Value("x", kind), Value("h", kind)],
        [Value("y", kind), Value("h", kind)],
        [Node("Mul", ("x", "k"), ("t",)), Node("Add", ("t", "h"), ("y",))],
        {"k": np.float32(2).reshape(1)},
    )
    nodes = [
        Node("Relu", ("x",), ("t",)),
        Node("layercc.Fused", ("t", "x"), ("u", "v"), {"kind": "pointwise", "body": body}),
        Node("Sub", ("u", "v"), ("y",)),
    ]
    inputs = {"x": f32(2, 3)}
    return graph_of(nodes, inputs, ["y", "u", "v"]), inputs


def test_fused_groups_are_inlined() -> None:
    graph, inputs = fused_graph()
    back = check_same(graph, inputs)
    assert [node.op for node in back.nodes] == ["Relu", "Mul", "Add", "Identity", "Sub"]


def test_symbolic_dims_become_dim_params() -> None:
    shape = (symbol("N"), symbol("H") * 2 + 1, 3)
    graph = Graph(
        "test",
        [Value("x", TensorType(DType.f32, shape))],
        [Value("y", TensorType(DType.f32, shape))],
        [Node("Relu", ("x",), ("y",))],
    )
    model = to_onnx(graph)
    dims = model.graph.input[0].type.tensor_type.shape.dim
    assert [dim.dim_param or dim.dim_value for dim in dims] == ["N", str(shape[1]), 3]
    assert from_onnx(model).inputs == graph.inputs


@pytest.mark.parametrize("dtype", DType, ids=str)
def test_constants_of_every_dtype(dtype: DType) -> None:
    array = np.arange(6).reshape(2, 3) % (4 if dtype in (DType.i2, DType.u2) else 6)
    constant = (array % 2 if dtype is DType.i2 else array).astype(np.float32).astype(dtype.value)
    graph = graph_of([Node("Identity", ("c",), ("y",))], {}, ["y"], {"c": constant})
    back = from_onnx(to_onnx(graph, opset=25))
    assert back.constants["c"].dtype == constant.dtype
    assert back.constants["c"].tobytes() == constant.tobytes()


def test_the_oldest_opset_that_fits_is_chosen() -> None:
    x = f32(2, 4)
    plain = graph_of([Node("Relu", ("x",), ("y",))], {"x": x}, ["y"])
    newer = graph_of([Node("Swish", ("x",), ("y",))], {"x": x}, ["y"])
    assert to_onnx(plain).opset_import[0].version == 21
    assert to_onnx(newer).opset_import[0].version == 24
    check_same(plain, {"x": x}, opset=18)
    with pytest.raises(UnsupportedError, match="opset 18: op Swish is not part of it"):
        to_onnx(newer, opset=18)


def test_what_onnx_has_no_words_for_is_listed() -> None:
    x = f32(2, 8, 4, 4)
    nodes = [
        Node("SpaceToDepth", ("x",), ("a",), {"blocksize": 2, "mode": "CRD"}),
        Node("SpaceToDepth", ("x",), ("b",), {"blocksize": 4, "mode": "CRD"}),
    ]
    graph = graph_of(nodes, {"x": x}, ["a", "b"])
    with pytest.raises(UnsupportedError, match=r"opset 21: SpaceToDepth with mode=CRD .* ×2"):
        to_onnx(graph, opset=21)


def test_large_weights_go_to_a_file_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporter, "MAX_FILE_BYTES", 1 << 24)
    inputs = {"x": f32(2, 64)}
    nodes = [Node("MatMul", ("x", "w"), ("h",)), Node("Add", ("h", "b"), ("y",))]
    graph = graph_of(nodes, inputs, ["y"], {"w": f32(64, 64), "b": f32(64)})
    with pytest.raises(LayerccError, match="path="):
        to_onnx(graph)
    path = tmp_path / "m.onnx"
    to_onnx(graph, path=path)
    assert (tmp_path / "m.onnx.data").stat().st_size == 64 * 64 * 4
    assert path.stat().st_size < 4096
    expected = interpret(graph, inputs)["y"]
    np.testing.assert_allclose(
        run_onnxruntime(str(path), inputs)[0], expected, rtol=1e-5, atol=1e-5
    )
    np.testing.assert_array_equal(interpret(from_onnx(path), inputs)["y"], expected)


def test_small_models_are_saved_whole(tmp_path: Path) -> None:
    graph, inputs = fused_graph()
    to_onnx(graph, path=tmp_path / "m.onnx")
    assert [file.name for file in tmp_path.iterdir()] == ["m.onnx"]
    np.testing.assert_allclose(
        run_onnxruntime(str(tmp_path / "m.onnx"), inputs)[0], interpret(graph, inputs)["y"]
    )


@pytest.mark.parametrize("path", REAL, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_real_models_come_back(path: Path) -> None:
    graph = from_onnx(path)
    model = to_onnx(graph)
    onnx.checker.check_model(model)
    assert_equivalent(from_onnx(model), graph)


def assert_equivalent(a: Graph, b: Graph) -> None:
    """Nodes, constants and inputs are the same, in bodies too."""
    assert a.input_names == b.input_names
    assert a.output_names == b.output_names
    assert a.constants.keys() == b.constants.keys()
    for name, array in a.constants.items():
        assert array.dtype == b.constants[name].dtype
        assert array.tobytes() == b.constants[name].tobytes()
    for first, second in zip(a.nodes, b.nodes, strict=True):
        assert (first.op, first.inputs, first.outputs) == (second.op, second.inputs, second.outputs)
        for body, other in zip(first.subgraphs(), second.subgraphs(), strict=True):
            assert_equivalent(body, other)


#: Tests whose expected failure is not the exporter's doing.
CHECKER_FAULTS = {"test_mvn"}  # the function body in the onnx package lacks the default of `axes`


def test_every_node_test_can_be_written_and_read() -> None:
    """All models of the onnx package that can be imported pass the checker after export."""
    failed = {}
    for kind, name in ALL:
        model = read_model(cases(kind)[name])
        if reason_to_skip(name, model) or name in CHECKER_FAULTS:
            continue
        graph = from_onnx(model)
        try:
            written = to_onnx(graph)
            onnx.checker.check_model(written, full_check=True)
            assert_equivalent(from_onnx(written), graph)
        except Exception as error:  # collected, so that one report shows all
            failed[name] = f"{type(error).__name__}: {error}"
    assert failed == {}
