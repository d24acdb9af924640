"""A table of kernel calls bound to native code and memory, ready to run.

Argument words are laid out once. Each running call works in an `Arena` of its own, on an `Instance`
of the table: a copy of the words in which the addresses of that arena stand. Per call only the
addresses of the inputs and outputs are filled in.
"""

from __future__ import annotations

import itertools
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from layercc.runtime.arenas import DATA_FIELD, LARGE_ARENA, Arena, Arenas, address_of, word_at
from layercc.runtime.control import TABLE_COLUMNS
from layercc.runtime.faults import FOUND, Check, first_fault, new_block
from layercc.runtime.threads import run_table

#: Tables that an arena remembers its addresses for.
_MOST_INSTANCES = 256

_numbers = itertools.count()
_empty = np.empty


@dataclass(eq=False)
class BoundTable:
    """Calls of kernels in memory, and the argument words of all of them.

    `calls` are (address of the kernel, tasks, first word, whether it runs alone). In `words`
    addresses of constants stand as they are; the others are filled in: `arena_words` are
    (position, offset into the arena), `input_words` and `output_words` (position, number of the
    input or output, offset into it), `fault_words` positions of the address of the block through
    which kernels report to `checks`. `outputs` are shapes and dtypes. `owner` keeps code and
    constants in memory. Tables of one model share `arenas`.
    """

    inputs: int
    outputs: list[tuple[tuple[int, ...], np.dtype]]
    checks: Sequence[Check] = ()
    arena_bytes: int = 0
    owner: object = None
    arenas: Arenas = field(default_factory=Arenas)
    words: array[int] = field(default_factory=lambda: array("q"))
    calls: list[tuple[int, int, int, int]] = field(default_factory=list)
    arena_words: list[tuple[int, int]] = field(default_factory=list)
    input_words: list[tuple[int, int, int]] = field(default_factory=list)
    output_words: list[tuple[int, int, int]] = field(default_factory=list)
    fault_words: list[int] = field(default_factory=list)
    number: int = field(default_factory=lambda: next(_numbers))

    def run(self, inputs: Sequence[np.ndarray], threads: int) -> list[np.ndarray]:
        """Runs on dense arrays of the table's shapes and dtypes, in order; new arrays of outputs.

        Raises InputError where a kernel met a value that it cannot use.
        """
        # `taken`, written out: every call pays for this.
        try:
            arena = self.arenas.pop()
        except IndexError:
            arena = self.arenas.new(self.arena_bytes)
        instance = arena.instances.get(self.number)
        if instance is None:
            arena, instance = self.bind(arena)
        outputs = instance.run(inputs, threads)
        self.arenas.append(arena)
        return outputs

    def taken(self) -> tuple[Arena, Instance]:
        """An idle arena, and an instance of this table in it; `arenas.append` gives it back."""
        try:
            arena = self.arenas.pop()
        except IndexError:
            arena = self.arenas.new(self.arena_bytes)
        instance = arena.instances.get(self.number)
        return self.bind(arena) if instance is None else (arena, instance)

    def bind(self, arena: Arena) -> tuple[Arena, Instance]:
        """The arena, or one that is large enough, and an instance of this table in it."""
        nbytes = self.arena_bytes
        if arena.nbytes < nbytes:
            arena = self.arenas.new(nbytes)
        while len(arena.instances) >= _MOST_INSTANCES:
            del arena.instances[next(iter(arena.instances))]
        watched = arena.nbytes >= LARGE_ARENA and arena.is_needed_for(nbytes)
        instance = (_NeedyInstance if watched else Instance)(self, arena)
        arena.instances[self.number] = instance
        return arena, instance


class Instance:
    """A table in an arena: the argument words and what the executor walks.

    `recorders` are what a caller who records runs keeps with it.
    """

    def __init__(self, bound: BoundTable, arena: Arena) -> None:
        words = np.array(bound.words or array("q", [0]))
        for position, offset in bound.arena_words:
            words[position] = arena.start + offset
        self._checks = bound.checks
        found = new_block(bound.checks)
        self._faults = found.data
        words[bound.fault_words] = address_of(found)
        table = np.zeros((max(len(bound.calls), 1), TABLE_COLUMNS), np.int64)
        for row, (function, tasks, first, alone) in enumerate(bound.calls):
            table[row] = function, tasks, address_of(words) + 8 * first, alone
        self.rows = len(bound.calls)
        self.table = table
        self.table_address = address_of(table)
        self._words = words.data
        self.recorders: dict[bool, Any] = {}
        self._ports = bound.outputs
        #: Which array's address goes into which word, and what is added to it.
        self._places = [
            (number, position, offset) for position, number, offset in bound.input_words
        ] + [
            (bound.inputs + number, position, offset)
            for position, number, offset in bound.output_words
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
        run_table(self.table_address, self.rows, threads)
        if self._faults[FOUND]:
            raise first_fault(self._faults, self._checks)
        return outputs


class _NeedyInstance(Instance):
    """An instance in a large arena, which its table needs: each run says so."""

    def __init__(self, bound: BoundTable, arena: Arena) -> None:
        super().__init__(bound, arena)
        self._needed = arena.needed

    def run(self, inputs: Sequence[np.ndarray], threads: int) -> list[np.ndarray]:
        self._needed[0] = True
        return super().run(inputs, threads)
