"""What is known of NVIDIA's architectures, as far as kernels and their emitters ask.

The figures are of the CUDA C++ Programming Guide, "Compute Capabilities", table of technical
specifications.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

#: Shared memory that a block may have without asking the driver for more.
STATIC_SHARED: Final = 48 << 10
#: Threads that run as one.
WARP: Final = 32


@dataclass(frozen=True)
class Architecture:
    """An architecture by the name that ptxas knows it by.

    `ptx` is the version of PTX that is written for it, the oldest that has what kernels use, so
    that old drivers take it. Shared memory is in bytes.
    """

    name: str
    ptx: str
    capability: tuple[int, int]
    exact: bool  # code runs on this capability only ("a"), not on later ones of its generation
    threads: int  # that a multiprocessor holds
    blocks: int
    registers: int
    shared: int
    shared_of_block: int
    multiprocessors: int  # of its largest device, for which work is divided

    def occupancy(self, threads: int, registers: int, shared: int) -> int:
        """Blocks of a kernel that a multiprocessor holds at once: as many as fit its threads, its
        registers (of a warp in steps of 256) and its shared memory (in steps of 128 bytes, with
        1 KiB that the system takes of each block)."""
        warps = -(-threads // WARP)
        of_warp = -(-registers * WARP // 256) * 256
        of_block = -(-shared // 128) * 128 + 1024
        limits = [self.blocks, self.threads // (warps * WARP), self.shared // of_block]
        if registers:
            limits.append(self.registers // of_warp // warps)
        return min(limits)


ARCHITECTURES: Final[dict[str, Architecture]] = {
    each.name: each
    for each in (
        Architecture("sm_80", "7.1", (8, 0), False, 2048, 32, 65536, 164 << 10, 163 << 10, 108),
        Architecture("sm_90", "7.8", (9, 0), False, 2048, 32, 65536, 228 << 10, 227 << 10, 132),
        Architecture("sm_90a", "8.0", (9, 0), True, 2048, 32, 65536, 228 << 10, 227 << 10, 132),
    )
}


def architecture_named(name: str) -> Architecture:
    """The architecture of this name.

    Raises ValueError for one that is not known.
    """
    try:
        return ARCHITECTURES[name]
    except KeyError:
        known = ", ".join(ARCHITECTURES)
        raise ValueError(f"no architecture {name!r}; known are {known}") from None


def architecture_of(capability: tuple[int, int]) -> Architecture | None:
    """What to compile for on a device of this compute capability: the newest that runs there."""
    fitting = [
        each
        for each in ARCHITECTURES.values()
        if (capability == each.capability if each.exact else capability >= each.capability)
    ]
    return max(fitting, key=lambda each: (each.capability, each.exact), default=None)
