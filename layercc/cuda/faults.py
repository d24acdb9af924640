# mypy: ignore-errors
"""How a running kernel reports a value that it cannot use: an index, a length.

The block of a plan is int64 words, a record for each check of the program: the place of the value
among those of its tensor, `NOTHING` if there was none; the value; and the range it should have been
in. The plan looks at it behind each run, and raises an error that names the node.
"""

from typing import Final

from layercc.kernels.declaration import INT, pointer, record

VALUE: Final = 1
RECORD_WORDS: Final = 4
#: A place beyond all places.
NOTHING: Final = (1 << 63) - 1

#: What a kernel reports through: the block, and the number of the check.
FAULT: Final = record("Fault", block=pointer("i64"), check=INT)
