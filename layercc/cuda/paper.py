"""Plans for devices that are not here."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ir.diagnostics import LayerccError
from layercc.kernels.cache import CompiledKernel
from layercc.kernels.declaration import KernelKey
from layercc.program import Program
from layercc.target import Runnable


class PaperPlan(Runnable):
    """A program and its kernels, for a device that is not here: to be looked at, not run."""

    def __init__(self, program: Program, kernels: dict[KernelKey, CompiledKernel]) -> None:
        self.program = program
        self.kernels = kernels

    def run(self, inputs: Sequence[np.ndarray], threads: int) -> list[np.ndarray]:
        raise LayerccError("this plan is for a device that is not here")

    @property
    def nbytes(self) -> int:
        return self.program.own_bytes
