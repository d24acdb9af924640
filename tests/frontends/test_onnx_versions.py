"""Older forms of ops: onnxruntime runs them as they are, the interpreter what became of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from ir.diagnostics import UnsupportedError
from ir.interpreter import interpret
from layercc.frontends.onnx import from_onnx
from tests.frontends.onnx_models import model_of, one_node, run_onnxruntime

RNG = np.random.default_rng(11)


def f32(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


STATISTICS = [abs(f32(3)) for _ in range(4)]

#: Op, opset, inputs, attributes, ops it becomes. Opsets from 7 on, which onnxruntime runs.
SINCE_7: list[tuple[str, int, list[np.ndarray], dict[str, Any], list[str]]] = [
    ("Clip", 7, [f32(3, 5)], {"min": -0.5}, ["Clip"]),
    ("Clip", 7, [f32(3, 5)], {}, ["Clip"]),
    ("Clip", 10, [f32(3, 5)], {"min": -0.5, "max": 0.5}, ["Clip"]),
    ("Slice", 9, [f32(4, 5, 6)], {"starts": [1, -3], "ends": [3, 100], "axes": [0, 2]}, ["Slice"]),
    ("Slice", 9, [f32(4, 5)], {"starts": [1], "ends": [-1]}, ["Slice"]),
    ("Squeeze", 11, [f32(1, 3, 1)], {"axes": [0, -1]}, ["Squeeze"]),
    ("Squeeze", 9, [f32(1, 3, 1)], {}, ["Squeeze"]),
    ("Unsqueeze", 11, [f32(3, 4)], {"axes": [0, 3]}, ["Unsqueeze"]),
    ("Pad", 10, [f32(2, 3)], {"pads": [0, 1, 2, 0], "value": 1.5}, ["Pad"]),
    ("Pad", 7, [f32(4, 3)], {"pads": [1, 0, 2, 1], "mode": "reflect"}, ["Pad"]),
    ("ReduceSum", 11, [f32(2, 3, 4)], {"axes": [1], "keepdims": 0}, ["ReduceSum"]),
    ("ReduceMean", 13, [f32(2, 3, 4)], {"axes": [-1]}, ["ReduceMean"]),
    ("ReduceMax", 17, [f32(2, 3, 4)], {}, ["ReduceMax"]),
    ("ReduceL2", 11, [f32(2, 3, 4)], {"axes": [0, 2]}, ["ReduceL2"]),
    ("Softmax", 11, [f32(3, 5)], {}, ["Softmax"]),
    ("Softmax", 11, [f32(3, 5, 1, 1)], {}, ["Softmax"]),
    ("Softmax", 11, [f32(3, 4, 5)], {}, ["Flatten", "Softmax", "Shape", "Reshape"]),
    ("Softmax", 11, [f32(3, 4, 5)], {"axis": 0}, ["Flatten", "Softmax", "Shape", "Reshape"]),
    ("Softmax", 11, [f32(3, 4, 5)], {"axis": -1}, ["Softmax"]),
    ("Softmax", 11, [f32(0, 4, 5)], {"axis": 0}, ["Flatten", "Softmax", "Shape", "Reshape"]),
    ("LogSoftmax", 9, [f32(3, 4, 5)], {"axis": 1}, ["Flatten", "LogSoftmax", "Shape", "Reshape"]),
    ("Hardmax", 11, [f32(3, 4, 5)], {"axis": 1}, ["Flatten", "Hardmax", "Shape", "Reshape"]),
    ("Upsample", 7, [f32(1, 2, 3, 4)], {"scales": [1.0, 1.0, 2.0, 3.0]}, ["Resize"]),
    (
        "Upsample", 8, [f32(1, 2, 3, 4)], {"scales": [1.0, 1.0, 2.0, 2.0], "mode": "linear"},
        ["Resize"],
    ),
    ("Scatter", 9, [f32(3, 3), ints(1, 0).reshape(1, 2), f32(1, 2)], {}, ["ScatterElements"]),
    ("Dropout", 10, [f32(3, 4)], {"ratio": 0.3}, ["Dropout"]),
    ("BatchNormalization", 7, [f32(2, 3, 4), *STATISTICS], {}, ["BatchNormalization"]),
    ("BatchNormalization", 9, [f32(2, 3, 4), *STATISTICS], {}, ["BatchNormalization"]),
    ("Flatten", 7, [f32(2, 3, 4)], {"axis": 2}, ["Flatten"]),
    ("Gemm", 7, [f32(2, 3), f32(3, 4), f32(4)], {"alpha": 0.5}, ["Gemm"]),
    ("PRelu", 7, [f32(2, 3, 4), f32(3, 1)], {}, ["PRelu"]),
    ("GridSample", 16, [f32(1, 1, 4, 4), f32(1, 2, 2, 2) / 3], {"mode": "bicubic"}, ["GridSample"]),
    ("LpPool", 11, [f32(1, 2, 6, 6)], {"kernel_shape": [2, 2], "p": 3}, ["LpPool"]),
    ("GRU", 7, [f32(3, 2, 4), f32(1, 15, 4), f32(1, 15, 5)], {"hidden_size": 5}, ["GRU"]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("op", "opset", "inputs", "attributes", "becomes"),
    SINCE_7,
    ids=[f"{op}-{opset}-{i}" for i, (op, opset, *_) in enumerate(SINCE_7)],
)
def test_older_forms(
    op: str, opset: int, inputs: list[np.ndarray], attributes: dict[str, Any], becomes: list[str]
) -> None:
    model, given = one_node(op, opset, inputs, **attributes)
    graph = from_onnx(model)
    assert sorted(node.op for node in graph.nodes) == sorted(becomes)
    expected = run_onnxruntime(model, given)
    found = interpret(graph, given)
    np.testing.assert_allclose(found["y0"], expected[0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("opset", [9, 10])
def test_topk(opset: int) -> None:
    if opset == 9:
        model, given = one_node("TopK", 9, [f32(2, 7)], outputs=2, k=3)
    else:
        model, given = one_node("TopK", 10, [f32(2, 7), ints(3)], outputs=2)
    found = interpret(from_onnx(model), given)
    for want, have in zip(run_onnxruntime(model, given), found.values(), strict=True):
        np.testing.assert_array_equal(have, want)


def test_split_into_as_many_parts_as_outputs() -> None:
    for opset, attributes in [(11, {"split": [2, 3, 1]}), (11, {}), (13, {})]:
        model, given = one_node("Split", opset, [f32(6, 2)], outputs=3, **attributes)
        found = interpret(from_onnx(model), given)
        for want, have in zip(run_onnxruntime(model, given), found.values(), strict=True):
            np.testing.assert_array_equal(have, want)


def test_resize_of_opset_11_with_empty_scales() -> None:
    given = {"x": f32(1, 2, 4, 4)}
    empty = np.zeros(0, np.float32)
    constants = {"roi": empty, "scales": empty, "sizes": ints(1, 2, 7, 9)}
    node = helper.make_node("Resize", ["x", "roi", "scales", "sizes"], ["y"], mode="linear")
    model = model_of([node], given, ["y"], 11, constants)
    graph = from_onnx(model)
    assert graph.nodes[0].inputs == ("x", "", "", "sizes")
    np.testing.assert_allclose(
        interpret(graph, given)["y"], run_onnxruntime(model, given)[0], rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("mode", ["nearest", "linear"])
@pytest.mark.parametrize("factors", [(2.5, 0.6), (2.0, 2.5), (0.7, 0.4)], ids=str)
def test_resize_of_opset_10(factors: tuple[float, float], mode: str) -> None:
    given = {"x": f32(1, 1, 5, 7)}
    node = helper.make_node("Resize", ["x", "s"], ["y"], mode=mode)
    scales = np.array([1, 1, *factors], np.float32)
    model = model_of([node], given, ["y"], 10, {"s": scales})
    np.testing.assert_allclose(
        interpret(from_onnx(model), given)["y"], run_onnxruntime(model, given)[0], atol=1e-6
    )


@pytest.mark.parametrize("constant", [True, False], ids=["constant", "computed"])
def test_group_normalization_by_group(constant: bool) -> None:
    x, scale, bias = f32(2, 6, 3), f32(2), f32(2)
    node = helper.make_node("GroupNormalization", ["x", "s", "b"], ["y"], num_groups=2)
    if constant:
        model = model_of([node], {"x": x}, ["y"], 18, {"s": scale, "b": bias})
        given = {"x": x}
    else:
        given = {"x": x, "s": scale, "b": bias}
        model = model_of([node], given, ["y"], 18)
    groups = x.reshape(2, 2, -1).astype(np.float64)
    centred = groups - groups.mean(axis=2, keepdims=True)
    normal = centred / np.sqrt((centred**2).mean(axis=2, keepdims=True) + 1e-5)
    expected = (normal * scale[:, None] + bias[:, None]).reshape(x.shape)
    graph = from_onnx(model)
    assert (len(graph.nodes) == 1) == constant
    np.testing.assert_allclose(interpret(graph, given)["y"], expected, rtol=1e-5, atol=1e-6)


#: Op, opset, inputs, attributes, expected: forms older than what onnxruntime promises to run.
A, B, X = f32(2, 3, 4, 5), f32(3, 4), f32(2, 3, 4)
BEFORE_7: list[tuple[str, int, list[np.ndarray], dict[str, Any], Callable[[], np.ndarray]]] = [
    ("Add", 6, [A, B], {"broadcast": 1, "axis": 1}, lambda: A + B[:, :, None]),
    ("Mul", 6, [A, f32(5) * 0 + 2], {"broadcast": 1}, lambda: A * 2),
    ("Sub", 1, [A, A], {"consumed_inputs": [0, 0]}, lambda: A * 0),
    ("PRelu", 6, [A, np.array([1, 2, 3], np.float32)], {},
     lambda: np.where(A < 0, A * np.array([1, 2, 3]).reshape(3, 1, 1), A)),
    ("Cast", 1, [A], {"to": "INT32"}, lambda: A.astype(np.int32)),
    ("Reshape", 1, [X], {"shape": [0, -1]}, lambda: X.reshape(2, 12)),
    ("Pad", 1, [X], {"paddings": [0, 0, 1, 0, 0, 2]}, lambda: np.pad(X, [(0, 0), (0, 0), (1, 2)])),
    ("Concat", 1, [X, X], {}, lambda: np.concatenate([X, X], axis=1)),
    ("Selu", 1, [X], {}, lambda: 1.0507 * np.where(X > 0, X, 1.6732 * np.expm1(X))),
    ("Dropout", 6, [X], {"is_test": 1, "ratio": 0.5}, lambda: X),
    ("Gemm", 6, [B, B.T.copy(), f32(3) * 0 + 1], {"broadcast": 1}, lambda: B @ B.T + 1),
    ("Upsample", 1, [A[:, :, :2, :2].copy()], {"height_scale": 2.0, "width_scale": 1.0},
     lambda: A[:, :, :2, :2].repeat(2, axis=2)),
    ("GlobalLpPool", 1, [A], {"p": 2.0},
     lambda: np.sqrt((A.astype(np.float64) ** 2).sum(axis=(2, 3), keepdims=True))),
    ("BatchNormalization", 7, [X, *(f32(3, 4) * 0 + k for k in (2, 1, 0, 4))],
     {"spatial": 0, "epsilon": 0.0}, lambda: X / 2 * 2 + 1),
]  # fmt: skip


@pytest.mark.parametrize(
    ("op", "opset", "inputs", "attributes", "expected"),
    BEFORE_7,
    ids=[f"{op}-{opset}" for op, opset, *_ in BEFORE_7],
)
def test_oldest_forms(
    op: str,
    opset: int,
    inputs: list[np.ndarray],
    attributes: dict[str, Any],
    expected: Callable[[], np.ndarray],
) -> None:
    model, given = one_node(op, opset, inputs, **attributes)
    found = interpret(from_onnx(model), given)
    np.testing.assert_allclose(found["y0"], expected(), rtol=1e-5, atol=1e-6)


def test_dropout_mask_had_the_type_of_its_input() -> None:
    model, given = one_node("Dropout", 7, [X], outputs=2)
    mask = interpret(from_onnx(model), given)["y1"]
    assert mask.dtype == np.float32
    assert (mask == 1).all()


def test_batch_normalization_in_training() -> None:
    """Extra outputs asked for training before there was an attribute for it."""
    x = f32(4, 3, 5)
    given = [x, np.ones(3, np.float32), *(np.zeros(3, np.float32) for _ in range(3))]
    model, inputs = one_node("BatchNormalization", 9, given, outputs=3, momentum=0.0)
    found = interpret(from_onnx(model), inputs)
    np.testing.assert_allclose(found["y1"], x.mean(axis=(0, 2)), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found["y0"].mean(axis=(0, 2)), 0, atol=1e-5)


def test_what_cannot_be_lifted_says_so() -> None:
    inner = helper.make_graph([], "body", [], [])
    node = helper.make_node("Scan", ["", "x"], ["y"], body=inner, num_scan_inputs=1)
    with pytest.raises(UnsupportedError, match=r"Scan 'y' of opset 8.*opset 9 or newer would fit"):
        from_onnx(model_of([node], {"x": f32(1, 2)}, ["y"], 8))


def test_every_attribute_that_went_away_is_dealt_with() -> None:
    """The schemas tell which attributes newer versions lack; lifting must have taken them."""
    from layercc.frontends.onnx.versions import VersionedNode, lift, renamed

    class Nowhere:
        def fresh_name(self, hint: str) -> str:
            return hint

        def add_constant(self, name: str, array: np.ndarray) -> None:
            assert name

        def constant(self, name: str) -> np.ndarray:
            return np.ones(1, np.int64)

        def shape_of(self, name: str) -> tuple[int, ...]:
            return (3,) if name == "b" else (2, 3, 4)

        def dtype_of(self, name: str) -> None:
            return None

    examples = {"INT": 1, "FLOAT": 1.0, "STRING": "", "INTS": (1,), "FLOATS": (1.0,)}
    left = []
    for schema in onnx.defs.get_all_schemas_with_history():
        newest_op = renamed(schema.name)
        newest = onnx.defs.get_schema(newest_op) if not schema.domain else None
        if newest is None or newest.deprecated or schema.deprecated:
            continue
        attributes = {
            name: examples[spec.type.name]
            for name, spec in schema.attributes.items()
            if spec.type.name in examples and name not in ("shape", "to")
        }
        node = VersionedNode(
            schema.name, list("abcde"[: schema.max_input]), ["y"], attributes, "n",
            schema.since_version, Nowhere(),
        )  # fmt: skip
        try:
            lift(node)
        except UnsupportedError:
            continue
        known = set(onnx.defs.get_schema(node.op).attributes)
        left += [f"{schema.name}-{schema.since_version}.{n}" for n in set(node.attributes) - known]
    assert left == []
