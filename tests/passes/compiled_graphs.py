"""Runs random graphs compiled, beside the interpreter, and says where they differ.

    python -m tests.passes.compiled_graphs [--graphs 2000] [--start 0]
    python -m tests.passes.compiled_graphs --seeds 17 1843

Prints a line a graph that differs, with the graph's text form; exits with 1 if any does. A graph
takes about a second, most of it for the kernels that no graph before it needed. A seed makes the
same graph again.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

import layercc as lc
from ir.dtypes import DTYPE_SETS, ONNX_DTYPES, DType, dtype_of
from ir.graph import Graph, Node, Value
from ir.interpreter import interpret
from layercc.cpu.isa import host_isa
from layercc.cpu.programs import program_of
from layercc.cpu.runtime.native import default_kernels
from layercc.kernels.declaration import KernelKey
from layercc.lower import lower
from layercc.passes import run_passes
from layercc.weights import Weights
from tests.guarded import guard_all_plans
from tests.passes.random_typed_graphs import typed_graph, typed_inputs

_F64 = 11  # in ONNX's numbers
#: Roundings of the type, of the largest element, that a compiled value may be off; ...
_UNITS = 16
#: ... and how many times the interpreter's own error, which grows where numbers cancel.
_OWN_ERRORS = 8
#: Graphs whose kernels are compiled together.
_TOGETHER = 50


def differences(seed: int) -> list[str]:
    """What comes out otherwise when the graph of a seed is compiled; empty if nothing does."""
    graph = typed_graph(seed)
    inputs = typed_inputs(graph, seed)
    wanted = interpret(graph, inputs)
    exact = interpret(widened(graph), {name: _wide(array) for name, array in inputs.items()})
    found = lc.compile(graph, threads=1).run(inputs)
    return [
        f"{name}: {problem}"
        for name, array in wanted.items()
        if (problem := difference(found[name], array, exact[name]))
    ]


def widened(graph: Graph) -> Graph:
    """The graph with float64 for every other type of float."""
    constants = {name: _wide(array) for name, array in graph.constants.items()}
    for node in graph.nodes:
        if node.op == "Resize":  # its scales are float32 by definition
            constants[node.inputs[2]] = graph.constants[node.inputs[2]]
    inputs = [Value(v.name, replace(v.type, dtype=_wide_type(v.dtype))) for v in graph.inputs]
    nodes = [_widened_cast(node) if node.op == "Cast" else node for node in graph.nodes]
    outputs = [Value(v.name, replace(v.type, dtype=_wide_type(v.dtype))) for v in graph.outputs]
    return Graph(graph.name, inputs, outputs, nodes, constants)


def _widened_cast(node: Node) -> Node:
    to = node.attributes["to"]
    is_float = _wide_type(ONNX_DTYPES[to]) is DType.f64
    return replace(node, attributes={**node.attributes, "to": _F64 if is_float else to})


def _wide_type(dtype: DType) -> DType:
    return DType.f64 if dtype in DTYPE_SETS["float"] else dtype


def _wide(array: np.ndarray) -> np.ndarray:
    return array.astype(_wide_type(dtype_of(array)).value)


def difference(found: np.ndarray, wanted: np.ndarray, exact: np.ndarray) -> str:
    """How `found` departs from what the interpreter computes; empty if it does not.

    Integers and booleans must be equal, NaN and infinities in the same places; floats as near as
    the type, and what its rounding did to the interpreter, allow. `exact` is the value in float64.
    """
    if found.shape != wanted.shape or found.dtype != wanted.dtype:
        return f"{found.dtype}{found.shape} instead of {wanted.dtype}{wanted.shape}"
    if wanted.dtype.kind in "biu":
        at = np.argwhere(found != wanted)
        return _at(at, found, wanted) if len(at) else ""
    one, other = found.astype(np.float64), wanted.astype(np.float64)
    finite = np.isfinite(other)
    at = np.argwhere(~finite & ~np.isclose(one, other, equal_nan=True) | finite & ~np.isfinite(one))
    if len(at):
        return _at(at, found, wanted)
    both = finite & np.isfinite(exact)
    scale = float(np.abs(other[finite]).max(initial=1.0))
    own = float(np.abs(other - exact, where=both, out=np.zeros_like(other)).max(initial=0))
    eps = float(_eps(wanted.dtype))
    allowed = _UNITS * eps * scale + _OWN_ERRORS * own
    at = np.argwhere(np.abs(one - other, where=finite, out=np.zeros_like(other)) > allowed)
    return f"{_at(at, found, wanted)}; {allowed:.2g} allowed" if len(at) else ""


def _eps(dtype: np.dtype) -> float:
    """The distance from 1 to the next number of a float type."""
    import ml_dtypes

    return float(ml_dtypes.finfo(dtype).eps)


def _at(places: np.ndarray, found: np.ndarray, wanted: np.ndarray) -> str:
    first = tuple(places[0].tolist())
    more = f", and {len(places) - 1} more" if len(places) > 1 else ""
    return f"{found[first]} instead of {wanted[first]} at {list(first)}{more}"


def prepare_kernels(seeds: Iterable[int]) -> None:
    """Compiles the kernels of many graphs together, which takes a fraction of the time."""
    keys: dict[KernelKey, None] = {}
    for seed in seeds:
        graph = typed_graph(seed)
        shapes = {value.name: value.shape for value in graph.inputs}
        try:
            program = program_of(lower(run_passes(graph), shapes), Weights(), host_isa())
        except Exception:  # `differences` meets it again, and says so
            continue
        keys.update(dict.fromkeys(program.keys()))
    default_kernels(host_isa()).prepare(keys)


def show_differences(seeds: Sequence[int]) -> int:
    """Prints every difference; returns how many graphs have one."""
    count = 0
    for index, seed in enumerate(seeds):
        if index % _TOGETHER == 0:
            prepare_kernels(seeds[index:][:_TOGETHER])
        try:
            problems = differences(seed)
        except Exception as error:  # a graph that does not compile is a difference as well
            problems = [f"{type(error).__name__}: {error}"]
        if problems:
            count += 1
            print(f"seed {seed}: {'; '.join(problems)}\n{typed_graph(seed)}\n", flush=True)
    return count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--graphs", type=int, default=2000)
    parser.add_argument("--start", type=int, default=0)
    parser.add_argument("--seeds", type=int, nargs="+", help="graphs to run instead")
    parser.add_argument("--guarded", action="store_true", help="between pages without access")
    given = parser.parse_args()
    if given.guarded:
        guard_all_plans()
    seeds = given.seeds or range(given.start, given.start + given.graphs)
    count = show_differences(seeds)
    print(f"{count} of {len(seeds)} graphs differ")
    sys.exit(bool(count))


if __name__ == "__main__":
    main()
