"""The machine that benchmarks run on, and the rate of single-precision multiply-adds it reaches."""

from __future__ import annotations

import os
from dataclasses import dataclass

from layercc.cpu.isa import host_isa
from layercc.cpu.runtime.measured_limits import measured_limits
from layercc.processor import processor_name


@dataclass(frozen=True)
class Machine:
    """The processor's name, the instruction set used, and the processors to be had."""

    processor: str
    isa: str
    cores: int

    def peak(self, threads: int) -> float:
        """Single-precision FLOP/s of `threads` threads, a multiply-add counted as two."""
        return measured_limits(host_isa(), threads).flops["f32"]


def this_machine() -> Machine:
    """What is known of the machine without measuring."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return Machine(processor_name(), host_isa().name, cores or 1)
