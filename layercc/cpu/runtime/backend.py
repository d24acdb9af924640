"""The CPU at work for one model: packed weights, arenas and kernels, and plans made of them."""

from __future__ import annotations

from collections.abc import Mapping

from layercc.cpu.isa import Isa
from layercc.cpu.programs import program_of
from layercc.cpu.runtime.native import default_kernels
from layercc.cpu.runtime.plan import Plan
from layercc.jobs.workload import Workload
from layercc.runtime.arenas import Arenas
from layercc.target import Backend
from layercc.weights import Weights


class CpuBackend(Backend):
    """Plans for an instruction set. They share packed weights and arenas."""

    def __init__(self, isa: Isa, precision: str, choices: Mapping[str, str]) -> None:
        self.isa = isa
        self.precision = precision
        self.choices = choices
        self._weights = Weights()
        self._arenas = Arenas()

    def plan(self, workload: Workload) -> Plan:
        """Emits the workload, and compiles the kernels that are not there yet."""
        program = program_of(workload, self._weights, self.isa, self.precision, self.choices)
        return Plan(program, default_kernels(self.isa), self._arenas)
