"""A program bound to native code and memory, ready to run.

Argument words are laid out once. Each running call works on an `Instance` of its own: an arena,
and a copy of the words in which the addresses of that arena stand. Per call only the addresses of
the inputs and outputs are filled in.
"""

from __future__ import annotations

import struct
from collections import defaultdict

import numpy as np

from layercc.cpu.executor import TABLE_COLUMNS
from layercc.program import Address, Program
from layercc.runtime.native import Kernels, LoadedKernel
from layercc.runtime.threads import run_table

_ALIGNMENT = 64


def address_of(array: np.ndarray) -> int:
    """Address of the array's first element."""
    return array.__array_interface__["data"][0]


class Plan:
    """A `Program` with its kernels loaded and its argument words laid out."""

    def __init__(self, program: Program, kernels: Kernels) -> None:
        self.program = program
        self.loaded: dict[object, LoadedKernel] = kernels.prepare(program.keys())
        self._words: list[int] = []
        self._arena_words: list[tuple[int, int]] = []  # position, offset into the arena
        self._input_words: dict[int, list[tuple[int, int]]] = defaultdict(list)
        self._output_words: dict[int, list[tuple[int, int]]] = defaultdict(list)
        self._calls: list[tuple[int, int, int, int]] = []  # function, tasks, first word, alone
        for call in program.calls:
            kernel = self.loaded[call.key]
            self._calls.append((kernel.address, call.tasks, len(self._words), int(call.alone)))
            for argument in kernel.signature:
                self._lay_out(call.arguments.get(argument.name, 0), argument.kind.word)
        self._free: list[Instance] = []

    def _lay_out(self, value: int | float | Address, kind: str) -> None:
        position = len(self._words)
        if isinstance(value, Address):
            buffer = value.buffer
            if buffer.space == "constant":
                base = address_of(self.program.constants[buffer.slot])
                self._words.append(base + value.offset)
                return
            self._words.append(0)
            if buffer.space == "arena":
                self._arena_words.append((position, buffer.offset + value.offset))
            else:
                ports = self._input_words if buffer.space == "input" else self._output_words
                ports[buffer.slot].append((position, value.offset))
        elif kind in ("f32", "f64"):
            self._words.append(struct.unpack("<q", struct.pack("<d", value))[0])
        else:
            self._words.append(int(value))

    def run(self, inputs: list[np.ndarray], threads: int) -> list[np.ndarray]:
        """Runs on dense arrays of the planned shapes and dtypes, in port order."""
        try:
            instance = self._free.pop()  # atomic, as is append: calls may come from many threads
        except IndexError:
            instance = Instance(self)
        outputs = instance.run(inputs, threads)
        self._free.append(instance)
        return outputs


class Instance:
    """What one running call of a plan needs for itself."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._arena = np.empty(plan.program.arena_bytes + _ALIGNMENT, np.uint8)
        start = -(-address_of(self._arena) // _ALIGNMENT) * _ALIGNMENT
        words = np.array(plan._words or [0], np.int64)
        for position, offset in plan._arena_words:
            words[position] = start + offset
        table = np.zeros((max(len(plan._calls), 1), TABLE_COLUMNS), np.int64)
        for row, (function, tasks, first, alone) in enumerate(plan._calls):
            table[row] = function, tasks, address_of(words) + 8 * first, alone
        self._kept = (words, table)
        self._words = memoryview(words)
        self._table_address = address_of(table)
        self._rows = len(plan._calls)
        self._inputs = [plan._input_words.get(i, []) for i in range(len(plan.program.inputs))]
        self._outputs = [
            (port.shape, port.dtype, plan._output_words.get(i, []))
            for i, port in enumerate(plan.program.outputs)
        ]

    def run(self, inputs: list[np.ndarray], threads: int) -> list[np.ndarray]:
        """One run; the arena's contents are garbage before and after."""
        words = self._words
        for array, places in zip(inputs, self._inputs, strict=True):
            if places:
                base = array.__array_interface__["data"][0]
                for position, offset in places:
                    words[position] = base + offset
        outputs = []
        for shape, dtype, places in self._outputs:
            array = np.empty(shape, dtype)
            base = array.__array_interface__["data"][0]
            for position, offset in places:
                words[position] = base + offset
            outputs.append(array)
        run_table(self._table_address, self._rows, threads)
        return outputs
