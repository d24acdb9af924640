"""What all jobs have in common."""

from __future__ import annotations

from dataclasses import dataclass

from layercc.runtime.faults import Check

__all__ = ["Check", "Job"]


@dataclass(frozen=True, eq=False)
class Job:
    """Something to be computed at concrete sizes, said without a target.

    A job names tensors, sizes, strides and expressions; no kernel, tile, chunk or packing. A target
    emits it (`layercc.cpu.emit`).
    """
