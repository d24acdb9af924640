"""What a model is: types, graph, ops, shape inference, diagnostics, reference interpreter.

Useful on its own for checking shapes. Imports NumPy, networkx and ml_dtypes; never Numba.
"""

from __future__ import annotations

from ir import ops as ops
from ir.check import check
from ir.cost import graph_cost, node_costs
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
from ir.equality import graph_differences, graphs_equal
from ir.graph import Graph, Node, Value
from ir.inference import Inference, infer, infer_node, infer_types
from ir.interpreter import interpret
from ir.parser import parse_graph, parse_type
from ir.registry import Op, all_ops, find_op, register
from ir.report import Report
from ir.storage import load_text, save_text
from ir.text import print_graph
from ir.types import TensorType
from ir.verifier import verify

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
