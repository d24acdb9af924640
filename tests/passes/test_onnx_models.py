"""The pipeline on the models that the onnx package carries."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import onnx
import pytest

from ir.graph import Graph
from layercc.frontends.onnx import from_onnx
from layercc.passes import run_passes
from layercc.passes.fusion import is_pointwise

LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"

#: Model → Transposes left: one in front of a network; one where a map is flattened; and one for
#: each of ShuffleNet's sixteen shuffles.
TRANSPOSES = {
    "bvlc_alexnet": 2,
    "densenet121": 1,
    "inception_v1": 1,
    "inception_v2": 1,
    "resnet50": 1,
    "shufflenet": 17,
    "squeezenet": 1,
    "vgg19": 2,
    "zfnet512": 2,
}
#: Nodes that a model of this kind has no more after the pipeline.
GONE = ("BatchNormalization", "Gemm", "Flatten", "Dropout", "Identity", "Sum", "ConstantOfShape")


def _ops(graph: Graph) -> Counter[str]:
    return Counter(node.op for node in graph.nodes)


@pytest.mark.parametrize("name", TRANSPOSES)
def test_light_model(name: str) -> None:
    graph = from_onnx(LIGHT / f"light_{name}.onnx")
    after = run_passes(graph, verify=True)
    ops = _ops(after)
    assert ops["Transpose"] == TRANSPOSES[name]
    assert not any(ops[op] for op in GONE)
    assert not any(is_pointwise(node) for node in after.nodes), "every pointwise op is in a group"
    assert run_passes(after) is after


def test_resnet50_is_convolutions_with_epilogues() -> None:
    after = run_passes(from_onnx(LIGHT / "light_resnet50.onnx"))
    assert _ops(after) == {
        "Transpose": 1,
        "layercc.Fused": 50,  # 49 convolutions and the classifier
        "Conv": 4,  # the shortcuts, which the residual sums read
        "MaxPool": 1,
        "AveragePool": 1,
        "Reshape": 1,
        "Softmax": 1,
    }
