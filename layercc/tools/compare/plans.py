"""Plans of graphs as they are, without passes: what kernels, algorithms and memory make of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from ir.diagnostics import LayerccError
from ir.graph import Graph
from layercc.buffers import ALIGNMENT, Buffer
from layercc.cpu.algorithms import choice
from layercc.cpu.programs import algorithms_of, program_of
from layercc.cpu.runtime.native import default_kernels
from layercc.cpu.runtime.plan import Plan
from layercc.cpu.target import CpuTarget
from layercc.lower import concrete_inference, lower
from layercc.options import Options
from layercc.program import Program
from layercc.tools.compare.exact import Arrays
from layercc.weights import Weights


class Planned:
    """A graph lowered as it is for the shapes of `given`, ready to run on it.

    `apart`: every value has memory of its own. Raises as lowering does: UnsupportedError for ops
    without kernels.
    """

    def __init__(
        self, graph: Graph, given: Arrays, options: Options, *, apart: bool = False
    ) -> None:
        self.graph = graph
        shapes = {name: given[name].shape for name in graph.input_names}
        assert isinstance(options.target, CpuTarget)
        isa = options.target.resolved()
        workload = lower(graph, shapes, concrete_inference(graph, shapes))
        self.program = program_of(
            workload, Weights(), isa, options.precision, dict(options.choices)
        )
        if apart:
            lay_apart(self.program)
        self._plan = Plan(self.program, default_kernels(isa))
        self._inputs = [np.ascontiguousarray(given[name]) for name in graph.input_names]

    def run(self, threads: int) -> dict[str, np.ndarray]:
        """The outputs by name."""
        made = self._plan.run(self._inputs, threads)
        return dict(zip(self.graph.output_names, made, strict=True))


def arena_buffers(program: Program) -> list[tuple[Buffer, int, int, str]]:
    """The buffers of a program's arena, each with the first and the last call that mention it, and
    the node of the first."""
    found: dict[int, tuple[Buffer, int, int, str]] = {}
    for index, call in enumerate(program.calls):
        for buffer in call.buffers():
            if buffer.space == "arena":
                _, first, _, node = found.get(id(buffer), (buffer, index, index, call.node))
                found[id(buffer)] = buffer, first, index, node
    return list(found.values())


def lay_apart(program: Program) -> None:
    """Gives every buffer of the arena a place that no other has."""
    end = 0
    for buffer, *_ in arena_buffers(program):
        buffer.offset = end
        end += -(-buffer.nbytes // ALIGNMENT) * ALIGNMENT
    program.arena_bytes = end


def overlaps(program: Program) -> Iterator[tuple[str, str]]:
    """Nodes whose values lie over each other in the arena while both are alive."""
    buffers = arena_buffers(program)
    for at, (one, first, last, node) in enumerate(buffers):
        for other, begin, end, second in buffers[at + 1 :]:
            alive = first <= end and begin <= last
            apart = one.offset + one.nbytes <= other.offset
            if alive and not apart and other.offset + other.nbytes > one.offset:
                yield node, second


def as_in_whole(graph: Graph, given: Arrays, options: Options) -> Options:
    """The options with the algorithms that the layers of the whole graph get: nodes compiled alone
    have less memory to share. As they are where there is no plan of the whole graph."""
    shapes = {name: given[name].shape for name in graph.input_names}
    assert isinstance(options.target, CpuTarget)
    try:
        workload = lower(graph, shapes, concrete_inference(graph, shapes))
    except LayerccError:
        return options
    table = algorithms_of(
        workload, options.target.resolved(), options.precision, dict(options.choices)
    )
    return replace(options, choices={**dict(options.choices), **table})


def with_algorithm(options: Options, shape_class: str, name: str) -> Options:
    """The options with another algorithm for the layers of a class of shapes."""
    return replace(options, choices={**dict(options.choices), shape_class: name})


def algorithm_names() -> list[str]:
    """All algorithms for contractions."""
    return [each.name for each in choice.algorithms()]
