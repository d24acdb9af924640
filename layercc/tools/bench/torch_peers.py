"""PyTorch as a runtime that a benchmark compares with: the same model as a `torch.fx` graph.

PyTorch has no importer of ONNX. Of those beside it, which both need torchvision, onnx2torch knows
no opset of the last years, and onnx2pytorch makes modules that `torch.compile` cannot see as a
whole. So the graph is written in PyTorch's own functions (`torch_ops`, `torch_layers`), which is
what its exporter saw: patterns that it took apart are put together again (LayerNorm, GELU,
attention), and nothing else is rearranged.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ir.defaults import bind_defaults
from ir.diagnostics import UnsupportedError
from ir.graph import Graph, Node, Value
from ir.inference import call_for, infer
from layercc.frontends.onnx import from_onnx
from layercc.passes.clean_imports import clean_imports
from layercc.passes.decompose_contributed import decompose_contributed
from layercc.passes.eliminate_dead_code import eliminate_dead_code
from layercc.passes.infrastructure import run_sequence
from layercc.passes.inline_branches import inline_branches
from layercc.passes.recognize_activations import recognize_activations
from layercc.passes.recognize_attention import recognize_attention
from layercc.passes.recognize_gelu import recognize_gelu
from layercc.passes.recognize_normalization import recognize_normalization
from layercc.passes.unroll_loops import unroll_loops
from layercc.tools.bench.torch_layers import REARRANGED
from layercc.tools.bench.torch_ops import FORMS

Runner = Callable[[], list[np.ndarray]]
_PASSES = (
    inline_branches,
    unroll_loops,
    clean_imports,
    decompose_contributed,
    recognize_normalization,
    recognize_gelu,
    recognize_activations,
    recognize_attention,
    eliminate_dead_code,
)


def runners(
    model: bytes | str,
    inputs: Mapping[str, np.ndarray],
    threads: int,
    streams: int,
    *,
    compiled: bool,
) -> list[Runner]:
    """A runner for each stream, all of one module. Raises UnsupportedError naming the ops that have
    no form here, and whatever PyTorch raises."""
    module = to_torch(_read(model), inputs)
    # from_numpy shares memory with the array, where that may be written to
    tensors = [torch.from_numpy(np.array(inputs[name])) for name in module.input_names]
    call: Callable[..., Any] = module
    if compiled:
        call = torch.compile(module, dynamic=False, fullgraph=True, options={"freezing": True})

    def run() -> list[np.ndarray]:
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)  # of calls from this thread
        with torch.no_grad():
            return [made.numpy() for made in call(*tensors)]

    return [run] * streams


def to_torch(graph: Graph, inputs: Mapping[str, np.ndarray]) -> torch.fx.GraphModule:
    """The graph at the shapes of these inputs as a module that takes `input_names` in order and
    gives a tuple of its outputs."""
    shapes = {name: array.shape for name, array in inputs.items() if name in graph.input_names}
    graph = bind_defaults(graph.copy(), frozenset(shapes) & graph.defaults.keys())
    graph.inputs = [
        Value(value.name, value.type.with_shape(shapes[value.name])) for value in graph.inputs
    ]
    graph.types = {}
    graph = run_sequence(graph, _PASSES)
    return _Writer(graph).module


class _Writer:
    """Writes the nodes of a graph with inferred shapes as calls of PyTorch's functions."""

    def __init__(self, graph: Graph) -> None:
        known = infer(graph)
        self._types, self._values = known.types, known.values
        unknown = {
            node.op for node in graph.nodes if node.op not in FORMS and not self._is_known(node)
        }
        if unknown:
            listed = ", ".join(sorted(unknown))
            raise UnsupportedError(f"no PyTorch form of {listed} is known here")
        self._made = torch.fx.Graph()
        self._tracer = torch.fx.proxy.GraphAppendingTracer(self._made)
        self._root = torch.nn.Module()
        self._proxies: dict[str, torch.fx.Proxy] = {}
        for value in graph.inputs:
            self._proxies[value.name] = self._proxy(
                self._made.placeholder(f"x{len(self._proxies)}")
            )
        self._constants = graph.constants
        for node in graph.nodes:
            if not self._is_known(node):
                self._write(node)
        self._made.output(tuple(self._read(name).node for name in graph.output_names))
        self._made.eliminate_dead_code()
        self.module = torch.fx.GraphModule(self._root, self._made).eval()
        self.module.input_names = graph.input_names

    def _proxy(self, node: torch.fx.Node) -> torch.fx.Proxy:
        return torch.fx.Proxy(node, self._tracer)

    def _is_known(self, node: Node) -> bool:
        """Whether inference has told what the node computes (shapes, and what is made of them)."""
        return all(
            name in self._values and self._values[name].dtype != object
            for name in node.outputs
            if name
        )

    def _write(self, node: Node) -> None:
        values = {
            **self._values,
            **{n: self._constants[n] for n in node.inputs if n in self._constants},
        }
        call = call_for(node, self._types, values)
        read = self._read if node.op not in REARRANGED else partial(self._read_rearranged, node)
        try:
            made = FORMS[node.op](call, *(read(name) if name else None for name in node.inputs))
        except TypeError as error:
            raise UnsupportedError(f"{node}: {error}") from error
        results = made if isinstance(made, list) else [made]
        for name, result in zip(node.outputs, results, strict=False):
            self._proxies[name] = result

    def _read(self, name: str) -> torch.fx.Proxy:
        if name not in self._proxies:
            array = self._constants.get(name)
            self._keep(name, self._values[name] if array is None else array)
        return self._proxies[name]

    def _read_rearranged(self, node: Node, name: str) -> torch.fx.Proxy:
        index, (which, function) = node.inputs.index(name), REARRANGED[node.op]
        if index not in which:
            return self._read(name)
        if name not in self._constants:
            raise TypeError("its weights must be constants to have a PyTorch form here")
        place = f"{name}, input {index} of {node.op}"
        if place not in self._proxies:
            self._keep(place, function(index, self._constants[name]))
        return self._proxies[place]

    def _keep(self, name: str, array: np.ndarray) -> None:
        place = f"w{len(self._proxies)}"
        self._root.register_buffer(place, torch.from_numpy(np.array(array)))
        self._proxies[name] = self._proxy(self._made.get_attr(place))


def _read(model: bytes | str) -> Graph:
    if isinstance(model, bytes):
        import onnx

        return from_onnx(onnx.load_model_from_string(model))
    return from_onnx(Path(model))
