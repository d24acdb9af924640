"""A plan in an arena: its graph, in which all addresses stand, and a run of it.

Arrays go in and out by addresses of their own where they lie on the device; those of the host go
through an arena's staging. Where an address is not that of the last run, the launches that have it
are told.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from layercc.buffers import Address
from layercc.cuda.arenas import Arena
from layercc.cuda.arrays import DeviceArray, DeviceView
from layercc.cuda.blocks import Blocks
from layercc.cuda.faults import NOTHING, RECORD_WORDS
from layercc.cuda.owned import PinnedMemory
from layercc.cuda.streams import Event, Graph, Stream, elapsed
from layercc.jobs.job import Check
from layercc.jobs.workload import Port
from layercc.program import Argument

if TYPE_CHECKING:
    from layercc.cuda.driver import Device
    from layercc.cuda.plan import DevicePlan

#: Bytes: a device copies best from here.
_ALIGNMENT = 256
#: Bytes: no access of kernels is wider. An array that lies otherwise is copied first.
_ACCESS = 16

_ndarray = np.ndarray
#: A word of arguments with the address of a port: node, place among its arguments, bytes behind.
_Place = tuple[int, int, int]


class _Layout:
    """Places of arrays, one behind the other."""

    def __init__(self, ports: Sequence[Port], start: int) -> None:
        self.sizes = [prod(port.shape) * port.dtype.itemsize for port in ports]
        self.offsets = []
        end = start
        for size in self.sizes:
            self.offsets.append(end)
            end += -(-size // _ALIGNMENT) * _ALIGNMENT
        self.start, self.end = start, end


class _Faults:
    """The block through which kernels report values; see `layercc.cuda.faults`."""

    def __init__(self, device: Device, checks: Sequence[Check]) -> None:
        self._checks = checks
        self._clean = np.zeros((len(checks), RECORD_WORDS), np.int64)
        self._clean[:, 0] = NOTHING
        self._device = device
        self.memory = device.allocate(self._clean.nbytes, "reports of kernels")
        self._pinned = device.allocate_pinned(self._clean.nbytes)
        device.upload(self.memory.address, self._clean)

    def fetch(self, stream: Stream) -> None:
        """Queues the copy to the host."""
        stream.copy_out(self._pinned.address, self.memory.address, self._clean.nbytes)

    def forget(self) -> None:
        """Forgets what was reported."""
        self._device.upload(self.memory.address, self._clean)

    def raise_first(self) -> None:
        """Raises the InputError of the first check that met such a value; forgets all."""
        records = self._pinned.bytes.view(np.int64).reshape(-1, RECORD_WORDS)
        met = np.flatnonzero(records[:, 0] != NOTHING)
        if len(met):
            position, value, low, high = map(int, records[met[0]])
            self.forget()
            raise self._checks[met[0]].error(position, value, low, high)


class Instance:
    """One plan in one arena. Only the call that has the arena uses it."""

    def __init__(self, plan: DevicePlan, arena: Arena) -> None:
        program, device = plan.program, plan.device
        self._device = device
        self._inputs = _Layout(program.inputs, 0)
        self._outputs = _Layout(program.outputs, self._inputs.end)
        self._input_ports, self._output_ports = program.inputs, program.outputs
        self._pinned: PinnedMemory | None = None
        self._views: list[np.ndarray] = []  # of inputs, then of outputs, in pinned memory
        self._faults = _Faults(device, program.checks) if program.checks else None
        self._constants = [memory.address for memory in plan.constants]
        self._arena_start = arena.memory.address
        #: Addresses of inputs, then of outputs, as they stand in the graph.
        self._bound = [0] * (len(program.inputs) + len(program.outputs))
        self._places: dict[int, list[_Place]] = defaultdict(list)  # by port
        made = [plan.node(call, self, index) for index, call in enumerate(program.calls)]
        self._nodes = [node for node, _ in made]
        self._words = [words for _, words in made]  # cells of arguments, and pointers to them
        self._graph = device.graph(self._nodes) if made else None
        self._recorder: Graph | None = None
        self._events: list[Event] = []

    def resolved(self, value: Argument, node: int, place: int) -> int | float:
        """An argument as a number: an address on the device if it is one. That of an input or an
        output is written when it is known."""
        if not isinstance(value, Address):
            return value
        buffer = value.buffer
        if buffer.space == "constant":
            return self._constants[buffer.slot] + value.offset
        if buffer.space == "arena":
            return self._arena_start + buffer.offset + value.offset
        if buffer.space == "faults":
            assert self._faults is not None
            return self._faults.memory.address
        port = buffer.slot + (0 if buffer.space == "input" else len(self._inputs.sizes))
        self._places[port].append((node, place, value.offset))
        return value.offset

    def _bind(self, addresses: list[int]) -> None:
        """Has the graph work on arrays at these addresses."""
        if addresses == self._bound:
            return
        changed = set()
        for port, (address, before) in enumerate(zip(addresses, self._bound, strict=True)):
            if address != before:
                for node, place, offset in self._places.get(port, ()):
                    self._words[node][0][place] = address + offset
                    changed.add(node)
        if self._graph is not None:
            self._bound = [-1] * len(addresses)  # should a rewrite fail
            for node in changed:
                self._graph.rewrite(node)
        self._bound = addresses
        self._recorder = None  # has the others

    def _bind_staged(self, start: int) -> None:
        self._bind([start + offset for offset in (*self._inputs.offsets, *self._outputs.offsets)])

    def run(
        self, arena: Arena, inputs: Sequence[np.ndarray], recorded: bool = False
    ) -> list[np.ndarray]:
        """Arrays in, graph, arrays out, and waits.

        Raises InputError where a kernel met a value that it cannot use.
        """
        stream = arena.stream
        arena.settle()
        start = self._stage(arena, pinned=True)
        for view, array in zip(self._views, inputs, strict=False):
            view[...] = array
        if self._inputs.end:
            assert self._pinned is not None
            stream.copy_in(start, self._pinned.address, self._inputs.end)
        self._bind_staged(start)
        graph = self._recorded() if recorded else self._graph
        if graph is not None:
            stream.launch(graph)
        return self._fetch(stream, start)

    def run_there(
        self,
        arena: Arena,
        inputs: Sequence[np.ndarray | DeviceView],
        stream: Stream,
        blocks: Blocks | None,
    ) -> list[Any]:
        """As `run`, on arrays of which some may lie on the device, and on a caller's stream.

        With `blocks` to put results into, these are `DeviceArray`, and nobody waits, unless a
        kernel might have met a value that it cannot use.
        """
        offsets, start = self._inputs.offsets, 0
        addresses = [-1 if isinstance(each, _ndarray) else each.address for each in inputs]
        staged = [index for index, address in enumerate(addresses) if address % _ACCESS]
        if staged or blocks is None:
            arena.settle()  # the staging may be in use
            hosted = blocks is None or -1 in addresses
            start = self._stage(arena, hosted)
            for index in staged:
                self._put(index, inputs[index], start + offsets[index], stream)
                addresses[index] = start + offsets[index]
        else:
            arena.begin(stream)
        outs = self._outputs
        if blocks is not None:
            block = blocks.take(outs.end - outs.start, stream)
            start = block.memory.address - outs.start
        self._bind([*addresses, *[start + offset for offset in outs.offsets]])
        if self._graph is not None:
            stream.launch(self._graph)
        if blocks is None:
            return self._fetch(stream, start)
        arena.queued(stream, inputs)
        block.ready = arena.done
        if self._faults is not None:
            self._faults.fetch(stream)
            stream.wait()
            self._faults.raise_first()
        return [
            DeviceArray(block, offset - outs.start, port.dtype, port.shape)
            for offset, port in zip(outs.offsets, self._output_ports, strict=True)
        ]

    def _put(self, index: int, array: Any, target: int, stream: Stream) -> None:
        """Queues the copy of one input to the staging."""
        size = self._inputs.sizes[index]
        if isinstance(array, _ndarray):
            assert self._pinned is not None
            self._views[index][...] = array
            if size:
                stream.copy_in(target, self._pinned.address + self._inputs.offsets[index], size)
        elif size:
            stream.copy_within(target, array.address, size)

    def _stage(self, arena: Arena, pinned: bool) -> int:
        """The address of an arena's staging, which has room for all inputs and outputs."""
        arena.stage(self._outputs.end, pinned)
        assert arena.staged is not None
        if pinned and arena.pinned is not self._pinned:
            assert arena.pinned is not None
            held, self._pinned = arena.pinned.bytes, arena.pinned
            ports = [*self._input_ports, *self._output_ports]
            offsets = [*self._inputs.offsets, *self._outputs.offsets]
            sizes = [*self._inputs.sizes, *self._outputs.sizes]
            self._views = [
                held[offset : offset + size].view(port.dtype).reshape(port.shape)
                for port, offset, size in zip(ports, offsets, sizes, strict=True)
            ]
        return arena.staged.address

    def _fetch(self, stream: Stream, start: int) -> list[np.ndarray]:
        """Queues the copy of results from the staging, waits, and makes arrays of them."""
        outs = self._outputs
        assert self._pinned is not None
        if nbytes := outs.end - outs.start:
            stream.copy_out(self._pinned.address + outs.start, start + outs.start, nbytes)
        if self._faults is not None:
            self._faults.fetch(stream)
        stream.wait()
        if self._faults is not None:
            self._faults.raise_first()
        return [view.copy() for view in self._views[len(self._input_ports) :]]

    def times(self, arena: Arena, runs: int) -> list[float]:
        """The device's times of runs of the graph, on what lies in the staging."""
        if self._graph is None:
            return [0.0]
        arena.settle()
        self._bind_staged(self._stage(arena, pinned=False))
        times = arena.stream.times(self._graph, runs)
        if self._faults is not None:
            self._faults.forget()
        return times

    def record(
        self, arena: Arena, inputs: Sequence[np.ndarray]
    ) -> tuple[list[np.ndarray], list[float]]:
        """As `run`; also when, in seconds from the first launch on, each launch began on the
        device, and the last one ended."""
        outputs = self.run(arena, inputs, recorded=True)
        events = self._events
        return outputs, [elapsed(events[0], event) for event in events]

    def _recorded(self) -> Graph | None:
        """The graph with events before, between and behind its launches."""
        if self._recorder is None and self._nodes:
            self._events = [Event(self._device, timing=True) for _ in range(len(self._nodes) + 1)]
            self._recorder = self._device.graph(self._nodes, self._events)
        return self._recorder
