"""What a lowering works with: tensors as places in buffers, and the table of calls it fills."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ir.dtypes import DType, dtype_of
from ir.graph import Graph, Node
from ir.inference import Inference, call_for
from ir.registry import Call
from layercc.cpu.isa import Isa
from layercc.cpu.kernel import KernelKey
from layercc.lower.weights import Weights, aligned
from layercc.program import Address, Argument, Buffer, Check, KernelCall, Program

# Rough figures of one core, to tell calls that are too short to share between threads.
BYTES_PER_SECOND = 20e9
FLOPS_PER_SECOND = 60e9
WORTH_SHARING = 4e-6  # seconds


@dataclass(frozen=True, slots=True)
class Tensor:
    """A dense row-major tensor: where it lies, its element type and its shape."""

    buffer: Buffer
    dtype: DType
    shape: tuple[int, ...]
    offset: int = 0

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        return self.size * self.dtype.itemsize

    @property
    def address(self) -> Address:
        return Address(self.buffer, self.offset)

    def moved(self, nbytes: int) -> Tensor:
        """The tensor that starts `nbytes` further on."""
        return replace(self, offset=self.offset + nbytes)

    def reshaped(self, shape: tuple[int, ...]) -> Tensor:
        """The same memory under another shape of the same size."""
        return replace(self, shape=shape)


#: What a lowering gives for a kernel's argument.
Given = Argument | Tensor | Mapping[str, Any] | Sequence[Any]


class Context:
    """The state of one lowering: graph → `Program`, at concrete shapes.

    `inference` knows the type of every value and the values of shape computations. `nodes` are
    those to be lowered: only they count as readers. `isa` is what kernels are chosen for.
    """

    def __init__(
        self,
        graph: Graph,
        inference: Inference,
        weights: Weights,
        program: Program,
        nodes: Sequence[Node],
        isa: Isa,
    ) -> None:
        self.graph = graph
        self.isa = isa
        self.inference = inference
        self.weights = weights
        self.program = program
        self.node: Node | None = None  # being lowered
        self._tensors: dict[str, Tensor] = {}
        self._constants: dict[int, Tensor] = {}
        self._copies: dict[int, tuple[np.ndarray, np.ndarray]] = {}  # given, aligned; by id
        self._unread = Counter(name for node in nodes for name in dict.fromkeys(node.reads()))
        for name in graph.output_names:
            self._unread[name] += 1
        self._holders: dict[int, set[str]] = {}  # buffer id → values that lie in it
        self._faults = Buffer("faults", 0)

    # What is known

    def call_of(self, node: Node) -> Call:
        """The node as its op's rules see it: attributes with defaults, types, known values."""
        return call_for(node, self.inference.types, self.inference.values)

    def shape(self, name: str) -> tuple[int, ...]:
        """Concrete shape of a value."""
        return self.inference.types[name].shape  # type: ignore[return-value]

    def dtype(self, name: str) -> DType:
        return self.inference.types[name].dtype

    def value(self, name: str) -> np.ndarray | None:
        """The value, if it is a constant or was computed from shapes."""
        if name in self.graph.constants:
            return self.graph.constants[name]
        return self.inference.values.get(name)

    def is_constant(self, name: str) -> bool:
        return name in self.graph.constants or name in self.inference.values

    # Tensors

    def tensor(self, name: str) -> Tensor:
        """Where a value lies; constants are placed on first use."""
        if name not in self._tensors:
            if name in self.graph.constants:
                self._tensors[name] = self.packed(name, "as is", np.ascontiguousarray)
            else:
                self._tensors[name] = self.constant(self.inference.values[name])
        return self._tensors[name]

    def bind(self, name: str, tensor: Tensor) -> Tensor:
        """Says where a value lies. Lowerings use it for outputs that share memory (views)."""
        self._tensors[name] = tensor
        self._holders.setdefault(id(tensor.buffer), set()).add(name)
        return tensor

    def output(self, name: str, reuse: Tensor | None = None) -> Tensor:
        """Memory for an output of the node being lowered.

        `reuse`: an input whose memory may be taken over; it is, if nobody reads it afterwards and
        the sizes agree. Only for kernels that read an element before they write it.
        """
        kind = self.inference.types[name]
        shape: tuple[int, ...] = kind.shape  # type: ignore[assignment]
        nbytes = math.prod(shape) * kind.dtype.itemsize
        if reuse is not None and reuse.nbytes == nbytes and self._dies_here(reuse):
            return self.bind(name, replace(reuse, dtype=kind.dtype, shape=shape))
        return self.bind(name, Tensor(Buffer("arena", nbytes), kind.dtype, shape))

    def scratch(self, dtype: DType, shape: tuple[int, ...]) -> Tensor:
        """Memory that lives from the first to the last call that is given it."""
        return Tensor(Buffer("arena", math.prod(shape) * dtype.itemsize), dtype, shape)

    def constant(self, array: np.ndarray) -> Tensor:
        """A constant of this program alone. For weights use `packed`, which plans share."""
        if id(array) not in self._copies:
            self._copies[id(array)] = (array, aligned(np.ascontiguousarray(array)))
            self.program.own_bytes += array.nbytes
        return self._place(self._copies[id(array)][1])

    def packed(self, name: str, recipe: str, pack: Callable[[np.ndarray], np.ndarray]) -> Tensor:
        """A graph constant in the form a kernel wants, made once for all plans of the model.

        `recipe` names the form: equal recipes must give equal arrays. It may depend on the
        constant's own shape and the node's attributes, not on the shapes of inputs.
        """
        constant = self.graph.constants[name]
        packed = self.weights.packed(constant, recipe, lambda given: aligned(pack(given)))
        return self._place(packed)

    def _place(self, array: np.ndarray) -> Tensor:
        found = self._constants.get(id(array))
        if found is None:
            slot = len(self.program.constants)
            self.program.constants.append(array)
            found = Tensor(Buffer("constant", array.nbytes, slot), dtype_of(array), array.shape)
            self._constants[id(array)] = found
        return found

    def _dies_here(self, tensor: Tensor) -> bool:
        if tensor.buffer.space != "arena" or tensor.offset != 0 or self.node is None:
            return False
        if tensor.nbytes != tensor.buffer.nbytes:
            return False
        reads = set(self.node.reads())
        return all(
            self._unread[name] == (name in reads) for name in self._holders[id(tensor.buffer)]
        )

    # Calls

    def check(self, index: int) -> dict[str, Given]:
        """Through what a kernel reports values of input `index` of the node being lowered: the
        record `layercc.cpu.faults.FAULT`."""
        node = self.node
        assert node is not None
        name = node.inputs[index]
        label = f"{self.call_of(node).op.input_name(index)} {name!r}"
        checks = self.program.checks
        checks.append(Check(str(node), str(node.source or ""), label, self.shape(name)))
        return {"block": Address(self._faults), "check": len(checks) - 1}

    def call(self, key: KernelKey, tasks: int, *, flops: int = 0, **arguments: Given) -> None:
        """Appends one kernel call.

        Tensors stand for their addresses; a mapping or sequence gives the fields of a record or
        the parts of a tuple (see `layercc.cpu.kernel`).

        `flops` are the arithmetic operations of the whole call: with the bytes of the tensors they
        tell whether the call is worth sharing between threads.
        """
        given = [word for name, value in arguments.items() for word in _words(name, value)]
        words = {name: word.address if isinstance(word, Tensor) else word for name, word in given}
        name = self.node.name if self.node else ""
        moved = sum(word.nbytes for _, word in given if isinstance(word, Tensor))
        alone = moved / BYTES_PER_SECOND + flops / FLOPS_PER_SECOND < WORTH_SHARING
        if tasks > 0:
            self.program.calls.append(KernelCall(key, tasks, words, name, flops, alone))

    def finish(self, node: Node) -> None:
        """Called after each node: its inputs have one reader less."""
        for name in dict.fromkeys(node.reads()):
            self._unread[name] -= 1


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
