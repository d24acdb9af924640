"""A graphics processor of NVIDIA as a target: which device, or which architecture."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from ir.diagnostics import LayerccError
from layercc.cuda.architecture import Architecture, architecture_named, architecture_of
from layercc.limits import Limits
from layercc.target import Backend, Target

_DEVICE = re.compile(r"cuda(?::(\d+))?")


@dataclass(frozen=True)
class CudaTarget(Target):
    """A device, `cuda` or `cuda:1`, for the architecture that it has; or an architecture, `sm_90a`
    or `sm_80`, for device 0. Compiling for a named architecture needs no device.

    Raises ValueError for a name that is neither.
    """

    where: str = "cuda"

    def __post_init__(self) -> None:
        if not _DEVICE.fullmatch(self.where):
            architecture_named(self.where)

    @property
    def ordinal(self) -> int:
        """The number of the device."""
        match = _DEVICE.fullmatch(self.where)
        return int(match[1] or 0) if match else 0

    def architecture(self) -> Architecture:
        """What is compiled for.

        Raises NoDeviceError where that hangs on a device that is not there, LayerccError where it
        is older than what is compiled for.
        """
        if not _DEVICE.fullmatch(self.where):
            return architecture_named(self.where)
        from layercc.cuda.driver import device

        here = device(self.ordinal)
        found = architecture_of(here.capability)
        if found is None:
            raise LayerccError(
                f"{here.name} has compute capability {here.capability[0]}.{here.capability[1]}; "
                "8.0 and later would fit"
            )
        room = min(found.shared_of_block, here.shared_of_block)  # later devices may have less
        return replace(found, shared_of_block=room)

    def open(self, *, precision: str, choices: Mapping[str, str]) -> Backend:
        """Imports what makes programs, and if they can run here what runs them."""
        from layercc.cuda.backend import CudaBackend

        ordinal = None if self.hindrance() else self.ordinal
        return CudaBackend(self.architecture(), ordinal, precision, choices)

    def hindrance(self) -> str:
        """Why no device here runs it: empty if one does."""
        from layercc.cuda.driver import device

        try:
            here = device(self.ordinal)
            wanted = self.architecture()
        except LayerccError as error:
            return str(error)
        fits = (
            here.capability == wanted.capability
            if wanted.exact
            else here.capability >= wanted.capability
        )
        capability = ".".join(map(str, here.capability))
        return "" if fits else f"{here.name} has compute capability {capability}"

    def runs_here(self) -> bool:
        """Whether there is such a device, and a driver."""
        return not self.hindrance()

    def limits(self, threads: int) -> Limits:
        """What the device reaches at its highest clocks, on paper; where there is none, a usual one
        of the architecture."""
        from layercc.cuda.card import card_of, usual_card

        if self.hindrance():
            return usual_card(self.architecture()).limits()
        from layercc.cuda.driver import device

        return card_of(device(self.ordinal)).limits()

    def fallback(self) -> str:
        """The CPU."""
        return "cpu"

    @property
    def multiplies_halves(self) -> bool:
        return True

    @property
    def takes_threads(self) -> bool:
        return False

    def __str__(self) -> str:
        return self.where if _DEVICE.fullmatch(self.where) else f"cuda ({self.where})"
