"""The scale of costs: what one device of each architecture reaches, by its maker's data sheets.

Estimated, not measured, for the same reason as on the CPU: choices, and with them the last bits of
results, must not change from one device, or one day, to another.
"""

from __future__ import annotations

from layercc.cuda.architecture import Architecture
from layercc.limits import Limits

#: By the major compute capability: of CUDA cores in f32 and f64, of tensor cores in tf32 and bf16,
#: and of memory (A100 80GB SXM, H100 SXM; dense).
_TABLE = {
    8: (19.5e12, 9.7e12, 156e12, 312e12, 2.0e12),
    9: (67e12, 34e12, 495e12, 990e12, 3.35e12),
}


def estimated(architecture: Architecture) -> Limits:
    """Limits of a device of this architecture."""
    f32, f64, tf32, half, memory = _TABLE[architecture.capability[0]]
    flops = {"f32": f32, "f64": f64, "tf32": tf32, "bf16": half, "f16": half}
    # a 32-bit multiply-add of integers runs at half the rate of floats
    flops |= {"i32": f32 / 2}
    name = f"{architecture.name}, estimated"
    return Limits(name, architecture.multiprocessors, flops, {"memory": memory})
