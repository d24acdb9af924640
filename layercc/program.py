"""The compiled form of a model for one set of input shapes: a table of kernel calls, as plain data.

A `Program` says which kernels run, in which order, over how many tasks, and with which arguments.
Arguments that are addresses name a buffer and a byte offset; where the buffers lie is decided by
the memory plan (`layercc.memory_plan`) and, per running call, by the runtime.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from layercc.buffers import Address, Buffer
from layercc.jobs.job import Check
from layercc.jobs.workload import Port
from layercc.kernels.declaration import KernelKey

#: What an argument of a kernel holds: an integer, a float, or an address.
Argument = int | float | Address


@dataclass(slots=True, eq=False)
class KernelCall:
    """One row of the table. `tasks` are independent and may run on any thread, in any order."""

    key: KernelKey
    tasks: int
    arguments: dict[str, Argument]
    node: str = ""
    flops: int = 0
    alone: bool = False  # too little work to share: all tasks run on the calling thread
    algorithm: str = ""  # which of several it is part of, if there was a choice
    shape_class: str = ""  # what the choice hung on: a key of `Options.choices`
    too_large: str = ""  # the algorithm that is cheaper, but for whose weights there is no memory
    kind: str = ""  # the family of the job that it is part of: a file of `layercc/jobs`
    dtype: str = ""  # of the first tensor
    bytes: int = 0  # of all tensors that it reads and writes

    def buffers(self) -> list[Buffer]:
        """Every buffer that the call reads or writes."""
        return [word.buffer for word in self.arguments.values() if isinstance(word, Address)]


@dataclass(eq=False)
class Program:
    """A table of kernel calls and the memory it works on.

    `arena_bytes` is what one running call needs for intermediate values; `constants` are packed
    the way kernels want them, aligned to 64 bytes where these load vectors. `own_bytes` are those
    of constants that no other program of the model has.
    """

    inputs: list[Port]
    outputs: list[Port]
    calls: list[KernelCall] = field(default_factory=list)
    constants: list[np.ndarray] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    arena_bytes: int = 0
    own_bytes: int = 0

    def keys(self) -> list[KernelKey]:
        """The kernels needed, each once, in order of first use."""
        return list(dict.fromkeys(call.key for call in self.calls))
