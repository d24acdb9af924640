"""How long compiling takes as graphs grow, in one shape or another.

    python -m benchmarks.compile_time                     # all shapes, 100, 1000 and 10000 nodes
    python -m benchmarks.compile_time fan split --sizes 1000,10000 --unit conv

A line a shape and size: processor seconds of inference, `lc.check`, passes, lowering with the
memory plan, and all of `lc.compile`, with kernels compiled before; then the exponent of growth
between the smallest and the largest size (1 is linear, 2 quadratic). Graphs that no single plan can
run are not lowered as a whole: there, `lc.compile` finds that out.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
import warnings
from collections.abc import Callable

import layercc as lc
from benchmarks.graph_shapes import SHAPES, UNITS
from ir.diagnostics import LayerccError
from ir.graph import Graph
from ir.inference import infer
from ir.units import align
from layercc.cpu.isa import host_isa
from layercc.cpu.programs import program_of
from layercc.lower import lower
from layercc.passes import run_passes
from layercc.weights import Weights

PHASES = ("infer", "check", "passes", "lower", "compile")


def node_count(graph: Graph) -> int:
    """Nodes, those of subgraphs included."""
    return sum(1 + sum(map(node_count, node.subgraphs())) for node in graph.nodes)


def of_size(shape: str, unit: str | None, nodes: int) -> Graph:
    """The graph of a shape that has about so many nodes."""
    build = SHAPES[shape]
    given = () if unit is None else (UNITS[unit],)
    units = 200
    units = max(1, units * nodes // node_count(build(units, *given)))
    return build(units, *given)


def measure(graph: Graph) -> list[float]:
    """Processor seconds of each phase; NaN where the graph cannot be lowered as a whole."""
    found = [_seconds(lambda: infer(graph)), _seconds(lambda: lc.check(graph))]
    found.append(_seconds(lambda: run_passes(graph)))
    optimized = run_passes(graph)
    shapes = {value.name: value.shape for value in graph.inputs}
    try:
        found.append(_seconds(lambda: program_of(lower(optimized, shapes), Weights(), host_isa())))  # type: ignore[arg-type]
    except LayerccError:
        found.append(math.nan)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # that NumPy runs some nodes
        lc.compile(graph)  # kernels
        found.append(_seconds(lambda: lc.compile(graph)))
    return found


def exponent(small: float, large: float, factor: float) -> float:
    """p where time grows as size to the p."""
    return math.log(large / small) / math.log(factor)


def _seconds(run: Callable[[], object]) -> float:
    start = time.process_time()
    run()
    return time.process_time() - start


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.compile_time",
        description="Measure how compile time grows with the graph.",
    )
    parser.add_argument("shapes", nargs="*", metavar="SHAPE", help=", ".join(SHAPES))
    parser.add_argument("--sizes", default="100,1000,10000", help="numbers of nodes")
    parser.add_argument("--unit", choices=UNITS, help="what stands at each place of the shape")
    given = parser.parse_args(arguments)
    unknown = [name for name in given.shapes if name not in SHAPES]
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}")
    sizes = [int(size) for size in given.sizes.split(",")]
    lines = [["shape", "nodes", *PHASES]]
    for name in given.shapes or SHAPES:
        rows = []
        for size in sizes:
            graph = of_size(name, given.unit, size)
            print(f"{name} {size} ...", file=sys.stderr, flush=True)
            rows.append((node_count(graph), measure(graph)))
            lines.append([name, str(rows[-1][0]), *(f"{each:.3f}" for each in rows[-1][1])])
        (few, first), *_, (many, last) = rows if len(rows) > 1 else (*rows, *rows)
        if many > few:
            powers = [exponent(a, b, many / few) for a, b in zip(first, last, strict=True)]
            lines.append([name, "exponent", *(f"{power:.2f}" for power in powers)])
    print("\n".join(align(lines, right=range(1, len(PHASES) + 2))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
