"""Plans for devices that are not here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ir.diagnostics import LayerccError
from layercc.cuda.architecture import Architecture
from layercc.kernels.cache import CompiledKernel
from layercc.kernels.declaration import KernelKey
from layercc.program import Program
from layercc.target import Runnable


class PaperPlan(Runnable):
    """A program and its kernels, for a device that is not here: to be looked at, not run."""

    def __init__(
        self,
        program: Program,
        kernels: dict[KernelKey, CompiledKernel],
        architecture: Architecture,
    ) -> None:
        self.program = program
        self.kernels = kernels
        self.architecture = architecture

    def described(self) -> list[dict[str, Any]]:
        """Each launch in order, as plain data: its node, kernel and algorithm; blocks, threads,
        bytes of shared memory, floating-point operations; and of a kernel that ptxas made
        registers, spilled bytes and the blocks that a multiprocessor holds at once."""
        rows = []
        for call in self.program.calls:
            facts = self.kernels[call.key].facts
            row: dict[str, Any] = {
                "node": call.node,
                "kernel": str(call.key),
                "algorithm": call.algorithm,
                "blocks": call.tasks,
                "threads": facts["threads"],
                "shared": facts["shared"],
                "flops": call.flops,
            }
            if "registers" in facts:
                taken = (int(facts[name]) for name in ("threads", "registers", "shared"))
                row |= {"registers": facts["registers"], "spilled": facts["spilled"]}
                row["blocks_at_once"] = self.architecture.occupancy(*taken)
            rows.append(row)
        return rows

    def run(self, inputs: Sequence[np.ndarray], threads: int) -> list[np.ndarray]:
        raise LayerccError("this plan is for a device that is not here")

    @property
    def nbytes(self) -> int:
        return self.program.own_bytes
