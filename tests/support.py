"""Helpers of tests: graphs of one node, run by the compiler and by the references."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ir.dtypes import dtype_of
from ir.graph import Graph, Node, Value
from ir.inference import infer
from ir.interpreter import interpret
from ir.types import TensorType
from layercc.cpu.isa import Isa, host_isa
from layercc.cpu.programs import program_of
from layercc.cpu.runtime.native import default_kernels
from layercc.cpu.runtime.plan import Plan
from layercc.lower import concrete_inference, lower
from layercc.passes import run_passes
from layercc.session.specialization import specialized
from layercc.weights import Weights

chosen: list[Isa] = []  # what tests marked `every_isa` compile for; see conftest.py


def chosen_isa() -> Isa:
    """The instruction set that kernels are compiled for: this machine's, or that of the test."""
    return chosen[0] if chosen else host_isa()


def one_node(
    op: str,
    inputs: Sequence[np.ndarray | None],
    attributes: Mapping[str, Any] | None = None,
    outputs: int = 1,
    constants: Iterable[int] = (),
) -> Graph:
    """A graph of one node on arrays: inputs `x0`, `x1`, ... and outputs `y0`, `y1`, ...

    The inputs numbered in `constants` become constants of the graph.
    """
    names = tuple("" if array is None else f"x{i}" for i, array in enumerate(inputs))
    node = Node(op, names, tuple(f"y{i}" for i in range(outputs)), dict(attributes or {}))
    return graph_of([node], named(inputs), node.outputs, [f"x{i}" for i in constants])


def graph_of(
    nodes: Sequence[Node],
    arrays: Mapping[str, np.ndarray],
    outputs: Sequence[str],
    constants: Iterable[str] = (),
) -> Graph:
    """A graph of `nodes` whose inputs and constants have the types of `arrays`."""
    fixed = set(constants)
    kinds = {name: TensorType(dtype_of(array), array.shape) for name, array in arrays.items()}
    graph = Graph(
        inputs=[Value(name, kind) for name, kind in kinds.items() if name not in fixed],
        nodes=list(nodes),
        constants={name: arrays[name] for name in arrays if name in fixed},
    )
    found = infer(graph)
    found.raise_for_errors()
    graph.outputs = [Value(name, found.types[name]) for name in outputs]
    graph.types = found.types
    return graph


def named(arrays: Sequence[np.ndarray | None]) -> dict[str, np.ndarray]:
    """`x0`, `x1`, ...: those arrays that are given."""
    return {f"x{i}": array for i, array in enumerate(arrays) if array is not None}


def run_graph(
    graph: Graph,
    inputs: Mapping[str, np.ndarray],
    *,
    passes: bool = False,
    threads: int = 1,
    algorithm: str = "",
) -> dict[str, np.ndarray]:
    """Compiles and runs `graph`, without any pass unless asked; outputs by name. `algorithm`
    computes all contractions that it fits."""
    if passes:
        graph = run_passes(graph)
    shapes = {name: inputs[name].shape for name in graph.input_names}
    values = {name: a for name, a in inputs.items() if a.dtype.kind in "iub" and a.size <= 64}
    isa = chosen_isa()
    inference = concrete_inference(graph, shapes)
    if inference.errors:  # shapes that depend on values
        graph = specialized(graph, values)
        inference = concrete_inference(graph, shapes)
    choices = _Always(algorithm) if algorithm else None
    workload = lower(graph, shapes, inference)
    precision = "medium" if algorithm else "highest"
    program = program_of(workload, Weights(), isa, precision, choices)
    arrays = [np.ascontiguousarray(inputs[name]) for name in graph.input_names]
    made = Plan(program, default_kernels(isa)).run(arrays, threads)
    return dict(zip(graph.output_names, made, strict=True))


class _Always(dict[str, str]):
    """A table of choices with the same algorithm for every class of shapes."""

    def __init__(self, algorithm: str) -> None:
        super().__init__({"any": algorithm})

    def get(self, key: str, default: object = None) -> str:  # type: ignore[override]
        return self["any"]


def run_node(
    op: str,
    inputs: Sequence[np.ndarray | None],
    attributes: Mapping[str, Any] | None = None,
    outputs: int = 1,
    *,
    constants: Iterable[int] = (),
    threads: int = 1,
    algorithm: str = "",
) -> list[np.ndarray]:
    """The outputs of one node, compiled."""
    graph = one_node(op, inputs, attributes, outputs, constants)
    made = run_graph(graph, named(inputs), threads=threads, algorithm=algorithm)
    return list(made.values())


def reference_node(
    op: str,
    inputs: Sequence[np.ndarray | None],
    attributes: Mapping[str, Any] | None = None,
    outputs: int = 1,
    *,
    constants: Iterable[int] = (),
    exact: bool = True,
) -> list[np.ndarray]:
    """The outputs of one node by its NumPy reference; with `exact`, floats as float64."""

    def widened(array: np.ndarray | None) -> np.ndarray | None:
        small = array is not None and dtype_of(array).name in ("f32", "f16", "bf16")
        return array.astype(np.float64) if small and array is not None else array

    given = [widened(array) if exact else array for array in inputs]
    graph = one_node(op, given, attributes, outputs, constants)
    return list(interpret(graph, named(given)).values())
