"""The CPU as a target: which instruction set code is made for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from layercc.cpu.isa import Isa, host_isa, is_executable, isa_named
from layercc.target import Backend, Target

if TYPE_CHECKING:
    from layercc.limits import Limits


@dataclass(frozen=True)
class CpuTarget(Target):
    """A processor. `isa` names an instruction set, `avx512`, `avx2`, `neon` or `portable`, with the
    extensions of it that this machine has, or is one; without it, it is the best that the machine
    has on which the model runs.

    Raises ValueError for a name that is not known for this kind of processor.
    """

    isa: str | Isa | None = None

    def __post_init__(self) -> None:
        self.resolved()

    def resolved(self) -> Isa:
        """The instruction set itself."""
        if self.isa is None:
            return host_isa()
        return self.isa if isinstance(self.isa, Isa) else isa_named(self.isa)

    def open(self, *, precision: str, choices: Mapping[str, str]) -> Backend:
        """Imports what makes and runs programs."""
        from layercc.cpu.runtime.backend import CpuBackend

        return CpuBackend(self.resolved(), precision, choices)

    def runs_here(self) -> bool:
        """Whether this machine has all its instructions."""
        return is_executable(self.resolved())

    def limits(self, threads: int) -> Limits | None:
        """Measured on this machine; None where it lacks the instructions. Raises ValueError for
        less than one thread."""
        if not self.runs_here():
            return None
        from layercc.cpu.runtime.measured_limits import measured_limits

        return measured_limits(self.resolved(), threads)

    def __str__(self) -> str:
        return "cpu" if self.isa is None else f"cpu ({self.resolved().name})"
