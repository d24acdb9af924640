"""Small ONNX models for tests, and onnxruntime as the judge of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import GraphProto, ModelProto, NodeProto, helper, numpy_helper


def value(name: str, array: np.ndarray) -> onnx.ValueInfoProto:
    code = helper.np_dtype_to_tensor_dtype(array.dtype)
    return helper.make_tensor_value_info(name, code, array.shape)


def model_of(
    nodes: Sequence[NodeProto],
    inputs: Mapping[str, np.ndarray],
    outputs: Sequence[str],
    opset: int = 21,
    constants: Mapping[str, np.ndarray] | None = None,
    **graph_parts: Any,
) -> ModelProto:
    """A model whose inputs are typed like the arrays; its outputs have no declared type."""
    graph = helper.make_graph(
        list(nodes),
        "test",
        [value(name, array) for name, array in inputs.items()],
        [onnx.ValueInfoProto(name=name) for name in outputs],
        [numpy_helper.from_array(array, name) for name, array in (constants or {}).items()],
        **graph_parts,
    )
    imports = [helper.make_opsetid("", opset)]
    return helper.make_model(graph, opset_imports=imports, ir_version=10)


def one_node(
    op: str, opset: int, inputs: Sequence[np.ndarray], outputs: int = 1, **attributes: Any
) -> tuple[ModelProto, dict[str, np.ndarray]]:
    """A model of one node, and its inputs by name."""
    given = {f"x{i}": np.asarray(array) for i, array in enumerate(inputs)}
    made = [f"y{i}" for i in range(outputs)]
    return model_of(
        [helper.make_node(op, list(given), made, **attributes)], given, made, opset
    ), given


def body(
    nodes: Sequence[NodeProto], inputs: Sequence[str], outputs: Sequence[str], name: str = "body"
) -> GraphProto:
    """A subgraph without declared types."""
    return helper.make_graph(
        list(nodes),
        name,
        [onnx.ValueInfoProto(name=n) for n in inputs],
        [onnx.ValueInfoProto(name=n) for n in outputs],
    )


def run_onnxruntime(model: ModelProto | str, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    source = model if isinstance(model, str) else model.SerializeToString()
    session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    return list(session.run(None, dict(inputs)))
