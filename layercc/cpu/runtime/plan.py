"""A program bound to native code and memory, ready to run.

Argument words are laid out once. Each running call works in an `Arena` of its own, on an `Instance`
of the plan: a copy of the words in which the addresses of that arena stand. Per call only the
addresses of the inputs and outputs are filled in.
"""

from __future__ import annotations

import itertools
import struct
import time
from array import array
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ir.diagnostics import InputError
from layercc.buffers import Address
from layercc.cpu.executor import EXECUTOR_KEYS, TABLE_COLUMNS
from layercc.cpu.faults import FOUND, POSITION, RECORD_WORDS, RECORDS
from layercc.cpu.runtime.arenas import DATA_FIELD, LARGE_ARENA, Arena, Arenas, address_of, word_at
from layercc.cpu.runtime.native import Kernels, LoadedKernel
from layercc.cpu.runtime.threads import run_table
from layercc.kernels.declaration import KernelKey, Signature
from layercc.program import KernelCall, Program
from layercc.target import Runnable

if TYPE_CHECKING:
    from layercc.cpu.runtime.recorder import Recorder
    from layercc.recording import Recording

#: Plans that an arena remembers its addresses for.
_MOST_INSTANCES = 256

#: What a word of arguments takes, with its share of the program's calls.
_WORD_BYTES = 100

_numbers = itertools.count()
_empty = np.empty


class Plan(Runnable):
    """A `Program` with its kernels loaded and its argument words laid out.

    Plans of one model share `arenas`.
    """

    def __init__(self, program: Program, kernels: Kernels, arenas: Arenas | None = None) -> None:
        self.program = program
        self._number = next(_numbers)
        self._arenas = Arenas() if arenas is None else arenas
        # The executor's kernels too, so that they are compiled beside the others.
        keys = (*program.keys(), *EXECUTOR_KEYS)
        self.loaded: dict[KernelKey, LoadedKernel] = kernels.prepare(keys)
        self._words = array("q")
        self._arena_words: list[tuple[int, int]] = []  # position, offset into the arena
        self._input_words: dict[int, list[tuple[int, int]]] = defaultdict(list)
        self._output_words: dict[int, list[tuple[int, int]]] = defaultdict(list)
        self._fault_words: list[int] = []  # positions
        self._calls: list[tuple[int, int, int, int]] = []  # function, tasks, first word, alone
        for call in program.calls:
            kernel = self.loaded[call.key]
            self._calls.append((kernel.address, call.tasks, len(self._words), int(call.alone)))
            _check_arguments(call, kernel.signature)
            for argument in kernel.signature:
                self._lay_out(call.arguments.get(argument.name, 0), argument.kind.word)

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
            elif buffer.space == "faults":
                self._fault_words.append(position)
            else:
                ports = self._input_words if buffer.space == "input" else self._output_words
                ports[buffer.slot].append((position, value.offset))
        elif kind in ("f32", "f64"):
            self._words.append(struct.unpack("<q", struct.pack("<d", value))[0])
        else:
            self._words.append(int(value))

    @property
    def nbytes(self) -> int:
        """Bytes that go with the plan, more or less: not those of packed weights and arenas."""
        return self.program.own_bytes + _WORD_BYTES * len(self._words)

    def run(self, inputs: Sequence[np.ndarray], threads: int) -> list[np.ndarray]:
        """Runs on dense arrays of the planned shapes and dtypes, in port order."""
        try:
            arena = self._arenas.pop()
        except IndexError:
            arena = self._arenas.new(self.program.arena_bytes)
        instance = arena.instances.get(self._number)
        if instance is None:
            arena, instance = self._bound(arena)
        outputs = instance.run(inputs, threads)
        self._arenas.append(arena)
        return outputs

    def record(
        self, inputs: Sequence[np.ndarray], threads: int
    ) -> tuple[list[np.ndarray], Recording]:
        """As `run`, through trampolines (`layercc.cpu.trampoline`)."""
        begun = time.perf_counter()
        try:
            arena = self._arenas.pop()
        except IndexError:
            arena = self._arenas.new(self.program.arena_bytes)
        instance = arena.instances.get(self._number)
        if instance is None:
            arena, instance = self._bound(arena)
        outputs, ended, read = instance.record(inputs, threads)
        self._arenas.append(arena)
        from layercc.recording import Recording

        return outputs, Recording(read, begun, ended - begun, **self._described)

    @cached_property
    def _described(self) -> dict[str, Any]:
        """What all recordings of this plan have in common."""
        from layercc.cpu.runtime.description import described

        return described(self.program)

    def _bound(self, arena: Arena) -> tuple[Arena, Instance]:
        """The arena, or one that is large enough, and an instance of this plan in it."""
        nbytes = self.program.arena_bytes
        if arena.nbytes < nbytes:
            arena = self._arenas.new(nbytes)
        while len(arena.instances) >= _MOST_INSTANCES:
            del arena.instances[next(iter(arena.instances))]
        watched = arena.nbytes >= LARGE_ARENA and arena.is_needed_for(nbytes)
        instance = (_NeedyInstance if watched else Instance)(self, arena)
        arena.instances[self._number] = instance
        return arena, instance


