"""A program bound to native code and memory, ready to run."""

from __future__ import annotations

import struct
import time
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from layercc.buffers import Address
from layercc.cpu.executor import EXECUTOR_KEYS
from layercc.cpu.runtime.native import Kernels, LoadedKernel
from layercc.kernels.declaration import KernelKey, Signature
from layercc.program import KernelCall, Program
from layercc.runtime.arenas import Arenas, address_of
from layercc.runtime.table import BoundTable
from layercc.target import Runnable

if TYPE_CHECKING:
    from layercc.recording import Recording

#: What a word of arguments takes, with its share of the program's calls.
_WORD_BYTES = 100


class Plan(BoundTable, Runnable):
    """A `Program` with its kernels loaded and its argument words laid out.

    Plans of one model share `arenas`.
    """

    def __init__(self, program: Program, kernels: Kernels, arenas: Arenas | None = None) -> None:
        super().__init__(
            len(program.inputs),
            [(port.shape, port.dtype) for port in program.outputs],
            program.checks,
            program.arena_bytes,
            arenas=Arenas() if arenas is None else arenas,
        )
        self.program = program
        # The executor's kernels too, so that they are compiled beside the others.
        keys = (*program.keys(), *EXECUTOR_KEYS)
        self.loaded: dict[KernelKey, LoadedKernel] = kernels.prepare(keys)
        for call in program.calls:
            kernel = self.loaded[call.key]
            self.calls.append((kernel.address, call.tasks, len(self.words), int(call.alone)))
            _check_arguments(call, kernel.signature)
            for argument in kernel.signature:
                self._lay_out(call.arguments.get(argument.name, 0), argument.kind.word)

    def _lay_out(self, value: int | float | Address, kind: str) -> None:
        position = len(self.words)
        if isinstance(value, Address):
            buffer = value.buffer
            if buffer.space == "constant":
                base = address_of(self.program.constants[buffer.slot])
                self.words.append(base + value.offset)
                return
            self.words.append(0)
            if buffer.space == "arena":
                self.arena_words.append((position, buffer.offset + value.offset))
            elif buffer.space == "faults":
                self.fault_words.append(position)
            else:
                ports = self.input_words if buffer.space == "input" else self.output_words
                ports.append((position, buffer.slot, value.offset))
        elif kind in ("f32", "f64"):
            self.words.append(struct.unpack("<q", struct.pack("<d", value))[0])
        else:
            self.words.append(int(value))

    @property
    def nbytes(self) -> int:
        """Bytes that go with the plan, more or less: not those of packed weights and arenas."""
        return self.program.own_bytes + _WORD_BYTES * len(self.words)

    def record(
        self, inputs: Sequence[np.ndarray], threads: int
    ) -> tuple[list[np.ndarray], Recording]:
        """As `run`, through trampolines (`layercc.cpu.trampoline`)."""
        from layercc.cpu.runtime.recorder import recorded_run
        from layercc.recording import Recording

        begun = time.perf_counter()
        arena, instance = self.taken()
        outputs, ended, read = recorded_run(instance, inputs, threads)
        self.arenas.append(arena)
        return outputs, Recording(read, begun, ended - begun, **self._described)

    @cached_property
    def _described(self) -> dict[str, Any]:
        """What all recordings of this plan have in common."""
        from layercc.description import described

        return described(self.program)


def _check_arguments(call: KernelCall, signature: Signature) -> None:
    """Raises TypeError where the call's arguments are not those of the kernel."""
    given, known = call.arguments.keys(), {argument.name for argument in signature}
    required = [argument.name for argument in signature if not argument.kind.optional]
    faults = [f"argument {name} is missing" for name in required if name not in given]
    faults += [f"there is no argument {name}" for name in given if name not in known]
    if faults:
        where = f" for node {call.node}" if call.node else ""
        raise TypeError(f"call of kernel {call.key}{where}: {'; '.join(faults)}")
