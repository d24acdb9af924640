"""The reference interpreter: runs a graph node by node with each op's NumPy reference.

Slow and simple on purpose. Every kernel and every pass is compared with it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ir.arguments import expect, expect_mapping
from ir.diagnostics import InputError, LayerccError, UnsupportedError
from ir.dims import symbol
from ir.dtypes import dtype_of
from ir.graph import Graph, Node
from ir.inference import VALUE_LIMIT, infer_body
from ir.inferred import Inference
from ir.registry import Call, OpError, find_op
from ir.types import TensorType

Observer = Callable[[Node, tuple[np.ndarray, ...]], None]
RunBody = Callable[[Graph, Mapping[str, np.ndarray]], tuple[np.ndarray, ...]]


def interpret(
    graph: Graph,
    inputs: Mapping[str, np.ndarray],
    *,
    observe: Observer | None = None,
) -> dict[str, np.ndarray]:
    """Runs `graph` on arrays by input name; returns arrays by output name.

    Inputs left out take their defaults. `observe(node, outputs)` is called after every node of the
    outermost graph. Raises InputError when an input is missing, UnsupportedError for an op without
    a definition, and LayerccError naming the node when its reference refuses the inputs (InputError
    if it is for a value that is out of range).
    """
    expect(isinstance(graph, Graph), "graph", graph, "a Graph")
    expect_mapping(inputs, "inputs", "arrays by input name")
    inputs = {**graph.defaults, **{name: _as_array(name, a) for name, a in inputs.items()}}
    missing = [name for name in graph.input_names if name not in inputs]
    if missing:
        raise InputError(f"graph {graph.name!r}: no array given for input(s) {', '.join(missing)}")
    with np.errstate(all="ignore"):
        scope = _run(graph, dict(inputs), {}, observe)
    return {name: scope[name] for name in graph.output_names}


def _as_array(name: str, given: Any) -> np.ndarray:
    try:
        array = np.asarray(given)
        dtype_of(array)
    except Exception as error:  # whatever the conversion of a foreign object raises
        raise InputError(
            f"input {name!r}: a {type(given).__name__} does not become a tensor: {error}"
        ) from error
    return array


def _run(
    graph: Graph,
    inputs: Mapping[str, np.ndarray],
    outer: Mapping[str, np.ndarray],
    observe: Observer | None,
) -> dict[str, np.ndarray]:
    scope = {**outer, **graph.constants, **{k: np.asarray(v) for k, v in inputs.items()}}
    for node in graph.nodes:
        outputs = run_node(node, scope)
        scope.update((name, out) for name, out in zip(node.outputs, outputs, strict=False) if name)
        if observe is not None:
            observe(node, outputs)
    return scope


def run_node(
    node: Node, scope: Mapping[str, np.ndarray], run_body: RunBody | None = None
) -> tuple[np.ndarray, ...]:
    """Outputs of one node, whose inputs are found in `scope` by name.

    `run_body` runs the node's subgraphs, on arrays for their own inputs; by default they are
    interpreted, too.
    """
    op = find_op(node.op)
    if op is None:
        raise UnsupportedError(f"{node}: op {node.op} is not known to layercc")
    arrays = [scope[name] if name else None for name in node.inputs]
    types = [a if a is None else TensorType(dtype_of(a), a.shape) for a in arrays]
    call = Call(op, node, types, arrays, symbol)

    def run_subgraph(graph: Graph, given: Mapping[str, np.ndarray]) -> tuple[np.ndarray, ...]:
        inner = _run(graph, given, scope, None)
        return tuple(inner[name] for name in graph.output_names)

    def infer_subgraph(
        graph: Graph, given: Mapping[str, TensorType], values: Mapping[str, np.ndarray]
    ) -> Inference:
        read = {name: scope[name] for name in node.reads()}
        outer = {name: TensorType(dtype_of(a), a.shape) for name, a in read.items()}
        small = {name: a for name, a in read.items() if a.size <= VALUE_LIMIT}
        return infer_body(graph, Inference(outer, small), given, values)

    call.interpret = run_body or run_subgraph
    call.infer_body = infer_subgraph
    try:
        call.check_ranges()
        made = op.reference(call, *arrays)
    except OpError as error:
        kind = InputError if error.code == "bad-index" else LayerccError
        raise kind(f"{node}: {error}") from None
    except (ValueError, IndexError, TypeError, ZeroDivisionError, MemoryError) as error:
        shapes = ", ".join("absent" if t is None else str(t) for t in types)
        raise LayerccError(f"{node}: cannot run on inputs {shapes}: {error}") from error
    outputs = made if isinstance(made, tuple) else (made,)
    return tuple(np.asarray(out) for out in outputs)
