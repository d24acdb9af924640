"""The ONNX file that other runtimes get: images channels-first and attention spelled out.

layercc takes the network as the builder made it. Neither side pays for a change of layout.

    python -m benchmarks.export resnet18 resnet18.onnx

writes the file of a network.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.attention import decompose_attention
from benchmarks.networks import NETWORKS
from ir.graph import Graph, Node, Value
from ir.inference import infer_types
from layercc.frontends.onnx import to_onnx
from layercc.passes.channels_first import channels_first

Perm = tuple[int, ...]


@dataclass(frozen=True)
class Exported:
    """A model file, and how its inputs and outputs are permuted beside the network's own."""

    path: Path
    input_perms: dict[str, Perm]
    output_perms: list[Perm | None]

    def inputs(self, own: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The network's input arrays in the file's layout."""
        return {
            name: np.ascontiguousarray(array.transpose(self.input_perms[name]))
            if name in self.input_perms
            else array
            for name, array in own.items()
        }

    def outputs(self, made: list[np.ndarray]) -> list[np.ndarray]:
        """Outputs of the file in the network's layout."""
        return [
            array if perm is None else array.transpose(perm)
            for array, perm in zip(made, self.output_perms, strict=True)
        ]


def export(graph: Graph, path: Path) -> Exported:
    """Writes `graph` to `path` in the layout of ONNX, inputs and outputs included."""
    first = decompose_attention(channels_first.run(graph))
    input_perms = {}
    for value in list(first.inputs):
        perm = _permute_input(first, value)
        if perm is not None:
            input_perms[value.name] = perm
    output_perms = [_permute_output(first, value) for value in list(first.outputs)]
    infer_types(first).raise_for_errors(f"graph {graph.name!r}")
    first.outputs = [Value(value.name, first.types[value.name]) for value in first.outputs]
    to_onnx(first, path=path)
    return Exported(path, input_perms, output_perms)


def _permute_input(graph: Graph, value: Value) -> Perm | None:
    """Takes away the Transpose that all readers of an input share; the input is permuted."""
    readers = [node for node in graph.nodes if value.name in node.inputs]
    perms = {tuple(node.attributes["perm"]) for node in readers if node.op == "Transpose"}
    if len(perms) != 1 or any(node.op != "Transpose" for node in readers):
        return None
    (perm,) = perms
    gone = {node.outputs[0] for node in readers}
    if gone & set(graph.output_names) or value.name in graph.output_names:
        return None
    graph.nodes = [
        _renamed(node, dict.fromkeys(gone, value.name))
        for node in graph.nodes
        if node not in readers
    ]
    kind = value.type.with_shape(value.shape[axis] for axis in perm)
    graph.inputs = [Value(v.name, kind) if v is value else v for v in graph.inputs]
    return perm


def _permute_output(graph: Graph, value: Value) -> Perm | None:
    """Takes away the Transpose that makes an output; gives the perm that it applied."""
    maker = graph.producers().get(value.name)
    if maker is None or maker.op != "Transpose":
        return None
    source = maker.inputs[0]
    read = any(value.name in node.inputs for node in graph.nodes)
    if read or source in {*graph.input_names, *graph.constants, *graph.output_names}:
        return None
    graph.nodes = [
        _renamed(node, {source: value.name}) for node in graph.nodes if node is not maker
    ]
    return tuple(maker.attributes["perm"])


def _renamed(node: Node, names: Mapping[str, str]) -> Node:
    if not any(name in names for name in (*node.inputs, *node.outputs)):
        return node
    return replace(
        node,
        inputs=tuple(names.get(name, name) for name in node.inputs),
        outputs=tuple(names.get(name, name) for name in node.outputs),
    )


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.export")
    parser.add_argument("network", choices=NETWORKS)
    parser.add_argument("path", type=Path, help="of the ONNX file to write")
    given = parser.parse_args(arguments)
    export(NETWORKS[given.network].build(), given.path)


if __name__ == "__main__":
    main()
