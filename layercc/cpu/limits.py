"""What a core can do at most: the scale of costs."""

from __future__ import annotations

from dataclasses import dataclass

from layercc.cpu.isa import Isa


@dataclass(frozen=True)
class Limits:
    """Of one core: multiplications and additions of float32 a second, bytes a second."""

    flops: float
    bytes: float


#: An ordinary clock, and what a core draws from memory; until a machine is measured.
_CLOCK = 3e9
_BANDWIDTH = 10e9


def estimated(isa: Isa) -> Limits:
    """Limits of a core of ordinary clock: two fused multiply-adds of a vector a cycle where there
    are such instructions, else a multiplication and an addition."""
    lanes = isa.vector_bytes // 4
    fused = 4 if isa.name != "portable" else 2
    return Limits(_CLOCK * lanes * fused, _BANDWIDTH)
