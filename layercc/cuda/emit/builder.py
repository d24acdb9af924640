"""What an emitter for a GPU works with: the table of launches that it fills."""

from __future__ import annotations

from typing import Any

from ir.diagnostics import UnsupportedError
from layercc.buffers import Address, Buffer
from layercc.building import Given, ProgramBuilder
from layercc.cuda.architecture import Architecture
from layercc.cuda.emit.registry import emitter_of
from layercc.jobs.job import Check, Job
from layercc.kernels.declaration import KernelKey
from layercc.program import KernelCall, Program
from layercc.weights import Weights

#: Kernels count elements of a tensor, and a launch its blocks, in 31 bits.
MOST_ELEMENTS = (1 << 31) - 1


class Builder(ProgramBuilder):
    """Jobs → calls of a `Program`, for an architecture, at a precision.

    The tasks of a call are the blocks of its grid, along x alone.
    """

    def __init__(
        self,
        program: Program,
        weights: Weights,
        architecture: Architecture,
        precision: str = "highest",
    ) -> None:
        super().__init__(program, weights)
        self.architecture = architecture
        self.precision = precision
        self._faults = Buffer("faults", 0)

    def emit(self, job: Job) -> None:
        """Appends the calls of a job. Raises UnsupportedError where there are no kernels for it."""
        emit = emitter_of(job)
        if emit is None:
            raise UnsupportedError(f"no kernels for {type(job).__name__}")
        emit(self, job)

    def check(self, check: Check) -> dict[str, Any]:
        """Through what a kernel reports values that it cannot use: the record
        `layercc.cuda.faults.FAULT`."""
        self.program.checks.append(check)
        return {"block": Address(self._faults), "check": len(self.program.checks) - 1}

    def call(
        self, key: KernelKey, blocks: int, *, flops: int = 0, algorithm: str = "", **given: Given
    ) -> None:
        """Appends one launch of so many blocks; none where there are none.

        Raises UnsupportedError where a GPU cannot count them.
        """
        if blocks <= 0:
            return
        if blocks > MOST_ELEMENTS:
            raise UnsupportedError(f"{blocks} blocks in a grid; {MOST_ELEMENTS} would fit")
        words = self.words(given)
        self.program.calls.append(
            KernelCall(key, blocks, words, self.node, flops=flops, algorithm=algorithm)
        )


def countable(what: str, elements: int) -> int:
    """The number of elements itself.

    Raises UnsupportedError for more than kernels can count.
    """
    if elements > MOST_ELEMENTS:
        raise UnsupportedError(f"{elements} elements of {what}; kernels count {MOST_ELEMENTS}")
    return elements
