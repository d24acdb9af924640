"""Values that kernels met and could not use: where they are written down, and the error for one.

A block is int64 words: FOUND, whether anything was reported at all; LOCK; then a record for each
check of the program: POSITION, one more than the place of the value among those of its tensor, or
0; VALUE; and LOW and HIGH, the range it should have been in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from ir.diagnostics import InputError, out_of_range

FOUND: Final = 0
LOCK: Final = 1
RECORDS: Final = 2
POSITION: Final = 0  # words of a record
VALUE: Final = 1
LOW: Final = 2
HIGH: Final = 3
RECORD_WORDS: Final = 4


@dataclass(frozen=True)
class Check:
    """An input whose values are checked while they are used: whose it is, and its shape."""

    node: str  # with its op, as in messages
    source: str  # where the node came from, if that is known
    input: str  # the op's name for it, then the value's
    shape: tuple[int, ...]

    def error(self, position: int, value: int, low: int, high: int) -> InputError:
        """The error for a value outside of `low`..`high`; `position` in row-major order."""
        at = tuple(map(int, np.unravel_index(position, self.shape)))
        message = f"{self.node}: {self.input} {out_of_range(value, at, low, high)}"
        return InputError(message + (f"\n  from {self.source}" if self.source else ""))


def new_block(checks: Sequence[Check]) -> np.ndarray:
    """A block in which nothing is reported."""
    return np.zeros(RECORDS + len(checks) * RECORD_WORDS, np.int64)


def first_fault(block: memoryview, checks: Sequence[Check]) -> InputError:
    """The error for what the first call that met such a value reported; forgets all."""
    records = np.frombuffer(block, np.int64)[RECORDS:].reshape(-1, RECORD_WORDS)
    check = int(np.flatnonzero(records[:, POSITION])[0])
    position, value, low, high = records[check].tolist()
    block[FOUND] = 0
    records[:] = 0
    return checks[check].error(position - 1, value, low, high)
