"""Memory for the intermediate values of running calls.

Each running call works in an arena of its own; those that no call uses lie in the pool of their
model, the last one used on top. An arena that was made for large inputs goes again when it has not
been needed for a number of runs: when only small plans ran in it, or it lay below others.

That is watched only while a model has large arenas, so that others, whose calls may take no more
than a few microseconds, do not pay for it.
"""

from __future__ import annotations

import ctypes
import weakref
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from layercc.runtime.table import Instance

#: Bytes: constants, and buffers in the arena, start at multiples of it.
ALIGNMENT = 64

#: Bytes from which arenas are watched. Smaller ones are kept: they are few, one a thread.
LARGE_ARENA = 1 << 20
#: Runs of the model after which a large arena that none of them needed goes. To make another costs
#: the first touch of its pages, a fraction of what a call takes that fills it.
PATIENCE = 64
#: A plan needs an arena if it takes more than this part of it.
_WORTH_KEEPING = 1 / 4

# An ndarray object is CPython's object header, then the address of its first element (NumPy's
# `PyArrayObject_fields`, part of its ABI). Reading it there takes 0.1 µs; `__array_interface__`
# and `ctypes.data` take 1 µs.
DATA_FIELD = object.__basicsize__
word_at = ctypes.c_int64.from_address


def address_of(array: np.ndarray) -> int:
    """Address of the array's first element."""
    return word_at(id(array) + DATA_FIELD).value


class Arena:
    """Memory for one running call, of any plan of a model, and the plans' instances in it."""

    def __init__(self, nbytes: int) -> None:
        self._memory = np.empty(nbytes + ALIGNMENT, np.uint8)
        self.nbytes = nbytes
        self.start = -(-address_of(self._memory) // ALIGNMENT) * ALIGNMENT
        #: By the number of the plan: a plan holds its pool, and so must not be held in turn, or
        #: arenas would outlive their model until the garbage collector comes.
        self.instances: dict[int, Instance] = {}
        #: Whether the call that ran last needed it all, for the pool to ask; a list of one element,
        #: so that instances can say so without holding the arena.
        self.needed = [True]
        self.needed_at = 0  # the pool's clock when it was last needed

    def is_needed_for(self, nbytes: int) -> bool:
        """Whether a plan of so many bytes is worth keeping this arena for."""
        return nbytes > self.nbytes * _WORTH_KEEPING


class Arenas(list[Arena]):
    """The arenas of one model that no call uses. Safe to use from several threads.

    `pop()` takes the one given back last and raises IndexError where there is none;
    `append(arena)` gives one back. Both are those of `list`, atomic and as fast as can be, unless
    the model has large arenas: then the object is of the class `_Watched`.
    """

    def __init__(self) -> None:
        super().__init__()
        self._large: weakref.WeakSet[Arena] = weakref.WeakSet()  # those in use, too
        self._clock = 0  # runs, while there are large arenas
        self._check_at = 0

    @property
    def nbytes(self) -> int:
        """Bytes of all arenas that no call uses."""
        return sum(arena.nbytes for arena in [*self])

    def new(self, nbytes: int) -> Arena:
        """An arena of so many bytes, as if it had been taken."""
        arena = Arena(nbytes)
        if nbytes >= LARGE_ARENA:
            arena.needed_at = self._clock
            self._large.add(arena)
            self._watch()
        return arena

    def _watch(self) -> None:
        """Has runs counted, if there are large arenas."""
        self.__class__ = Arenas
        if self._large:  # asked afterwards, for another thread may be adding one
            self.__class__ = _Watched


class _Watched(Arenas):
    """Drops large arenas that have not been needed for a while."""

    def append(self, arena: Arena) -> None:
        """Gives an arena back, and counts the run."""
        # Threads may lose one another's ticks, which does no harm.
        self._clock = now = self._clock + 1
        if arena.needed[0]:
            arena.needed[0] = False
            arena.needed_at = now
        super().append(arena)
        if now >= self._check_at:
            self._check_at = now + PATIENCE // 4
            self._drop_unneeded(now)

    def _drop_unneeded(self, now: int) -> None:
        for arena in [*self]:
            if arena.nbytes >= LARGE_ARENA and now - arena.needed_at >= PATIENCE:
                try:
                    self.remove(arena)
                except ValueError:
                    continue  # another thread has just taken it
                self._large.discard(arena)
        self._watch()
