"""The memory that the executor and its threads share, and the tables that it walks.

`layercc.cpu.executor` is the code; it says what each word means.
"""

from typing import Final

LINE: Final = 16  # words: two 64-byte lines, since processors prefetch lines in pairs
STOP: Final = 6 * LINE
SPIN: Final = STOP + 1
WORKERS: Final = 7 * LINE
MOST_WATCHED: Final = 128  # workers from this number on share a line that nobody looks at
CONTROL_WORDS: Final = WORKERS + (MOST_WATCHED + 1) * LINE

#: Words of a call: the kernel's address, tasks, the address of its words, whether it runs alone.
TABLE_COLUMNS: Final = 4
