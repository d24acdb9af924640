"""What a model is: types, graph, ops, shape inference, diagnostics, reference interpreter.

Useful on its own for checking shapes. Imports NumPy, networkx and ml_dtypes; never Numba.

What only some callers use (the checker, the text form, the interpreter) is loaded when its name is
first used: a process that compiles a model need not read it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ir import ops as ops
from ir.diagnostics import (
    Diagnostic,
    InputError,
    InvalidModelError,
    LayerccError,
    MemoryLimitError,
    ShapeError,
    Source,
    UnsupportedError,
)
from ir.dims import Dim, SymbolicDim, symbol
from ir.dtypes import DType, dtype_of
from ir.graph import Graph, Node, Value
from ir.inference import Inference, infer, infer_node, infer_types
from ir.registry import Op, all_ops, find_op, register
from ir.types import TensorType
from ir.verifier import verify

#: Module → the names that are loaded from it when first used.
_LATE = {
    "ir.checking": ("check",),
    "ir.cost": ("graph_cost", "node_costs"),
    "ir.equality": ("graph_differences", "graphs_equal"),
    "ir.interpreter": ("interpret",),
    "ir.parser": ("parse_graph", "parse_type"),
    "ir.report": ("Report",),
    "ir.storage": ("load_text", "save_text"),
    "ir.text": ("print_graph",),
}
_HOME = {name: module for module, names in _LATE.items() for name in names}

if TYPE_CHECKING:
    from ir.checking import check
    from ir.cost import graph_cost, node_costs
    from ir.equality import graph_differences, graphs_equal
    from ir.interpreter import interpret
    from ir.parser import parse_graph, parse_type
    from ir.report import Report
    from ir.storage import load_text, save_text
    from ir.text import print_graph

__all__ = [
    "DType",
    "Diagnostic",
    "Dim",
    "Graph",
    "Inference",
    "InputError",
    "InvalidModelError",
    "LayerccError",
    "MemoryLimitError",
    "Node",
    "Op",
    "Report",
    "ShapeError",
    "Source",
    "SymbolicDim",
    "TensorType",
    "UnsupportedError",
    "Value",
    "all_ops",
    "check",
    "dtype_of",
    "find_op",
    "graph_cost",
    "graph_differences",
    "graphs_equal",
    "infer",
    "infer_node",
    "infer_types",
    "interpret",
    "load_text",
    "node_costs",
    "parse_graph",
    "parse_type",
    "print_graph",
    "register",
    "save_text",
    "symbol",
    "verify",
]


def __getattr__(name: str) -> Any:
    module = _HOME.get(name)
    if module is None:
        raise AttributeError(f"module 'ir' has no attribute {name!r}")
    value = getattr(importlib.import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
