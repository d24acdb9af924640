"""The scale of costs: limits of a core that are estimated, the same on all machines of an
instruction set.

Measured ones (`layercc.cpu.runtime.measured_limits`) would be nearer to the truth, and would let
algorithms, and with them the last bits of results, change from one machine, or one day, to another.
"""

from __future__ import annotations

from layercc.cpu.isa import Isa
from layercc.limits import Limits

#: An ordinary clock, and what a core draws from memory.
_CLOCK = 3e9
_BANDWIDTH = 10e9


def estimated(isa: Isa) -> Limits:
    """Limits of a core of ordinary clock: two fused multiply-adds of a vector a cycle where there
    are such instructions, else a multiplication and an addition."""
    lanes = isa.vector_bytes // 4
    fused = 4 if isa.name != "portable" else 2
    flops = {"f32": _CLOCK * lanes * fused}
    return Limits(f"a core with {isa.name}, estimated", 1, flops, {"memory": _BANDWIDTH})
