"""How far two results of the same computation may lie apart: stated here, once.

The error of an element is `|a - b| / (|b| + s)`. The scale `s` is the root mean square of the
value, zeros left out: large elements are held to a relative error, small ones to one relative to
others.
A few huge elements must not hide all else, so `s` is at most `MOST_QUARTILES` times the lower
quartile, and what is as good as infinite, as masks are, does not count.

An element departs where its error is more than

    FACTOR * sqrt(sum of eps(stored)² + eps(computed)² * terms)

over the layers concerned: for a *local* error, one layer alone; for an *accumulated* one, all those
on the longest path from the inputs to the value. `stored` is the element type, to which each layer
rounds; `computed` is what its arithmetic is done in (f32 for f16 and bf16); `terms` are the
summands of an element. Rounding errors of independent signs grow with the square root of their
number (Higham and Mary, "A New Approach to Probabilistic Rounding Error Analysis", 2019).

Integers and booleans are compared exactly. What is quantised may turn out a step away where a
quotient lies half-way between two (`layercc.tools.compare.conditioning` tells): that is a rounding
error of `QUANTIZED` for what follows, integers of up to 32 bits included.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import ml_dtypes
import numpy as np

from ir.control_flow import CONTROL_FLOW
from ir.dtypes import INTEGER_KINDS, DType
from ir.graph import Graph, Node
from ir.inference import Inference, call_for

#: The networks of the benchmark need 1.2 at most, trained ones that were tried 10.
FACTOR = 16.0
#: How many lower quartiles the scale of a value may be.
MOST_QUARTILES = 64
#: Magnitudes from here on are no scale for others: masks are made of them.
AS_INFINITE = 1e8
#: The rounding error, relative to the scale of a tensor, of one step of 8 bits.
QUANTIZED = 2.0**-7


def epsilon(dtype: DType) -> float:
    """The distance from 1 to the next larger number; 0 for what is no float."""
    if dtype.kind == "complex":
        return float(np.finfo(dtype.value).eps)
    return float(ml_dtypes.finfo(dtype.value).eps) if dtype.kind == "float" else 0.0


def variance(dtype: DType, terms: int) -> float:
    """The square of a layer's rounding error, relative to the scale of its outputs."""
    stored = epsilon(dtype)
    computed = epsilon(DType.f32) if dtype.bits < 32 else stored
    return stored**2 + computed**2 * terms if stored else 0.0


def tolerance(variance: float) -> float:
    """The error that an element may have where rounding errors have a `variance`."""
    return FACTOR * math.sqrt(variance)


def quantizes(op: str) -> bool:
    """Whether an op rounds to levels: ONNX and onnxruntime name such ops alike."""
    return op.rpartition(".")[2].startswith(("Q", "DynamicQuantize"))


def term_counts(graph: Graph, inference: Inference) -> dict[str, int]:
    """Node name → the operations behind one element of its outputs, at concrete shapes."""
    counts: dict[str, int] = {}
    for node in graph.nodes:
        names = [name for name in (*node.inputs, *node.outputs) if name]
        counts[node.name] = 1
        if not all(name in inference.types for name in names):
            continue
        call = call_for(node, inference.types, inference.values)
        flops = call.op.cost(call).flops
        sizes = [inference.types[name].size for name in node.outputs if name]
        if isinstance(flops, int) and all(isinstance(size, int) for size in sizes):
            counts[node.name] = max(1, flops // max(1, *(int(size) for size in sizes), 1))
    return counts


@dataclass(frozen=True)
class Variances:
    """By value: of its own layer, and of the longest path to it from the inputs; 0 where integers
    are to be the same."""

    local: dict[str, float]
    accumulated: dict[str, float]


def variances(graph: Graph, inference: Inference) -> Variances:
    """The variances of rounding errors in a graph at concrete shapes."""
    terms = term_counts(graph, inference)
    found = Variances({}, {})
    carried: dict[str, float] = {}
    for node in graph.nodes:
        before = max((carried.get(name, 0.0) for name in node.reads()), default=0.0)
        inside = _inside(node, inference)
        for name in filter(None, node.outputs):
            kind = inference.types.get(name) or graph.types.get(name)
            dtype = DType.f32 if kind is None else kind.dtype
            own = variance(dtype, terms[node.name])
            own += inside if own else 0.0
            levels = dtype.kind in INTEGER_KINDS and dtype.bits <= 32
            carried[name] = before + (QUANTIZED**2 if levels and quantizes(node.op) else own)
            found.local[name] = own
            exact = not own and not (levels and carried[name] >= QUANTIZED**2)
            found.accumulated[name] = 0.0 if exact else carried[name]
    return found


def _inside(node: Node, inference: Inference) -> float:
    """The variance of the longest path through a body of control flow, in one trip."""
    if node.op not in CONTROL_FLOW:
        return 0.0
    most = 0.0
    for body in node.subgraphs():
        known = inference.bodies.get(node, [])
        fitting = (each for each in known if all(n in each.types for n in body.output_names))
        inner = variances(body, next(fitting, Inference()))
        most = max(most, *(inner.accumulated.get(name, 0.0) for name in body.output_names), 0.0)
    return most
