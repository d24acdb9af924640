"""The modules of PyTorch that nodes come from, as its exporter's metadata tell."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import NodeProto, helper

from layercc.frontends.onnx import from_onnx
from layercc.frontends.onnx.origin import module_of
from tests.frontends.onnx_models import body, model_of


def of_module(node: NodeProto, *scopes: str) -> NodeProto:
    """The node with metadata as `torch.onnx.export` writes them, which is by `repr`."""
    node.metadata_props.add(key="namespace", value=": net.Net/conv1: torch.nn.Conv2d/x: y")
    node.metadata_props.add(key="pkg.torch.onnx.name_scopes", value=repr(list(scopes)))
    return node


@pytest.mark.parametrize(
    ("value", "module"),
    [
        (repr(["", "layer1", "layer1.0", "layer1.0.conv1", "conv2d"]), "layer1.0.conv1"),
        (repr(["", "relu"]), ""),
        (repr(["relu"]), ""),
        ("", ""),
        ("[[[[[[", ""),
        ("['a", ""),
    ],
)
def test_module_of(value: str, module: str) -> None:
    node = helper.make_node("Relu", ["x"], ["y"])
    node.metadata_props.add(key="pkg.torch.onnx.name_scopes", value=value)
    assert module_of(node) == module


def test_nodes_know_their_modules(tmp_path: Path) -> None:
    """Those of a subgraph theirs, those of a function that of the node that calls it."""
    domain = "pkg.onnxscript.torch_lib"
    twice = helper.make_function(
        domain, "Twice", ["a"], ["c"], [helper.make_node("Add", ["a", "a"], ["c"])],
        [helper.make_opsetid("", 21)],
    )  # fmt: skip
    inner = of_module(helper.make_node("Exp", ["b"], ["e"]), "", "branch", "exp")
    branch = body([inner], [], ["e"])
    nodes = [
        of_module(helper.make_node("Relu", ["x"], ["a"], "node_relu"), "", "layer1", "relu"),
        of_module(helper.make_node("Twice", ["a"], ["b"], domain=domain), "", "double", "twice"),
        of_module(
            helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch),
            "", "choice", "cond",
        ),
        helper.make_node("Neg", ["y"], ["z"]),
    ]  # fmt: skip
    model = model_of(nodes, {"x": np.ones(2, np.float32), "c": np.array(True)}, ["z"])
    model.functions.append(twice)
    model.opset_import.append(helper.make_opsetid(domain, 1))
    path = tmp_path / "net.onnx"
    onnx.save(model, path)
    graph = from_onnx(path)
    layers = [node.source.layer for node in graph.nodes if node.source]
    assert layers == ["layer1", "double", "choice", ""]
    assert str(graph.nodes[0].source) == str(path)
    (then, _) = graph.nodes[2].subgraphs()
    assert [node.source.layer for node in then.nodes if node.source] == ["branch"]
