"""From jobs to a `Program`: all of a workload emitted, and laid out in memory."""

from __future__ import annotations

from collections.abc import Mapping

from ir.diagnostics import UnsupportedError
from layercc.cpu.emit.builder import Builder
from layercc.cpu.emit.registry import EMITTERS
from layercc.cpu.isa import Isa
from layercc.jobs.workload import Workload
from layercc.memory_limit import check_program
from layercc.memory_plan import plan_memory
from layercc.program import Program
from layercc.weights import Weights


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
