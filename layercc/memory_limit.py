"""What a program may take: no more memory than the machine has left."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterable
from pathlib import Path

from ir.diagnostics import MemoryLimitError
from ir.graph import Node
from ir.inference import Inference
from ir.units import amount
from layercc.cgroups import memory_left
from layercc.program import Program

#: Few enough not to ask whether they are there: asking takes a quarter of a millisecond.
_ALWAYS_THERE = 1 << 26
_MEMINFO = Path("/proc/meminfo")


def check_values(nodes: Iterable[Node], inference: Inference) -> None:
    """Raises MemoryLimitError for a node with an output that memory cannot hold.

    Comes before lowering, whose tables grow with the tensors.
    """
    for node in nodes:
        for name in node.outputs:
            kind = inference.types.get(name)
            if kind is None or not kind.is_static:
                continue
            nbytes: int = kind.nbytes  # type: ignore[assignment]
            spread = math.prod(max(dim, 1) for dim in kind.shape) * kind.dtype.itemsize  # type: ignore[type-var, arg-type]
            if not nbytes and spread > sys.maxsize:
                raise MemoryLimitError(
                    f"{node}: output {name!r} {kind} is empty, but its other dims multiply to more "
                    "than memory can address"
                )
            if nbytes > _ALWAYS_THERE and nbytes > (limit := available_bytes()):
                raise MemoryLimitError(
                    f"{node}: output {name!r} {kind} takes {amount(nbytes, 'B')}; "
                    f"{amount(limit, 'B')} of memory are left"
                )


def check_program(program: Program, what: str) -> None:
    """Raises MemoryLimitError if one run of `program` takes more memory than is left."""
    outputs = sum(math.prod(port.shape) * port.dtype.itemsize for port in program.outputs)
    total = program.arena_bytes + outputs
    if total > _ALWAYS_THERE and total > (limit := available_bytes()):
        largest, node = max(
            (buffer.nbytes, call.node) for call in program.calls for buffer in call.buffers()
        )
        raise MemoryLimitError(
            f"{what} takes {amount(program.arena_bytes, 'B')} for values in between and "
            f"{amount(outputs, 'B')} for outputs; {amount(limit, 'B')} of memory are left. "
            f"The largest tensor, {amount(largest, 'B')}, is at node {node!r}"
        )


def available_bytes() -> int:
    """Bytes of memory that this process may still take; sys.maxsize where that is unknown."""
    return max(0, min(_machine(), _cgroup(), _address_space()))


def _machine() -> int:
    try:
        lines = dict(line.split(":", 1) for line in _MEMINFO.read_text().splitlines())
        return sum(int(lines[name].split()[0]) << 10 for name in ("MemAvailable", "SwapFree"))
    except (OSError, KeyError, ValueError):
        return sys.maxsize


def _cgroup() -> int:
    left = memory_left()
    return sys.maxsize if left is None else left


def _address_space() -> int:
    try:
        import resource

        limit, _ = resource.getrlimit(resource.RLIMIT_AS)
        if limit == resource.RLIM_INFINITY:
            return sys.maxsize
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        return limit - pages * os.sysconf("SC_PAGE_SIZE")
    except (ImportError, OSError, ValueError):
        return sys.maxsize
