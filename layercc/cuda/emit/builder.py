"""What an emitter for a GPU works with: the table of launches that it fills."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ir.diagnostics import UnsupportedError
from layercc.buffers import Address, Buffer, Tensor
from layercc.building import Given, ProgramBuilder, argument_words
from layercc.cuda.architecture import Architecture
from layercc.cuda.emit.registry import emitter_of
from layercc.cuda.limits import estimated
from layercc.jobs.job import Check, Job
from layercc.kernels.declaration import KernelKey
from layercc.program import KernelCall, Program
from layercc.weights import Weights

#: Kernels count elements of a tensor, and a launch its blocks, in 31 bits.
MOST_ELEMENTS = (1 << 31) - 1


class Builder(ProgramBuilder):
    """Jobs → calls of a `Program`, for an architecture, at a precision.

    `limits` are the scale of costs, and `choices` overrule the algorithms that follow from them:
    class of shapes (`layercc.algorithms`) → name.

    The tasks of a call are the blocks of its grid, along x alone.
    """

    def __init__(
        self,
        program: Program,
        weights: Weights,
        architecture: Architecture,
        precision: str = "highest",
        choices: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(program, weights)
        self.architecture = architecture
        self.precision = precision
        self.limits = estimated(architecture)
        self.choices = choices or {}
        self._choice = ("", "")  # algorithm, class of shapes
        self.kind = ""  # the family of the job that is being emitted
        self._faults = Buffer("faults", 0)

    def emit(self, job: Job) -> None:
        """Appends the calls of a job. Raises UnsupportedError where there are no kernels for it."""
        emit = emitter_of(job)
        if emit is None:
            raise UnsupportedError(f"no kernels for {type(job).__name__}")
        emit(self, job)

    @contextmanager
    def by(self, algorithm: str, shape_class: str) -> Iterator[None]:
        """The calls appended inside are those of an algorithm, chosen for a class of shapes."""
        before, self._choice = self._choice, (algorithm, shape_class)
        try:
            yield
        finally:
            self._choice = before

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
        chosen, shapes = self._choice
        self.program.calls.append(
            KernelCall(
                key,
                blocks,
                words,
                self.node,
                flops=flops,
                algorithm=algorithm or chosen,
                shape_class=shapes,
            )
        )
        self._account(self.program.calls[-1], given)

    def _account(self, call: KernelCall, given: Mapping[str, Given]) -> None:
        """Says of a call what a profile wants to know: its kind, type and bytes. Of what is indexed
        a call reads no more than it writes."""
        words = [word for name, value in given.items() for _, word in argument_words(name, value)]
        tensors = [word for word in words if isinstance(word, Tensor)]
        call.kind = self.kind
        call.dtype = str(tensors[0].dtype) if tensors else ""
        sizes = [tensor.nbytes for tensor in tensors]
        made = given.get("y")
        if self.kind == "indexing" and isinstance(made, Tensor):
            sizes = [min(size, made.nbytes) for size in sizes]
        call.bytes = sum(sizes)


def countable(what: str, elements: int) -> int:
    """The number of elements itself.

    Raises UnsupportedError for more than kernels can count.
    """
    if elements > MOST_ELEMENTS:
        raise UnsupportedError(f"{elements} elements of {what}; kernels count {MOST_ELEMENTS}")
    return elements