def _check_arguments(call: KernelCall, signature: Signature) -> None:
    """Raises TypeError where the call's arguments are not those of the kernel."""
    given, known = call.arguments.keys(), {argument.name for argument in signature}
    required = [argument.name for argument in signature if not argument.kind.optional]
    faults = [f"argument {name} is missing" for name in required if name not in given]
    faults += [f"there is no argument {name}" for name in given if name not in known]
    if faults:
        where = f" for node {call.node}" if call.node else ""
        raise TypeError(f"call of kernel {call.key}{where}: {'; '.join(faults)}")


class Instance:
    """A plan in an arena: the argument words and the table that the executor walks."""

    def __init__(self, plan: Plan, arena: Arena) -> None:
        words = np.array(plan._words or array("q", [0]))
        for position, offset in plan._arena_words:
            words[position] = arena.start + offset
        program = plan.program
        self._checks = program.checks
        found = np.zeros(RECORDS + len(program.checks) * RECORD_WORDS, np.int64)
        self._faults = found.data
        words[plan._fault_words] = address_of(found)
        table = np.zeros((max(len(plan._calls), 1), TABLE_COLUMNS), np.int64)
        for row, (function, tasks, first, alone) in enumerate(plan._calls):
            table[row] = function, tasks, address_of(words) + 8 * first, alone
        self._table = table
        self._table_address = address_of(table)
        self._rows = len(plan._calls)
        self._words = words.data
        self._recorders: dict[bool, Recorder] = {}  # by whether threads share the work
        self._ports = [(port.shape, port.dtype) for port in program.outputs]
        words_of = [plan._input_words[i] for i in range(len(program.inputs))]
        words_of += [plan._output_words[i] for i in range(len(program.outputs))]
        #: Which array's address goes into which word, and what is added to it.
        self._places = [
            (number, position, offset)
            for number, places in enumerate(words_of)
            for position, offset in places
        ]

    def run(self, inputs: Sequence[np.ndarray], threads: int) -> list[np.ndarray]:
        """One run; the arena's contents are garbage before and after.

        Raises InputError where a kernel met a value that it cannot use.
        """
        outputs = [_empty(shape, dtype) for shape, dtype in self._ports]
        arrays = [*inputs, *outputs]
        words = self._words
        for number, position, offset in self._places:
            words[position] = word_at(id(arrays[number]) + DATA_FIELD).value + offset
        run_table(self._table_address, self._rows, threads)
        if self._faults[FOUND]:
            raise self._first_fault()
        return outputs

    def record(
        self, inputs: Sequence[np.ndarray], threads: int
    ) -> tuple[list[np.ndarray], float, Callable[[], np.ndarray]]:
        """As `run`; the outputs, when the run ended, and `read` of a `Recording`.

        The table with trampolines stays, so that the next recorded run finds it.
        """
        recorder = self._recorders.get(threads > 1)
        if recorder is None:
            recorder = self._recorders[threads > 1] = self._new_recorder(threads > 1)
        own = self._table_address, self._rows
        self._table_address, self._rows = recorder.table_address, recorder.rows
        try:
            outputs = self.run(inputs, threads)
        finally:
            self._table_address, self._rows = own
        ended = time.perf_counter()
        return outputs, ended, recorder.recorded()

    def _new_recorder(self, shared: bool) -> Recorder:
        from layercc.cpu.runtime.recorder import Recorder

        return Recorder(self._table[: self._rows], shared)

    def _first_fault(self) -> InputError:
        """The error for what the first call that met such a value reported; forgets all."""
        records = np.frombuffer(self._faults, np.int64)[RECORDS:].reshape(-1, RECORD_WORDS)
        check = int(np.flatnonzero(records[:, POSITION])[0])
        position, value, low, high = records[check].tolist()
        self._faults[FOUND] = 0
        records[:] = 0
        return self._checks[check].error(position - 1, value, low, high)


class _NeedyInstance(Instance):
    """An instance in a large arena, which its plan needs: each run says so."""

    def __init__(self, plan: Plan, arena: Arena) -> None:
        super().__init__(plan, arena)
        self._needed = arena.needed

    def run(self, inputs: Sequence[np.ndarray], threads: int) -> list[np.ndarray]:
        self._needed[0] = True
        return super().run(inputs, threads)
