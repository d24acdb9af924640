"""What an emitter works with: the table of calls that it fills, scratch memory, and constants."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ir.diagnostics import UnsupportedError
from layercc.buffers import Address, Buffer, Tensor
from layercc.building import Given, ProgramBuilder, argument_words
from layercc.cpu.emit.registry import emitter_of
from layercc.cpu.isa import Isa
from layercc.cpu.limits import estimated
from layercc.jobs.contraction import Contraction
from layercc.jobs.job import Check, Job
from layercc.kernels.declaration import KernelKey
from layercc.program import Argument, KernelCall, Program
from layercc.weights import Weights

if TYPE_CHECKING:
    from layercc.cpu.algorithms.choice import Choice

# Rough figures of one core, to tell calls that are too short to share between threads.
BYTES_PER_SECOND = 20e9
FLOPS_PER_SECOND = 60e9
WORTH_SHARING = 4e-6  # seconds


class Builder(ProgramBuilder):
    """Jobs → calls of a `Program`, for an instruction set, at a precision.

    `node` is the one whose job it is, `kind` the family of that job. `limits` tell what things
    cost, and `choices` overrule the algorithms that follow from that: class of shapes
    (`layercc.cpu.algorithms.choice`) → name. `chosen` is what was chosen for the contractions of
    the workload together.
    """

    def __init__(
        self,
        program: Program,
        weights: Weights,
        isa: Isa,
        precision: str = "highest",
        choices: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(program, weights)
        self.isa = isa
        self.precision = precision
        self.limits = estimated(isa)
        self.choices = choices or {}
        self.kind = ""
        self.chosen: Mapping[Contraction, Choice] = {}
        self._choice = ("", "", "")  # algorithm, class of shapes, the one that was too large
        self._faults = Buffer("faults", 0)

    def emit(self, job: Job) -> None:
        """Appends the calls of a job. Raises UnsupportedError where there are no kernels for it."""
        emit = emitter_of(job)
        if emit is None:
            raise UnsupportedError(f"no kernels for {type(job).__name__}")
        emit(self, job)

    @contextmanager
    def by(self, algorithm: str, shape_class: str, too_large: str = "") -> Iterator[None]:
        """The calls appended inside are those of an algorithm, chosen for a class of shapes, for
        want of memory in place of another."""
        before, self._choice = self._choice, (algorithm, shape_class, too_large)
        try:
            yield
        finally:
            self._choice = before

    # Tensors

    def as_it_lies(self, constant: Tensor) -> Tensor:
        """A constant for a kernel that reads it element by element: aligned or not, it need not be
        copied."""
        array = constant.buffer.array
        assert array is not None
        dense = np.ascontiguousarray(array)
        slot = len(self.program.constants)
        self.program.constants.append(dense)
        if dense is not array:
            self.program.own_bytes += dense.nbytes
        buffer = Buffer("constant", dense.nbytes, slot, array=dense, shared=constant.buffer.shared)
        return replace(constant, buffer=buffer)

    # Calls

    def check(self, check: Check) -> dict[str, Given]:
        """Through what a kernel reports values that it cannot use: the record
        `layercc.cpu.faults.FAULT`."""
        self.program.checks.append(check)
        return {"block": Address(self._faults), "check": len(self.program.checks) - 1}

    def call(self, key: KernelKey, tasks: int, *, flops: int = 0, **arguments: Given) -> None:
        """Appends one kernel call.

        Tensors stand for their addresses; a mapping or sequence gives the fields of a record or
        the parts of a tuple (see `layercc.kernels.declaration`).

        `flops` are the arithmetic operations of the whole call: with the bytes of the tensors they
        tell whether the call is worth sharing between threads. Of a tensor that it touches in part
        only, an emitter gives `part_of`.
        """
        if tasks <= 0:
            return
        given = [word for name, value in arguments.items() for word in argument_words(name, value)]
        moved = 0
        dtype = ""
        words: dict[str, Argument] = {}
        for name, word in given:
            if isinstance(word, Tensor):
                if word.buffer.space == "constant" and word.buffer.slot < 0:
                    self.place(word.buffer)
                moved += word.nbytes
                dtype = dtype or str(word.dtype)
                word = word.address
            words[name] = word
        alone = moved / BYTES_PER_SECOND + flops / FLOPS_PER_SECOND < WORTH_SHARING
        self.program.calls.append(
            KernelCall(
                key, tasks, words, self.node, flops, alone, *self._choice, self.kind, dtype, moved
            )
        )


def part_of(tensor: Tensor, elements: int) -> Tensor:
    """The tensor as an argument of a call that touches no more than so many elements of it, no
    matter where they lie."""
    return tensor.reshaped((min(elements, tensor.size),))
