"""Emission of calls of users' functions of arrays."""

from __future__ import annotations

import linecache
import logging
import re
from typing import Any

from ir.diagnostics import UnsupportedError
from layercc.buffers import Tensor
from layercc.cpu.emit.builder import Builder
from layercc.cpu.emit.registry import emitter
from layercc.cpu.kernels.arrays import call_arrays as kernel
from layercc.cpu.runtime.native import default_kernels
from layercc.jobs.arrays import CallArrays

log = logging.getLogger(__name__)

#: Blocks that rows are split into, at most; no more than hands can be busy with.
_MOST_TASKS = 64


@emitter(CallArrays)
def call_arrays(builder: Builder, job: CallArrays) -> None:
    """One call; a task for each block of rows.

    Raises UnsupportedError where the function cannot be a kernel: it allocates memory, say.
    """
    places = {f"x{i}": tensor for i, tensor in enumerate(job.inputs) if tensor is not None}
    places |= {f"y{i}": tensor for i, tensor in enumerate(job.outputs)}
    tensors = tuple((place, str(t.dtype), len(t.shape)) for place, t in places.items())
    split = tuple(sorted(job.split & places.keys()))
    key = kernel.key(job.function, job.arguments, tensors, split)
    try:
        default_kernels(builder.isa).compile(key)
    except Exception as error:  # whatever it is, Numba may know what to do without layercc
        log.debug("%s is no kernel: %s", job.check.function, error)
        raise UnsupportedError(
            f"{job.check.function} is no kernel, so Numba runs it by itself{_where(error, job)}; "
            "kernels allocate no memory and call no library",
            nodes=[builder.node],
        ) from error
    rows = places[split[0]].shape[0] if split else 1
    tasks = min(rows, _MOST_TASKS)
    block = -(-rows // max(tasks, 1))
    arguments: dict[str, Any] = {}
    for place, tensor in places.items():
        arguments |= {place: tensor, **_sizes(place, tensor)}
    builder.call(
        key,
        tasks=-(-rows // block) if rows else 0,
        **arguments,
        rows=rows,
        block=block,
        fault=builder.check(job.check),
    )


def _where(error: Exception, job: CallArrays) -> str:
    """The line of the function that an error of Numba's is about, if it names one."""
    file = job.check.file
    found = re.search(rf"{re.escape(file)} \((\d+)\)", str(error)) if file else None
    if found is None:
        return ""
    return f", for {linecache.getline(file, int(found[1])).strip()!r} in line {found[1]}"


def _sizes(place: str, tensor: Tensor) -> dict[str, int]:
    return {f"{place}_{axis}": size for axis, size in enumerate(tensor.shape)}
