"""From jobs to a `Program` of launches: all of a workload emitted, and laid out in memory."""

from __future__ import annotations

from collections.abc import Mapping

from ir.diagnostics import UnsupportedError
from layercc.cuda.architecture import Architecture
from layercc.cuda.emit.builder import Builder
from layercc.cuda.emit.registry import EMITTERS
from layercc.jobs.workload import Workload
from layercc.memory_plan import plan_memory
from layercc.program import Program
from layercc.weights import Weights


def program_of(
    workload: Workload,
    weights: Weights,
    architecture: Architecture,
    precision: str = "highest",
    choices: Mapping[str, str] | None = None,
) -> Program:
    """The program of a workload for an architecture.

    Raises UnsupportedError that names all nodes of which jobs have no kernels, ValueError for
    choices that there are not.
    """
    EMITTERS.require(workload)
    program = Program(workload.inputs, workload.outputs)
    builder = Builder(program, weights, architecture, precision, choices)
    refused: dict[str, str] = {}
    for each in workload.jobs:
        builder.node = each.name
        builder.kind = type(each.job).__module__.rpartition(".")[2]
        try:
            builder.emit(each.job)
        except UnsupportedError as error:
            refused.setdefault(each.name, f"{each.label}: {error}")
    if refused:
        raise UnsupportedError("; ".join(refused.values()), nodes=list(refused))
    plan_memory(program)
    return program
