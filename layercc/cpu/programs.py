"""From jobs to a `Program`: all of a workload emitted, and laid out in memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ir.diagnostics import UnsupportedError
from layercc.cpu.emit.builder import Builder
from layercc.cpu.emit.registry import EMITTERS
from layercc.cpu.isa import Isa
from layercc.jobs.contraction import Contraction
from layercc.jobs.workload import Workload
from layercc.memory_limit import check_program
from layercc.memory_plan import plan_memory
from layercc.program import Program
from layercc.weights import Weights

if TYPE_CHECKING:
    from layercc.cpu.algorithms.choice import Choice


def algorithms_of(
    workload: Workload, isa: Isa, precision: str, choices: Mapping[str, str]
) -> dict[str, str]:
    """The algorithms that contractions of a workload get, by class of shapes: what `choices` may
    hold. Raises ValueError for a name in `choices` that no algorithm has."""
    from layercc.cpu.algorithms.choice import shape_class

    builder = Builder(Program([], []), Weights(), isa, precision, choices)
    found = _chosen(builder, workload)
    return {shape_class(job): choice.algorithm.name for job, choice in found.items()}


def _chosen(builder: Builder, workload: Workload) -> dict[Contraction, Choice]:
    """The algorithms of all contractions, chosen together."""
    jobs = [each.job for each in workload.jobs if isinstance(each.job, Contraction)]
    if not jobs:
        return {}
    from layercc.cpu.algorithms.choice import choose_all  # with the kernels of all algorithms

    return choose_all(builder, jobs)


def program_of(
    workload: Workload,
    weights: Weights,
    isa: Isa,
    precision: str = "highest",
    choices: Mapping[str, str] | None = None,
) -> Program:
    """The program of a workload for an instruction set.

    Raises UnsupportedError that names all nodes of which jobs have no kernels, MemoryLimitError
    where a run would take more memory than is left.
    """
    EMITTERS.require(workload)
    program = Program(workload.inputs, workload.outputs)
    builder = Builder(program, weights, isa, precision, choices)
    builder.chosen = _chosen(builder, workload)
    for each in workload.jobs:
        builder.node = each.name
        builder.kind = type(each.job).__module__.rpartition(".")[2]
        try:
            builder.emit(each.job)
        except UnsupportedError as error:
            raise UnsupportedError(f"{each.label}: {error}", error.ops, [each.name]) from None
    plan_memory(program)
    check_program(program, f"graph {workload.graph!r} at these input shapes")
    return program
