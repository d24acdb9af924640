"""What a lowering works with: where values lie, and the jobs that it adds to the workload."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ir.dtypes import DType, dtype_of
from ir.graph import Graph, Node
from ir.inference import Inference, call_for
from ir.registry import Call
from layercc.buffers import Buffer, Tensor, scratch
from layercc.jobs.job import Check, Job
from layercc.jobs.workload import NodeJob, Workload

__all__ = ["Context", "Tensor"]


class Context:
    """The state of one lowering: graph → jobs, at concrete shapes.

    `inference` knows the type of every value and the values of shape computations. `nodes` are
    those to be lowered: only they count as readers.
    """

    def __init__(
        self, graph: Graph, inference: Inference, nodes: Sequence[Node], workload: Workload
    ) -> None:
        self.graph = graph
        self.inference = inference
        self.workload = workload
        self.node: Node | None = None  # being lowered
        self._tensors: dict[str, Tensor] = {}
        self._constants: dict[int, tuple[np.ndarray, Tensor]] = {}  # by id of the array
        self._unread = Counter(name for node in nodes for name in dict.fromkeys(node.reads()))
        for name in graph.output_names:
            self._unread[name] += 1
        self._holders: dict[int, set[str]] = {}  # buffer id → values that lie in it

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
        """Where a value lies."""
        if name not in self._tensors:
            if name in self.graph.constants:
                array = self.graph.constants[name]
                buffer = Buffer("constant", array.nbytes, array=array, shared=True)
                self._tensors[name] = Tensor(buffer, dtype_of(array), array.shape)
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
        """Memory that lives from the first to the last job that is given it."""
        return scratch(dtype, shape)

    def constant(self, array: np.ndarray, shared: bool = False) -> Tensor:
        """A constant that is none of the graph's; the same tensor for the same array.

        What is made of a `shared` one, which outlives the plan, is kept for other plans.
        """
        if id(array) not in self._constants:
            dense = np.ascontiguousarray(array)
            buffer = Buffer("constant", dense.nbytes, array=dense, shared=shared)
            self._constants[id(array)] = (array, Tensor(buffer, dtype_of(dense), dense.shape))
        return self._constants[id(array)][1]

    def _dies_here(self, tensor: Tensor) -> bool:
        if tensor.buffer.space != "arena" or tensor.offset != 0 or self.node is None:
            return False
        if tensor.nbytes != tensor.buffer.nbytes:
            return False
        reads = set(self.node.reads())
        return all(
            self._unread[name] == (name in reads) for name in self._holders[id(tensor.buffer)]
        )

    # Jobs

    def emit(self, job: Job) -> None:
        """Adds a job to the workload."""
        node = self.node
        name, label = (node.name, str(node)) if node else ("", "the outputs")
        self.workload.jobs.append(NodeJob(job, name, label))

    def check(self, index: int) -> Check:
        """Whose values are checked when input `index` of the node being lowered is used."""
        node = self.node
        assert node is not None
        name = node.inputs[index]
        label = f"{self.call_of(node).op.input_name(index)} {name!r}"
        return Check(str(node), str(node.source or ""), label, self.shape(name))

    def finish(self, node: Node) -> None:
        """Called after each node: its inputs have one reader less."""
        for name in dict.fromkeys(node.reads()):
            self._unread[name] -= 1
