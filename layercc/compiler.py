"""`lc.compile`: from a model in any form to a `CompiledModel`."""

from __future__ import annotations

import os
from typing import Any

from ir.defaults import bind_defaults
from ir.diagnostics import UnsupportedError
from ir.graph import Graph
from ir.inference import infer
from layercc.runtime.model import CompiledModel

_PRECISIONS = ("highest", "high", "medium")


def compile(
    model: Any,
    example_inputs: Any = None,
    *,
    target: str = "cpu",
    precision: str = "highest",
    threads: int | None = None,
) -> CompiledModel:
    """Compiles a model to a callable for this machine.

    `model`: a graph, a path to an ONNX file, or an `onnx.ModelProto`. `threads`: how many to run
    on; all usable cores if None. `precision` is an upper bound of speed over accuracy, as in
    `torch.set_float32_matmul_precision`: every setting keeps at least what `"highest"` promises,
    errors no larger than plain float32 arithmetic has.

    NumPy runs nodes that have no kernel, or whose results' shapes depend on values; a
    RuntimeWarning names them.

    Raises InvalidModelError for a malformed model, ShapeError when shapes do not fit, and
    UnsupportedError for ops that are not known, all of them listed, or another `target`.
    """
    if target != "cpu":
        raise UnsupportedError(f"target {target!r} is not there yet; 'cpu' is")
    if precision not in _PRECISIONS:
        raise ValueError(f"precision is one of {', '.join(_PRECISIONS)}, not {precision!r}")
    graph = as_graph(model)
    inference = infer(bind_defaults(graph))
    inference.diagnostics = inference.faults
    inference.raise_for_errors(f"graph {graph.name!r}")
    return CompiledModel(graph, threads)


def as_graph(model: Any) -> Graph:
    """The IR of a model: a graph itself, a path to an ONNX file, or a ModelProto."""
    if isinstance(model, Graph):
        return model
    if isinstance(model, str | os.PathLike | bytes) or type(model).__name__ == "ModelProto":
        from layercc.frontends.onnx import from_onnx

        return from_onnx(model)
    raise TypeError(
        f"cannot compile a {type(model).__name__}; a graph, a path to an ONNX file or an "
        "onnx.ModelProto would do"
    )
