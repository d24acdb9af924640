"""A program on a device: kernels loaded, constants uploaded, and graphs of its launches.

A running call has an arena of the model's, and an instance of the plan in it, which has a graph in
which all addresses stand.
"""

from __future__ import annotations

import functools
import itertools
import time
import weakref
from collections.abc import Callable, Sequence
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from ir.diagnostics import InputError
from layercc.cuda.architecture import Architecture
from layercc.cuda.arenas import Arena, Arenas, keep
from layercc.cuda.arrays import DeviceArray, DeviceView, stream_number, taken
from layercc.cuda.blocks import Blocks
from layercc.cuda.card import card_of
from layercc.cuda.driver import Device, Node
from layercc.cuda.instance import Instance
from layercc.cuda.owned import Memory
from layercc.cuda.paper import PaperPlan
from layercc.cuda.streams import Stream
from layercc.kernels.cache import CompiledKernel
from layercc.kernels.declaration import KernelKey
from layercc.kernels.element_types import FLOATS, SCALAR
from layercc.limits import Limits
from layercc.program import KernelCall, Program
from layercc.target import DeviceMemory, DeviceRunnable

if TYPE_CHECKING:
    from layercc.recording import Recording


_numbers = itertools.count()


class Shared(DeviceMemory):
    """What the plans of one model have in common on a device: constants, by the `id` of their
    arrays, which programs hold; arenas; and memory for results."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self.arenas = Arenas(device)
        self.blocks = Blocks(device)
        self._constants: weakref.WeakValueDictionary[int, Memory] = weakref.WeakValueDictionary()

    def stream(self, given: Any) -> Stream:
        return self.device.stream_of(stream_number(given))

    def taken(self, given: Any, stream: Stream) -> DeviceView | None:
        return taken(given, self.device, stream)

    def host(self, array: DeviceView, stream: Stream) -> np.ndarray:
        made = np.empty(array.shape, array.dtype)
        before = self.device.enter()
        try:
            stream.wait()
            self.device.download(array.address, made)
        finally:
            self.device.leave(before)
        return made

    def put(self, array: np.ndarray, stream: Stream) -> DeviceArray:
        before = self.device.enter()
        try:
            block = self.blocks.take(array.nbytes, stream)
            stream.wait()  # the memory may have been another result's
            self.device.upload(block.memory.address, array)
        finally:
            self.device.leave(before)
        return DeviceArray(block, 0, array.dtype, array.shape)

    def constant(self, array: np.ndarray) -> Memory:
        """A constant on the device, for the first plan that has it."""
        memory = self._constants.get(id(array))
        if memory is None:
            memory = self.device.allocate(array.nbytes, f"a constant of {array.shape}")
            self.device.upload(memory.address, array)
            self._constants[id(array)] = memory
        return memory


class DevicePlan(PaperPlan, DeviceRunnable):
    """A plan that runs.

    `shared` is what the plans of the model have in common.
    """

    def __init__(
        self,
        program: Program,
        kernels: dict[KernelKey, CompiledKernel],
        architecture: Architecture,
        precision: str,
        shared: Shared,
    ) -> None:
        super().__init__(program, kernels, architecture, precision)
        self.device = device = shared.device
        self._shared = shared
        self._number = next(_numbers)
        before = device.enter()
        try:
            self._functions = {
                key: device.load(kernel.code, kernel.symbol, int(kernel.facts["dynamic"]))
                for key, kernel in kernels.items()
            }
            self.constants = [shared.constant(array) for array in program.constants]
        finally:
            device.leave(before)

    def __del__(self) -> None:
        if shared := getattr(self, "_shared", None):
            shared.arenas.forget(self._number)

    @property
    def limits(self) -> Limits:
        return card_of(self.device).limits(self.precision)

    def run(self, inputs: Sequence[np.ndarray], threads: int = 1) -> list[np.ndarray]:
        """Runs on dense arrays of the planned shapes and dtypes, in port order.

        Raises InputError where a kernel met a value that it cannot use, DeviceError where the
        device fails, MemoryLimitError where its memory does not suffice.
        """
        return self._in_arena(lambda instance, arena: instance.run(arena, inputs))

    def run_there(self, inputs: Sequence[Any], stream: Any, stay: bool) -> list[Any]:
        """As `run`, on arrays of which some may lie on the device, on a caller's stream. If results
        are to `stay`, they are `DeviceArray`, and may not be computed yet."""
        blocks = self._shared.blocks if stay else None
        return self._in_arena(
            lambda instance, arena: instance.run_there(arena, inputs, stream, blocks)
        )

    def record(
        self, inputs: Sequence[np.ndarray], threads: int = 1
    ) -> tuple[list[np.ndarray], Recording]:
        """As `run`; each launch is timed by the device."""
        from layercc.recording import EVENT, Recording

        begun = time.perf_counter()
        outputs, times = self._in_arena(lambda instance, arena: instance.record(arena, inputs))
        seconds = time.perf_counter() - begun
        rows = [
            (index, 0, 0, call.tasks, call.tasks, times[index], times[index + 1])
            for index, call in enumerate(self.program.calls)
        ]
        events = np.array(rows, EVENT)
        return outputs, Recording(lambda: events, begun, seconds, **self._described)

    @functools.cached_property
    def _described(self) -> dict[str, Any]:
        """What all recordings of this plan have in common."""
        from layercc.description import described

        return described(self.program)

    def device_seconds(self, runs: int = 20) -> float:
        """What the launches alone take on the device: the median over runs one behind the other, on
        what the last run of arrays of the host has left there. For measuring, behind a run."""
        return median(self._in_arena(lambda instance, arena: instance.times(arena, runs)))

    def _in_arena(self, work: Callable[[Instance, Arena], Any]) -> Any:
        """What `work` makes of an instance of the plan, in an arena that no other call uses."""
        device, arenas, nbytes = self.device, self._shared.arenas, self.program.arena_bytes
        before = device.enter()
        try:
            arena = arenas.take(nbytes)
            instance = arena.instances.get(self._number)
            if instance is None:
                instance = Instance(self, arena)
                keep(arena, self._number, instance)
            try:
                made = work(instance, arena)
            except InputError:
                arenas.give_back(arena, nbytes)
                raise
            arenas.give_back(arena, nbytes)  # not after another fault: what it holds may be lost
        finally:
            device.leave(before)
        return made

    def node(
        self, call: KernelCall, bases: Instance, number: int
    ) -> tuple[Node, tuple[np.ndarray, ...]]:
        """A launch, of this number, with the addresses of an instance; and the arrays that hold its
        arguments, a cell each, and the addresses of the cells."""
        kernel = self.kernels[call.key]
        cells = np.zeros(max(len(kernel.signature), 1), np.int64)
        for index, argument in enumerate(kernel.signature):
            if argument.name not in call.arguments and not argument.kind.optional:
                raise TypeError(f"call of kernel {call.key}: argument {argument.name} is missing")
            value = call.arguments.get(argument.name, 0)
            _write(
                cells[index : index + 1], argument.kind.word, bases.resolved(value, number, index)
            )
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
