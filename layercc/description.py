"""What is told of a program beside the times of its calls (`layercc.recording`)."""

from __future__ import annotations

from typing import Any

from layercc.kernels.expressions import readable
from layercc.memory_plan import live_ranges
from layercc.program import Program
from layercc.recording import CallInfo, LiveRange


def described(program: Program) -> dict[str, Any]:
    """The fields of a `Recording` that are the same for all runs of a program."""
    calls = tuple(
        CallInfo(
            node=call.node,
            kind=call.kind,
            kernel=readable(call.key),
            algorithm=call.algorithm,
            shape_class=call.shape_class,
            dtype=call.dtype,
            tasks=call.tasks,
            flops=call.flops,
            bytes=call.bytes,
        )
        for call in program.calls
    )
    memory = tuple(
        LiveRange(program.calls[first].node, buffer.nbytes, buffer.offset, first, last)
        for buffer, first, last in live_ranges(program)
    )
    return {
        "calls": calls,
        "memory": memory,
        "arena_bytes": program.arena_bytes,
        "constant_bytes": sum(array.nbytes for array in program.constants),
    }
