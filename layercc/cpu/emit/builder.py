"""What an emitter works with: the table of calls that it fills, scratch memory, and constants."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np

from ir.diagnostics import UnsupportedError
from ir.dtypes import DType, dtype_of
from layercc.buffers import Address, Buffer, Tensor, aligned, scratch
from layercc.cpu.emit.registry import emitter_of
from layercc.cpu.isa import Isa
from layercc.cpu.limits import estimated
from layercc.jobs.job import Check, Job
from layercc.kernels.declaration import KernelKey
from layercc.program import Argument, KernelCall, Program
from layercc.weights import Weights

# Rough figures of one core, to tell calls that are too short to share between threads.
BYTES_PER_SECOND = 20e9
FLOPS_PER_SECOND = 60e9
WORTH_SHARING = 4e-6  # seconds

#: What an emitter gives for a kernel's argument.
Given = Argument | Tensor | Mapping[str, Any] | Sequence[Any]


class Builder:
    """Jobs → calls of a `Program`, for an instruction set, at a precision.

    `node` is the one whose job it is, `kind` the family of that job. `limits` tell what things
    cost, and `choices` overrule the algorithms that follow from that: class of shapes
    (`layercc.cpu.algorithms.choice`) → name.
    """

    def __init__(
        self,
        program: Program,
        weights: Weights,
        isa: Isa,
        precision: str = "highest",
        choices: Mapping[str, str] | None = None,
    ) -> None:
        self.program = program
        self.weights = weights
        self.isa = isa
        self.precision = precision
        self.limits = estimated(isa)
        self.choices = choices or {}
        self.node = ""
        self.kind = ""
        self._choice = ("", "")  # algorithm, class of shapes
        self._faults = Buffer("faults", 0)
        self._copies: dict[int, tuple[np.ndarray, Tensor]] = {}  # by id of the array given

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

    # Tensors

    def scratch(self, dtype: DType, shape: tuple[int, ...]) -> Tensor:
        """Memory that lives from the first to the last call that is given it."""
        return scratch(dtype, shape)

    def constant(self, array: np.ndarray) -> Tensor:
        """A constant of this program alone, the same tensor for the same array."""
        return self._constant(array, shared=False)

    def _constant(self, array: np.ndarray, shared: bool) -> Tensor:
        if id(array) not in self._copies:
            dense = np.ascontiguousarray(array)
            buffer = Buffer("constant", dense.nbytes, array=dense, shared=shared)
            made = Tensor(buffer, dtype_of(dense), dense.shape)
            self._copies[id(array)] = (array, made)
        return self._copies[id(array)][1]

    def packed(
        self, constant: Tensor, recipe: str, pack: Callable[[np.ndarray], np.ndarray]
    ) -> Tensor:
        """A constant in the form that a kernel wants; that of a shared one is made once for all
        plans of the model.

        `recipe` names the form: equal recipes must give equal arrays. It may depend on the
        constant's own shape, not on the shapes of inputs.
        """
        array = constant.array
        assert array is not None
        whole = constant.buffer.array
        if not constant.buffer.shared or whole is None:
            return self.constant(aligned(pack(array)))
        if constant.offset or array is not whole:
            recipe = f"{recipe} of {constant.shape} from {constant.offset}"
        made = self.weights.packed(whole, recipe, lambda _: aligned(pack(array)))
        return self._constant(made, shared=True)

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

    def _place(self, buffer: Buffer) -> None:
        """Gives a constant its place in the program, dense and aligned."""
        array = buffer.array
        assert array is not None
        if buffer.shared:
            dense = self.weights.packed(array, "as is", lambda a: aligned(np.ascontiguousarray(a)))
        else:
            dense = aligned(np.ascontiguousarray(array))
            self.program.own_bytes += dense.nbytes
        buffer.slot = len(self.program.constants)
        self.program.constants.append(dense)

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
        given = [word for name, value in arguments.items() for word in _words(name, value)]
        moved = 0
        dtype = ""
        words: dict[str, Argument] = {}
        for name, word in given:
            if isinstance(word, Tensor):
                if word.buffer.space == "constant" and word.buffer.slot < 0:
                    self._place(word.buffer)
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


def _words(name: str, value: Given) -> Iterator[tuple[str, Argument | Tensor]]:
    """A kernel's argument taken apart into words, with their names."""
    if isinstance(value, Mapping):
        for field, part in value.items():
            yield from _words(f"{name}.{field}", part)
    elif isinstance(value, Sequence):
        for index, part in enumerate(value):
            yield from _words(f"{name}.{index}", part)
    else:
        yield name, value
