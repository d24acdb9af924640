"""Parts of an ONNX file as it is, for other runtimes: what layercc reads in it has no say here."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np
import onnx

from ir.diagnostics import InvalidModelError
from ir.dtypes import dtype_of
from layercc.tools.compare.extract import Inputs


class OnnxFile:
    """A model file, read as a protobuf. Raises InvalidModelError where that fails."""

    def __init__(self, path: Path) -> None:
        try:
            self.proto = onnx.load(path)
        except Exception as error:  # whatever reading weights beside the file raises
            raise InvalidModelError(f"cannot read {path}: {error}") from error
        graph = self.proto.graph
        self.names = {name for node in graph.node for name in node.output if name}
        self.names.update(value.name for value in graph.input)

    def part(
        self, given: Mapping[str, np.ndarray], wanted: Collection[str]
    ) -> tuple[onnx.ModelProto, Inputs]:
        """The model that computes `wanted` values from `given` ones, and which input stands for
        which: as `extract` does with a graph."""
        graph, want = self.proto.graph, set(wanted)
        nodes, read = [], set(wanted)
        for node in reversed(graph.node):
            if not want.isdisjoint(node.output):
                nodes.append(node)
                names = _reads(node)
                read |= names
                want |= names - given.keys()
        inputs: Inputs = {}
        for name in given:
            if name in read:
                inputs[name] = f"{name}/given" if name in self.names else name
        model = onnx.ModelProto()
        model.ir_version = self.proto.ir_version
        model.opset_import.extend(self.proto.opset_import)
        model.functions.extend(self.proto.functions)
        model.graph.name = graph.name
        for node in reversed(nodes):
            _rename(model.graph.node.add(), node, inputs)
        for name, port in inputs.items():
            kind, rank = dtype_of(given[name]).onnx, given[name].ndim
            dims = [None] * rank  # sizes might contradict a branch that is not taken
            model.graph.input.append(onnx.helper.make_tensor_value_info(port, kind, dims))
        model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in wanted)
        constants = [t for t in graph.initializer if t.name in read and t.name not in given]
        model.graph.initializer.extend(constants)
        model.graph.sparse_initializer.extend(graph.sparse_initializer)
        return model, inputs


def _rename(made: onnx.NodeProto, node: onnx.NodeProto, names: Mapping[str, str]) -> None:
    """Fills `made` with the node, some values that it reads under other names."""
    made.CopyFrom(node)
    made.input[:] = [names.get(name, name) for name in node.input]
    for attribute in made.attribute:
        for body in ([attribute.g] if attribute.HasField("g") else []) + list(attribute.graphs):
            own = _defined(body)
            outer = {name: port for name, port in names.items() if name not in own}
            for inner in body.node:
                _rename(inner, onnx.NodeProto.FromString(inner.SerializeToString()), outer)
            for value in body.output:
                value.name = outer.get(value.name, value.name)


def _reads(node: onnx.NodeProto) -> set[str]:
    """The values that a node reads, in its bodies too."""
    names = {name for name in node.input if name}
    for attribute in node.attribute:
        for body in ([attribute.g] if attribute.HasField("g") else []) + list(attribute.graphs):
            inner = {name for each in body.node for name in _reads(each)}
            inner |= {value.name for value in body.output}
            names |= inner - _defined(body)
    return names


def _defined(body: onnx.GraphProto) -> set[str]:
    names = {name for node in body.node for name in node.output}
    names |= {value.name for value in body.input} | {t.name for t in body.initializer}
    return names
