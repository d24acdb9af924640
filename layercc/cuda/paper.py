"""Plans for devices that are not here."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from ir.diagnostics import LayerccError
from layercc.cuda.architecture import Architecture
from layercc.cuda.card import usual_card
from layercc.kernels.cache import CompiledKernel
from layercc.kernels.declaration import KernelKey
from layercc.limits import Limits
from layercc.program import Program
from layercc.target import Runnable


class PaperPlan(Runnable):
    """A program and its kernels, for a device that is not here: to be looked at, not run."""

    def __init__(
        self,
        program: Program,
        kernels: dict[KernelKey, CompiledKernel],
        architecture: Architecture,
        precision: str = "highest",
    ) -> None:
        self.program = program
        self.kernels = kernels
        self.architecture = architecture
        self.precision = precision

    @property
    def limits(self) -> Limits:
        """What the device reaches that times are compared with."""
        return usual_card(self.architecture).limits(self.precision)

    def described(self) -> list[dict[str, Any]]:
        """Each launch in order, as plain data:

        - node, kernel, algorithm, kind of the job, dtype
        - blocks, and threads and bytes of shared memory of each
        - flops and bytes, those of all tensors that it reads and writes
        - floor: the least seconds that `limits` leave it, from memory or, if the cache holds all
          that it touches, from there
        - registers of a thread and spilled bytes, of a kernel that ptxas made; blocks_at_once that
          a multiprocessor holds, occupancy (the part of its threads that they are), and waves (how
          often all multiprocessors are filled).
        """
        rows, limits = [], self.limits
        for call in self.program.calls:
            facts = self.kernels[call.key].facts
            row: dict[str, Any] = {
                "node": call.node,
                "kernel": str(call.key),
                "algorithm": call.algorithm,
                "kind": call.kind,
                "dtype": call.dtype,
                "blocks": call.tasks,
                "threads": facts["threads"],
                "shared": facts["shared"],
                "flops": call.flops,
                "bytes": call.bytes,
                "floor": limits.seconds(
                    call.flops, call.bytes, call.dtype or "f32", limits.nearest_level(call.bytes)
                ),
            }
            if "registers" in facts:
                threads, *others = (int(facts[name]) for name in ("threads", "registers", "shared"))
                at_once = self.architecture.occupancy(threads, *others)
                row |= {"registers": facts["registers"], "spilled": facts["spilled"]}
                row |= {
                    "blocks_at_once": at_once,
                    "occupancy": at_once * threads / self.architecture.threads,
                    "waves": call.tasks / max(at_once * limits.threads, 1),
                }
            rows.append(row)
        return rows

    def summary(self) -> dict[str, Any]:
        """The plan as a whole: device, launches, flops, the least seconds (`floor`): those of all
        operations, or of the bytes that must come from memory once, inputs, outputs and those
        constants that are not indexed; and bytes of constants and of the arena."""
        program, limits = self.program, self.limits
        constants = [array.nbytes for array in program.constants]
        whole = {
            buffer.slot
            for call in program.calls
            if call.kind != "indexing"
            for buffer in call.buffers()
            if buffer.space == "constant"
        }
        ports = [*program.inputs, *program.outputs]
        moved = sum(constants[slot] for slot in whole)
        moved += sum(prod(port.shape) * port.dtype.itemsize for port in ports)
        by_type: dict[str, int] = defaultdict(int)
        for call in program.calls:
            by_type[call.dtype or "f32"] += call.flops
        arithmetic = sum(limits.seconds(flops, 0, dtype) for dtype, flops in by_type.items())
        return {
            "device": limits.device,
            "launches": len(program.calls),
            "flops": sum(by_type.values()),
            "floor": max(arithmetic, limits.seconds(0, moved)),
            "constant_bytes": sum(constants),
            "arena_bytes": program.arena_bytes,
        }

    def run(self, inputs: Sequence[np.ndarray], threads: int) -> list[np.ndarray]:
        raise LayerccError("this plan is for a device that is not here")

    @property
    def nbytes(self) -> int:
        return self.program.own_bytes
