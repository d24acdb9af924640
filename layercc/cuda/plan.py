"""A program on a device: kernels loaded, constants uploaded, and graphs of its launches.

A running call has memory of its own, an `Instance`: device memory for inputs, outputs and what lies
between, pinned memory through which arrays go in and out, and a graph in which all addresses stand.
Instances that no call uses are kept with the plan.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from math import prod

import numpy as np

from ir.diagnostics import InputError
from layercc.buffers import Address
from layercc.cuda.architecture import Architecture
from layercc.cuda.driver import Device, Memory, Node, Stream
from layercc.cuda.faults import NOTHING, RECORD_WORDS
from layercc.cuda.paper import PaperPlan
from layercc.jobs.job import Check
from layercc.jobs.workload import Port
from layercc.kernels.cache import CompiledKernel
from layercc.kernels.declaration import KernelKey
from layercc.kernels.element_types import FLOATS, SCALAR
from layercc.program import Argument, KernelCall, Program

#: Bytes: a device copies best from here, and no access of kernels is wider.
_ALIGNMENT = 256


class DevicePlan(PaperPlan):
    """A plan that runs.

    `uploaded` has the constants that plans of the model have on the device, by the `id` of their
    arrays, which the program holds.
    """

    def __init__(
        self,
        program: Program,
        kernels: dict[KernelKey, CompiledKernel],
        architecture: Architecture,
        device: Device,
        uploaded: weakref.WeakValueDictionary[int, Memory],
    ) -> None:
        super().__init__(program, kernels, architecture)
        self.device = device
        device.activate()
        self._functions = {
            key: device.load(kernel.code, kernel.symbol, int(kernel.facts["dynamic"]))
            for key, kernel in kernels.items()
        }
        self.constants = [_upload(device, array, uploaded) for array in program.constants]
        self._idle: list[Instance] = []

    def run(self, inputs: Sequence[np.ndarray], threads: int) -> list[np.ndarray]:
        """Runs on dense arrays of the planned shapes and dtypes, in port order.

        Raises InputError where a kernel met a value that it cannot use, DeviceError where the
        device fails, MemoryLimitError where its memory does not suffice.
        """
        self.device.activate()
        try:
            instance = self._idle.pop()
        except IndexError:
            instance = Instance(self)
        try:
            outputs = instance.run(inputs)
        except InputError:
            self._idle.append(instance)
            raise
        self._idle.append(instance)  # not after another fault: what it holds may be lost
        return outputs

    def device_seconds(self, runs: int = 20) -> float:
        """What the launches alone take on the device, on what the last run has left there.

        For measuring, behind a run: without one, a new instance is made, and computes on anything.
        """
        self.device.activate()
        instance = self._idle.pop() if self._idle else Instance(self)
        seconds = instance.device_seconds(runs)
        self._idle.append(instance)
        return seconds

    def node(self, call: KernelCall, bases: Instance) -> tuple[Node, tuple[np.ndarray, ...]]:
        """A launch with the addresses of an instance, and the arrays that hold its arguments, which
        must live until the graph is made."""
        kernel = self.kernels[call.key]
        cells = np.zeros(max(len(kernel.signature), 1), np.int64)
        for index, argument in enumerate(kernel.signature):
            if argument.name not in call.arguments and not argument.kind.optional:
                raise TypeError(f"call of kernel {call.key}: argument {argument.name} is missing")
            value = call.arguments.get(argument.name, 0)
            _write(cells[index : index + 1], argument.kind.word, bases.resolved(value))
        if unknown := call.arguments.keys() - {each.name for each in kernel.signature}:
            raise TypeError(f"call of kernel {call.key}: there is no argument {min(unknown)}")
        pointers = cells.ctypes.data + 8 * np.arange(len(cells), dtype=np.int64)
        threads, dynamic = (int(kernel.facts[name]) for name in ("threads", "dynamic"))
        place = int(pointers.ctypes.data)
        node = Node(self._functions[call.key], call.tasks, threads, place, dynamic)
        return node, (cells, pointers)


def _write(cell: np.ndarray, word: str, value: int | float) -> None:
    """An argument as the kernel reads it: of its own size, from the start of the cell."""
    if word in FLOATS:
        cell.view(SCALAR[word])[0] = value
    else:
        cell[0] = value


def _upload(
    device: Device, array: np.ndarray, uploaded: weakref.WeakValueDictionary[int, Memory]
) -> Memory:
    """A constant on the device, for the first plan that has it."""
    memory = uploaded.get(id(array))
    if memory is None:
        memory = device.allocate(array.nbytes, f"a constant of {array.shape}")
        device.upload(memory, array)
        uploaded[id(array)] = memory
    return memory


class _Ports:
    """Places of arrays, one behind the other, in device memory and in pinned memory alike."""

    def __init__(self, device: Device, ports: Sequence[Port], what: str) -> None:
        sizes = [prod(port.shape) * port.dtype.itemsize for port in ports]
        self.offsets = []
        end = 0
        for size in sizes:
            self.offsets.append(end)
            end += -(-size // _ALIGNMENT) * _ALIGNMENT
        self.nbytes = end
        self.memory = device.allocate(end, what)
        self.pinned = device.allocate_pinned(end)
        #: The arrays in pinned memory.
        self.arrays = [
            self.pinned.bytes[start : start + size].view(port.dtype).reshape(port.shape)
            for port, start, size in zip(ports, self.offsets, sizes, strict=True)
        ]


class _Faults:
    """The block through which kernels report values; see `layercc.cuda.faults`."""

    def __init__(self, device: Device, checks: int) -> None:
        self._clean = np.zeros((checks, RECORD_WORDS), np.int64)
        self._clean[:, 0] = NOTHING
        self._device = device
        self.memory = device.allocate(self._clean.nbytes, "reports of kernels")
        self._pinned = device.allocate_pinned(self._clean.nbytes)
        device.upload(self.memory, self._clean)

    def fetch(self, stream: Stream) -> None:
        """Queues the copy to the host."""
        stream.copy_out(self._pinned.address, self.memory.address, self._clean.nbytes)

    def raise_first(self, checks: Sequence[Check]) -> None:
        """Raises the InputError of the first check that met such a value; forgets all."""
        records = self._pinned.bytes.view(np.int64).reshape(-1, RECORD_WORDS)
        met = np.flatnonzero(records[:, 0] != NOTHING)
        if len(met):
            position, value, low, high = map(int, records[met[0]])
            self._device.upload(self.memory, self._clean)
            raise checks[met[0]].error(position, value, low, high)


class Instance:
    """Memory for one running call, and its graph."""

    def __init__(self, plan: DevicePlan) -> None:
        program, device = plan.program, plan.device
        self._constants = [memory.address for memory in plan.constants]
        self._arena = device.allocate(program.arena_bytes, "what lies between inputs and outputs")
        self._inputs = _Ports(device, program.inputs, "inputs")
        self._outputs = _Ports(device, program.outputs, "outputs")
        self._checks = program.checks
        self._faults = _Faults(device, len(program.checks)) if program.checks else None
        self._stream = device.stream()
        made = [plan.node(call, self) for call in program.calls]
        self._graph = device.graph([node for node, _ in made]) if made else None

    def resolved(self, value: Argument) -> int | float:
        """An argument as a number: an address on the device if it is one."""
        if not isinstance(value, Address):
            return value
        buffer = value.buffer
        if buffer.space == "constant":
            return self._constants[buffer.slot] + value.offset
        if buffer.space == "arena":
            return self._arena.address + buffer.offset + value.offset
        if buffer.space == "faults":
            assert self._faults is not None
            return self._faults.memory.address
        ports = self._inputs if buffer.space == "input" else self._outputs
        return ports.memory.address + ports.offsets[buffer.slot] + value.offset

    def run(self, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Arrays in, graph, arrays out.

        Raises InputError where a kernel met a value that it cannot use.
        """
        for place, array in zip(self._inputs.arrays, inputs, strict=True):
            place[...] = array
        ins, outs, stream = self._inputs, self._outputs, self._stream
        if ins.nbytes:
            stream.copy_in(ins.memory.address, ins.pinned.address, ins.nbytes)
        if self._graph is not None:
            stream.launch(self._graph)
        if outs.nbytes:
            stream.copy_out(outs.pinned.address, outs.memory.address, outs.nbytes)
        if self._faults is not None:
            self._faults.fetch(stream)
        stream.wait()
        if self._faults is not None:
            self._faults.raise_first(self._checks)
        return [place.copy() for place in outs.arrays]

    def device_seconds(self, runs: int) -> float:
        """The device's time of one run of the graph."""
        return 0.0 if self._graph is None else self._stream.seconds(self._graph, runs)
