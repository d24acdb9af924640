"""Plans whose memory lies between pages that may not be touched, for tests.

Every input, output, constant and arena buffer has pages of its own with a page without access on
either side. In one run each buffer's last byte is the last of its page, in another its first byte
the first: a kernel that reads or writes past either end dies of a segmentation fault. Bytes of the
pages that are not the buffer's own hold a pattern, which must still be there afterwards. The two
runs fill arenas and outputs with different garbage; results must be the same to the bit, so that
memory which nobody wrote does not reach them. Inputs and constants may not change.

Buffers are aligned as far as their size is (up to 64 bytes): where kernels load whole aligned
vectors, from packed panels, sizes are multiples of a vector.
"""

from __future__ import annotations

import ctypes
import itertools
import math
import mmap
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Literal
from unittest.mock import patch

import numpy as np

from ir.diagnostics import LayerccError
from layercc.cpu.runtime.native import Kernels
from layercc.cpu.runtime.plan import Plan
from layercc.program import Buffer, Program
from layercc.runtime import table
from layercc.runtime.arenas import Arena, Arenas, address_of

Edge = Literal["end", "start"]
_PAGE = mmap.PAGESIZE
#: What is around each buffer: another byte each time, for kernels that copy what is around one.
_PATTERNS = itertools.cycle(range(1, 252))
#: What arenas and outputs are full of before a run: NaN and -1; a number and a large integer.
_GARBAGE: dict[Edge, int] = {"end": 0xFF, "start": 0x3C}


class OutsideAccess(AssertionError):
    """A kernel wrote outside its buffers, or its results depend on memory that nobody wrote."""


