# mypy: ignore-errors
"""How a running kernel reports a value that it cannot use: an index, a length, an axis.

A kernel takes the argument ``fault: FAULT`` and hands it to ``report``; then it goes on with a
value in range, so that it never touches memory that is not the tensor's. The runtime looks at the
block behind a run, and raises an error that names the node (`layercc.runtime.faults`, where the
block is described). Of several values the one with the lowest place is kept, whichever thread meets
it first.
"""

from typing import Final

from layercc.kernels.declaration import INT, pointer, record
from layercc.runtime.faults import FOUND, HIGH, LOCK, LOW, POSITION, RECORD_WORDS, RECORDS, VALUE

#: What a kernel reports through: the block, and the number of the check.
FAULT: Final = record("Fault", block=pointer("i64"), check=INT)


def reporter():
    """The helper ``report(fault, position, value, low, high)``."""
    from layercc.cpu.atomics import exchange, pause, store_release
    from layercc.kernels.helper import jit

    @jit(inline=False)
    def enter(block, check, position, value, low, high):
        at = RECORDS + check * RECORD_WORDS
        while exchange(block, LOCK, 1) != 0:
            pause()
        if block[at + POSITION] == 0 or position < block[at + POSITION] - 1:
            block[at + POSITION] = position + 1
            block[at + VALUE] = value
            block[at + LOW] = low
            block[at + HIGH] = high
            block[FOUND] = 1
        store_release(block, LOCK, 0)

    @jit
    def report(fault, position, value, low, high):
        enter(fault.block, fault.check, position, value, low, high)

    return report


def index_checker():
    """The helper ``checked(fault, position, index, size)``: the place in a dim that is meant.

    Negative indices count from the end. One outside of the dim is reported, and 0 goes for it.
    """
    from layercc.kernels.helper import jit

    report = reporter()

    @jit
    def checked(fault, position, index, size):
        at = index + size if index < 0 else index
        if at < 0 or at >= size:
            report(fault, position, index, -size, size - 1)
            at = 0
        return at

    return checked
