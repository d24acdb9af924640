"""Graphics processors at work for one model: constants on the device, and plans."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ir.diagnostics import UnsupportedError
from layercc.cuda.architecture import Architecture
from layercc.cuda.codegen.assembler import Assembler, find_assembler
from layercc.cuda.paper import PaperPlan
from layercc.cuda.programs import program_of
from layercc.cuda.store import GpuKernels
from layercc.jobs.workload import Workload
from layercc.kernels.cache import open_cache
from layercc.target import Backend
from layercc.weights import Weights

if TYPE_CHECKING:
    from layercc.cuda.plan import Shared


class CudaBackend(Backend):
    """Plans for an architecture, which run on device number `ordinal`, or nowhere if that is None.

    They share packed weights, on the host and on the device.
    """

    def __init__(
        self,
        architecture: Architecture,
        ordinal: int | None,
        precision: str,
        choices: Mapping[str, str] | None = None,
    ) -> None:
        self.architecture = architecture
        self.precision = precision
        self._choices = choices
        tool = find_assembler()
        if tool is not None and not _runs_cubins(architecture, ordinal, tool):
            tool = None
        self.kernels = GpuKernels(open_cache(), architecture, tool)
        self._ordinal = ordinal
        self._weights = Weights()
        self._shared: Shared | None = None

    @property
    def memory(self) -> Shared | None:
        """That of the device, if there is one."""
        if self._shared is None and self._ordinal is not None:
            from layercc.cuda.driver import device
            from layercc.cuda.plan import Shared

            self._shared = Shared(device(self._ordinal))
        return self._shared

    def plan(self, workload: Workload) -> PaperPlan:
        """Emits the workload, compiles the kernels that are not there yet, and loads them.

        Raises UnsupportedError that names the nodes whose jobs have no kernels, or kernels that
        cannot be had for a GPU.
        """
        program = program_of(
            workload, self._weights, self.architecture, self.precision, self._choices
        )
        kernels = self.kernels.get(program.keys())
        refused = {
            call.node: f"{call.node}: kernel {call.key}: {kernels[call.key].facts['refused']}"
            for call in program.calls
            if "refused" in kernels[call.key].facts
        }
        if refused:
            raise UnsupportedError("; ".join(refused.values()), nodes=list(refused))
        if self.memory is None:
            return PaperPlan(program, kernels, self.architecture, self.precision)
        from layercc.cuda.plan import DevicePlan

        return DevicePlan(program, kernels, self.architecture, self.precision, self.memory)


def _runs_cubins(architecture: Architecture, ordinal: int | None, tool: Assembler) -> bool:
    """Whether what ptxas makes for the architecture runs on the device, if there is one: cubins run
    on later devices of the same generation, PTX on those of later generations too; and cubins of a
    CUDA of the driver's major version or an older one."""
    if ordinal is None:
        return True
    from layercc.cuda.driver import device

    here = device(ordinal)
    made_by = int(tool.version.partition(".")[0])
    return here.capability[0] == architecture.capability[0] and made_by <= here.version[0]
