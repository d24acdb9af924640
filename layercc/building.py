"""What emitters of any target work with: constants, and arguments taken apart into words."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ir.dtypes import DType, dtype_of
from layercc.buffers import Buffer, Tensor, aligned, scratch
from layercc.program import Argument, Program
from layercc.weights import Weights

#: What an emitter gives for a kernel's argument.
Given = Argument | Tensor | Mapping[str, Any] | Sequence[Any]


class ProgramBuilder:
    """Fills a `Program`. `node` is the one whose job is being emitted."""

    def __init__(self, program: Program, weights: Weights) -> None:
        self.program = program
        self.weights = weights
        self.node = ""
        self._copies: dict[int, tuple[np.ndarray, Tensor]] = {}  # by id of the array given

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

    def words(self, arguments: Mapping[str, Given]) -> dict[str, Argument]:
        """The arguments of a call, word by word: tensors stand for their addresses; a mapping or
        sequence gives the fields of a record or the parts of a tuple. Constants among them get
        their places in the program."""
        words: dict[str, Argument] = {}
        for name, value in arguments.items():
            for part, word in argument_words(name, value):
                if isinstance(word, Tensor):
                    if word.buffer.space == "constant" and word.buffer.slot < 0:
                        self.place(word.buffer)
                    word = word.address
                words[part] = word
        return words

    def place(self, buffer: Buffer) -> None:
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


def argument_words(name: str, value: Given) -> Iterator[tuple[str, Argument | Tensor]]:
    """A kernel's argument taken apart into words, with their names."""
    if isinstance(value, Mapping):
        for field, part in value.items():
            yield from argument_words(f"{name}.{field}", part)
    elif isinstance(value, Sequence):
        for index, part in enumerate(value):
            yield from argument_words(f"{name}.{index}", part)
    else:
        yield name, value