class Pages:
    """Memory for buffers of these sizes, each on pages of its own between pages without access.

    `places` are their offsets into `bytes`, which starts at address `start`.
    """

    def __init__(self, sizes: Sequence[int], edge: Edge) -> None:
        rooms = [-(-size // _PAGE) * _PAGE for size in sizes]
        total = sum(rooms) + (len(rooms) + 1) * _PAGE
        memory = mmap.mmap(-1, total)
        self.bytes = np.frombuffer(memory, np.uint8)  # keeps the mapping
        self.start = address_of(self.bytes)
        self.sizes = list(sizes)
        self.places: list[int] = []
        self.rooms: list[tuple[int, int]] = []
        _protect(self.start, _PAGE)
        at = _PAGE
        for size, room in zip(sizes, rooms, strict=True):
            self.places.append(at + (room - size if edge == "end" else 0))
            self.rooms.append((at, at + room))
            _protect(self.start + at + room, _PAGE)
            at += room + _PAGE
        self.patterns = [next(_PATTERNS) for _ in rooms]
        self.fill(_GARBAGE[edge])

    def fill(self, value: int) -> None:
        """Fills the buffers with a byte, and what is left of their pages with a pattern."""
        for pattern, (first, last), at, size in self._buffers():
            self.bytes[first:last] = pattern
            self.bytes[at : at + size] = value

    def _buffers(self) -> Iterator[tuple[int, tuple[int, int], int, int]]:
        return zip(self.patterns, self.rooms, self.places, self.sizes, strict=True)

    def check(self, what: str) -> None:
        """Raises OutsideAccess if the pattern around a buffer has changed."""
        for pattern, (first, last), at, size in self._buffers():
            around = np.concatenate([self.bytes[first:at], self.bytes[at + size : last]])
            if (around != pattern).any():
                raise OutsideAccess(f"bytes next to {what} of {size} bytes were written")

    def array(self, shape: Sequence[int], dtype: np.dtype) -> np.ndarray:
        """The one buffer as an array."""
        (at,), (size,) = self.places, self.sizes
        return self.bytes[at : at + size].view(dtype).reshape(shape)


def _protect(address: int, nbytes: int) -> None:
    mprotect = ctypes.CDLL(None, use_errno=True).mprotect
    mprotect.argtypes = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
    if mprotect(address, nbytes, 0):
        raise OSError(ctypes.get_errno(), "mprotect")


class _Guard:
    """Hands out arrays with pages of their own, and looks after the pages."""

    def __init__(self, edge: Edge) -> None:
        self.edge = edge
        self.pages: list[Pages] = []

    def empty(self, shape: Sequence[int], dtype: np.dtype) -> np.ndarray:
        dtype = np.dtype(dtype)
        pages = Pages([math.prod(shape) * dtype.itemsize], self.edge)
        self.pages.append(pages)
        return pages.array(shape, dtype)

    def copy(self, array: np.ndarray) -> np.ndarray:
        result = self.empty(array.shape, array.dtype)
        result[...] = array
        return result


class _GuardedArena(Arena):
    def __init__(self, pages: Pages) -> None:
        self.pages = pages
        self.nbytes = len(pages.bytes)
        self.start = pages.start
        self.instances = {}
        self.needed = [True]


class EdgePlan(Plan):
    """A plan with all of its memory at one edge of pages."""

    def __init__(self, program: Program, kernels: Kernels, edge: Edge) -> None:
        self.edge = edge
        buffers: dict[int, Buffer] = {}
        for call in program.calls:
            buffers.update((id(b), b) for b in call.buffers() if b.space == "arena")
        pages = Pages([buffer.nbytes for buffer in buffers.values()], edge)
        for buffer, at in zip(buffers.values(), pages.places, strict=True):
            buffer.offset = at
        self.arena = _GuardedArena(pages)
        self.constants = _Guard(edge)
        self.given = program.constants
        constants = [self.constants.copy(array) for array in program.constants]
        guarded = replace(program, constants=constants, arena_bytes=self.arena.nbytes)
        arenas = Arenas()
        arenas.append(self.arena)
        super().__init__(guarded, kernels, arenas)

    def run(self, inputs: Sequence[np.ndarray], threads: int) -> list[np.ndarray]:
        ports = _Guard(self.edge)
        given = [ports.copy(array) for array in inputs]
        self.arena.pages.fill(_GARBAGE[self.edge])
        self.arenas[:] = [self.arena]  # a run that fails does not give it back
        try:
            with patch.object(table, "_empty", ports.empty):
                outputs = super().run(given, threads)
        finally:
            self._check(ports, inputs, given)
        return [array.copy() for array in outputs]

    def _check(
        self, ports: _Guard, inputs: Sequence[np.ndarray], given: Sequence[np.ndarray]
    ) -> None:
        self.arena.pages.check("a buffer in the arena")
        for pages in ports.pages:
            pages.check("an input or output")
        for pages in self.constants.pages:
            pages.check("a constant")
        fixed = zip([*inputs, *self.given], [*given, *self.program.constants], strict=True)
        for before, after in fixed:
            if before.tobytes() != after.tobytes():
                raise OutsideAccess(f"an input or constant {before.shape} was written")


class GuardedPlan(Plan):
    """Runs a program at both edges, and compares what comes out: results, or errors."""

    def __init__(self, program: Program, kernels: Kernels, arenas: Arenas | None = None) -> None:
        self.program = program
        self._edges = [EdgePlan(program, kernels, edge) for edge in ("end", "start")]
        self.loaded = self._edges[0].loaded

    @property
    def nbytes(self) -> int:
        return sum(plan.nbytes for plan in self._edges)

    def run(self, inputs: Sequence[np.ndarray], threads: int) -> list[np.ndarray]:
        (one, error), (other, other_error) = (
            _attempt(plan, inputs, threads) for plan in self._edges
        )
        if str(error) != str(other_error):
            raise OutsideAccess(f"an error depends on memory that nobody wrote: {other_error}")
        if error is not None:
            raise error
        for port, a, b in zip(self.program.outputs, one, other, strict=True):
            if a.tobytes() != b.tobytes():
                raise OutsideAccess(f"{port.name} depends on memory that nobody wrote: {a} or {b}")
        return one


def _attempt(
    plan: Plan, inputs: Sequence[np.ndarray], threads: int
) -> tuple[list[np.ndarray], LayerccError | None]:
    try:
        return plan.run(inputs, threads), None
    except LayerccError as error:
        return [], error


def guard_all_plans() -> None:
    """From now on, all plans of this process are guarded."""
    from layercc.session import plans as session_plans
    from tests import support

    session_plans.Plan = GuardedPlan  # type: ignore[misc, assignment]
    support.Plan = GuardedPlan  # type: ignore[misc, assignment]
