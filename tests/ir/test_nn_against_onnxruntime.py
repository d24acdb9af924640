"""References of the neural-network ops against onnxruntime, on odd sizes and rare attributes."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

import ir.ops  # noqa: F401  fills the registry
from ir.dtypes import DType, dtype_of
from ir.graph import Graph, Node, Value
from ir.inference import infer
from ir.interpreter import run_node
from ir.types import TensorType

OPSET = 21  # the newest at which onnxruntime has all of these ops


def run_onnxruntime(
    op: str,
    names: list[str],
    arrays: dict[str, np.ndarray],
    outputs: tuple[str, ...],
    attributes: dict[str, Any],
) -> list[np.ndarray]:
    domain, _, kind = op.rpartition(".")
    node = onnx.helper.make_node(kind, names, outputs, domain=domain, **attributes)
    graph = onnx.helper.make_graph(
        [node],
        "one",
        [
            onnx.helper.make_tensor_value_info(
                name, onnx.helper.np_dtype_to_tensor_dtype(array.dtype), array.shape
            )
            for name, array in arrays.items()
        ],
        [onnx.ValueInfoProto(name=name) for name in outputs],
    )
    opsets = [onnx.helper.make_opsetid("", OPSET)]
    if domain:
        opsets.append(onnx.helper.make_opsetid(domain, 1))
    model = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=10)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run(None, arrays)


def draw(shape: tuple[int, ...] | np.ndarray) -> np.ndarray:
    if isinstance(shape, np.ndarray):
        return shape
    return np.random.default_rng(sum(shape)).standard_normal(shape, np.float32)


def lengths(*values: int) -> np.ndarray:
    return np.array(values, np.int32)


#: op, inputs (shapes, arrays, or None where absent), number of outputs, attributes
CASES: list[tuple[str, list, int, dict]] = [
    ("Conv", [(2, 6, 11, 13), (9, 2, 3, 5), (9,)], 1, {"group": 3, "strides": [2, 3]}),
    ("Conv", [(1, 4, 9, 10), (4, 1, 3, 2)], 1,
     {"group": 4, "dilations": [2, 3], "pads": [1, 0, 2, 3]}),
    ("Conv", [(1, 3, 17), (5, 3, 4)], 1, {"auto_pad": "SAME_LOWER", "strides": [3]}),
    ("Conv", [(1, 2, 5, 6, 7), (3, 2, 3, 2, 1)], 1, {"pads": [1, 0, 0, 0, 1, 0]}),
    ("ConvTranspose", [(2, 4, 5, 3), (4, 3, 3, 4), (6,)], 1,
     {"group": 2, "strides": [2, 3], "pads": [1, 0, 2, 1], "output_padding": [1, 0]}),
    ("ConvTranspose", [(1, 3, 7), (3, 2, 3)], 1, {"dilations": [2], "strides": [3]}),
    ("ConvTranspose", [(1, 3, 7, 5), (3, 2, 3, 3)], 1,
     {"strides": [2, 2], "auto_pad": "SAME_UPPER"}),
    ("ConvTranspose", [(1, 3, 7, 5), (3, 2, 3, 3)], 1,
     {"strides": [2, 2], "output_shape": [14, 9]}),
    ("MaxPool", [(2, 3, 13, 11)], 2,
     {"kernel_shape": [3, 2], "strides": [2, 3], "dilations": [2, 1], "pads": [1, 0, 1, 1]}),
    ("MaxPool", [(1, 2, 7, 9)], 2, {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1}),
    ("MaxPool", [(2, 2, 7, 6)], 2, {"kernel_shape": [3, 3], "storage_order": 1}),
    ("AveragePool", [(1, 3, 10, 11)], 1,
     {"kernel_shape": [3, 4], "strides": [2, 3], "ceil_mode": 1, "pads": [1, 1, 1, 2]}),
    ("AveragePool", [(1, 3, 10, 11)], 1,
     {"kernel_shape": [3, 4], "strides": [2, 3], "count_include_pad": 1, "pads": [1, 1, 1, 2]}),
    ("AveragePool", [(1, 3, 10, 9)], 1,
     {"kernel_shape": [3, 2], "strides": [2, 2], "auto_pad": "SAME_LOWER"}),
    ("LpPool", [(1, 3, 10)], 1, {"kernel_shape": [3], "p": 3, "strides": [2]}),
    ("LRN", [(2, 7, 3, 5)], 1, {"size": 5, "alpha": 0.3, "beta": 0.6, "bias": 1.5}),
    ("InstanceNormalization", [(2, 3, 7), (3,), (3,)], 1, {"epsilon": 1e-3}),
    ("LayerNormalization", [(3, 5, 7), (5, 7), (5, 7)], 3, {"axis": -2}),
    ("com.microsoft.SkipLayerNormalization", [(3, 5, 8), (3, 5, 8), (8,), (8,), (8,)], 1,
     {"epsilon": 1e-5}),
    ("Gemm", [(7, 5), (3, 7), (5, 1)], 1, {"transA": 1, "transB": 1, "alpha": 0.5, "beta": 2.0}),
    ("MatMul", [(5,), (2, 5, 3)], 1, {}),
    ("MatMul", [(4, 1, 3, 5), (2, 5, 7)], 1, {}),
    ("com.microsoft.FusedMatMul", [(2, 5, 3), (2, 7, 5)], 1,
     {"transA": 1, "transB": 1, "alpha": 0.3}),
    ("RNN", [(5, 3, 4), (2, 6, 4), (2, 6, 6), (2, 12), lengths(5, 2, 3), (2, 3, 6)], 2,
     {"hidden_size": 6, "direction": "bidirectional", "activations": ["Tanh", "Relu"]}),
    ("GRU", [(5, 3, 4), (2, 18, 4), (2, 18, 6), (2, 36), lengths(1, 5, 3), (2, 3, 6)], 2,
     {"hidden_size": 6, "direction": "bidirectional", "linear_before_reset": 1}),
    ("GRU", [(5, 3, 4), (1, 18, 4), (1, 18, 6), (1, 36)], 2,
     {"hidden_size": 6, "direction": "reverse", "clip": 0.5,
      "activations": ["HardSigmoid", "LeakyRelu"], "activation_alpha": [0.3, 0.05],
      "activation_beta": [0.4]}),
    ("LSTM", [(5, 3, 4), (2, 24, 4), (2, 24, 6), (2, 48), lengths(5, 2, 4), (2, 3, 6), (2, 3, 6),
              (2, 18)], 3, {"hidden_size": 6, "direction": "bidirectional"}),
    ("LSTM", [(5, 3, 4), (1, 24, 4), (1, 24, 6), (1, 48), lengths(5, 3, 2)], 3,
     {"hidden_size": 6, "direction": "reverse", "clip": 0.3,
      "activations": ["Sigmoid", "Softsign", "Elu"], "activation_alpha": [0.7]}),
    ("LSTM", [(4, 2, 3), (1, 20, 3), (1, 20, 5), None, None, (1, 2, 5), (1, 2, 5)], 3,
     {"hidden_size": 5, "clip": 0.1}),
    ("LSTM", [(4, 2, 3), (1, 20, 3), (1, 20, 5), None, None, None, None, None], 3,
     {"hidden_size": 5, "input_forget": 1}),
    ("Resize", [(1, 2, 7, 5), None, np.array([1, 1, 1.7, 2.3], np.float32)], 1,
     {"mode": "linear"}),
    ("Resize", [(1, 2, 7, 5), None, np.array([1, 1, 1.7, 2.3], np.float32)], 1,
     {"mode": "cubic", "cubic_coeff_a": -0.5, "exclude_outside": 1}),
    ("Resize", [(1, 2, 7, 5), None, None, np.array([1, 2, 11, 3])], 1,
     {"mode": "linear", "coordinate_transformation_mode": "align_corners"}),
    ("Resize", [(1, 2, 9, 12), None, None, np.array([1, 2, 4, 5])], 1,
     {"mode": "linear", "antialias": 1}),
    ("Resize", [(1, 2, 9, 12), None, None, np.array([1, 2, 4, 5])], 1,
     {"mode": "cubic", "antialias": 1}),
    ("Resize", [(1, 2, 9, 12), np.array([0, 0, 0.2, -0.1, 1, 1, 0.7, 1.2], np.float32), None,
                np.array([1, 2, 4, 5])], 1,
     {"mode": "linear", "coordinate_transformation_mode": "tf_crop_and_resize",
      "extrapolation_value": 9.0}),
    *[
        ("Resize", [(1, 2, 9, 12), None, None, np.array([1, 2, 13, 7])], 1,
         {"mode": "nearest", "nearest_mode": rounding,
          "coordinate_transformation_mode": transformation})
        for rounding in ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")
        for transformation in ("half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel")
    ],
    *[
        ("GridSample", [(2, 3, 5, 7), np.linspace(-1.37, 1.43, 48, dtype=np.float32)
                        .reshape(2, 3, 4, 2)], 1,
         {"mode": mode, "padding_mode": padding, "align_corners": corners})
        for mode in ("linear", "nearest", "cubic")
        for padding in ("zeros", "border", "reflection")
        for corners in (0, 1)
    ],
    ("MaxRoiPool", [(2, 3, 8, 9), np.array([[0, 1, 1, 6, 7], [1, 0, 3, 8, 4], [0, 7, 7, 7, 7]],
                                           np.float32)], 1,
     {"pooled_shape": [3, 2], "spatial_scale": 0.9}),
    ("RoiAlign", [(2, 3, 8, 9), np.array([[1, 1, 6, 7], [0, 3, 12, 4]], np.float32),
                  np.array([0, 1])], 1,
     {"output_height": 3, "output_width": 2, "sampling_ratio": 2, "spatial_scale": 0.8}),
]  # fmt: skip


every_case = pytest.mark.parametrize(
    ("op", "inputs", "outputs", "attributes"),
    CASES,
    ids=[f"{number}-{case[0]}" for number, case in enumerate(CASES)],
)


def make_node(
    op: str, inputs: list, outputs: int, attributes: dict[str, Any]
) -> tuple[Node, dict[str, np.ndarray]]:
    names = [f"i{n}" if given is not None else "" for n, given in enumerate(inputs)]
    while not names[-1]:
        names.pop()
    arrays = {name: draw(given) for name, given in zip(names, inputs, strict=False) if name}
    results = tuple(f"o{n}" for n in range(outputs))
    frozen = {k: tuple(v) if isinstance(v, list) else v for k, v in attributes.items()}
    return Node(op, tuple(names), results, frozen), arrays


@every_case
def test_reference(op: str, inputs: list, outputs: int, attributes: dict[str, Any]) -> None:
    node, arrays = make_node(op, inputs, outputs, attributes)
    ours = run_node(node, arrays)
    theirs = run_onnxruntime(op, list(node.inputs), arrays, node.outputs, attributes)
    for mine, other in zip(ours, theirs, strict=False):
        assert mine.shape == other.shape and mine.dtype == other.dtype
        np.testing.assert_allclose(mine, other, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("dtype", [DType.f16, DType.bf16, DType.f64], ids=str)
@every_case
def test_dtypes(
    op: str, inputs: list, outputs: int, attributes: dict[str, Any], dtype: DType
) -> None:
    """Inferred types are computed types in every float dtype, and values are float32's, rounded."""
    node, arrays = make_node(op, inputs, outputs, attributes)
    fixed = {"Resize": ("i2",)}.get(op, ())  # inputs that are float32 whatever the others are
    given = {
        name: array.astype(dtype.value)
        if array.dtype == np.float32 and name not in fixed
        else array
        for name, array in arrays.items()
    }
    values = [Value(name, TensorType(dtype_of(a), a.shape)) for name, a in given.items()]
    found = infer(Graph("one", values, [], [node]), values=given)
    assert not found.errors
    rounded = {
        name: array.astype(np.float32)
        if name not in fixed and array.dtype == dtype.value
        else array
        for name, array in given.items()
    }
    pairs = zip(run_node(node, given), run_node(node, rounded), strict=True)
    tolerance = {DType.f16: 2e-3, DType.bf16: 2e-2, DType.f64: 1e-5}[dtype]
    for name, (mine, exact) in zip(node.outputs, pairs, strict=False):
        assert TensorType(dtype_of(mine), mine.shape) == found.types[name]
        np.testing.assert_allclose(
            mine.astype(np.float64), exact, rtol=tolerance, atol=tolerance / 100
        )
