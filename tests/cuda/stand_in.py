"""A driver that is none: the functions of cuda.bindings.driver that layercc calls, in Python.

Launches are executed by the PTX interpreter; kernels must come as PTX. It is strict: no call
without a context, no memory that is not allocated, no handle that is not alive. Calls are recorded,
and faults can be planted.
"""

from __future__ import annotations

import ctypes
import threading
from collections import Counter
from typing import Any

import numpy as np

from tests.cuda.ptx.machine import launch
from tests.cuda.ptx.memory import Memory
from tests.cuda.ptx.parser import BITS, Kernel, parse

SUCCESS, INVALID_VALUE, OUT_OF_MEMORY, INVALID_CONTEXT, LAUNCH_FAILED = 0, 1, 2, 201, 719
_NAMES = {
    INVALID_VALUE: b"CUDA_ERROR_INVALID_VALUE", OUT_OF_MEMORY: b"CUDA_ERROR_OUT_OF_MEMORY",
    INVALID_CONTEXT: b"CUDA_ERROR_INVALID_CONTEXT", LAUNCH_FAILED: b"CUDA_ERROR_LAUNCH_FAILED",
}  # fmt: skip
#: Bytes of shared memory that a block has unasked, and at most.
MOST_STATIC_SHARED, MOST_SHARED = 48 << 10, 227 << 10
_READ = {"u": ctypes.c_uint64, "s": ctypes.c_int64, "b": ctypes.c_uint64}


class CUDA_KERNEL_NODE_PARAMS:
    """The fields that a launch has."""


class Handle:
    """What the driver gives for a thing; alive until it is destroyed."""

    def __init__(self, kind: str, **fields: Any) -> None:
        self.kind, self.alive = kind, True
        self.__dict__.update(fields)

    def __int__(self) -> int:
        return id(self)


class Stream(Handle):
    """A queue of what is to be done when somebody waits for it."""

    def __init__(self, **fields: Any) -> None:
        super().__init__("stream", **fields)
        self.number = id(self)

    def __int__(self) -> int:
        return self.number


class StandIn:
    """Stands for the module cuda.bindings.driver.

    `calls` are the names of the functions called; `faults` the status that a function returns,
    once, by its name; `limit` the bytes of device memory.
    """

    CUDA_KERNEL_NODE_PARAMS = CUDA_KERNEL_NODE_PARAMS

    def __init__(
        self,
        capability: tuple[int, int] = (9, 0),
        execute: bool = True,
        devices: int = 1,
        shared: int = MOST_SHARED,
    ) -> None:
        self.capability, self.execute, self.devices = capability, execute, devices
        self.shared = shared
        self.memory = Memory()
        self.calls: list[str] = []
        self.faults: dict[str, int] = {}
        self.limit = 1 << 30
        self.version = 13000
        self.lost = False
        self.launched: Counter[str] = Counter()
        self.owners: dict[int, int] = {}  # devices of addresses, where not the first
        self._pinned: dict[int, Any] = {}
        self._streams: dict[int, Handle] = {}
        self._current = threading.local()

    @staticmethod
    def CUdevice_attribute(number: int) -> int:
        return number

    @staticmethod
    def CUfunction_attribute(number: int) -> int:
        return number

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("cu"):
            raise AttributeError(name)
        body = getattr(type(self), f"_{name}", None)
        if body is None:
            raise AttributeError(f"the stand-in has no {name}")

        def call(*arguments: Any) -> tuple[Any, ...]:
            self.calls.append(name)
            if name in self.faults:
                status = self.faults.pop(name)
                self.lost = status == LAUNCH_FAILED
                return (status, None)
            if self.lost and name not in ("cuGetErrorName", "cuGetErrorString"):
                return (LAUNCH_FAILED, None)
            free = name in (
                "cuInit", "cuDriverGetVersion", "cuDeviceGet", "cuDeviceGetCount",
                "cuDeviceGetName", "cuDeviceGetAttribute", "cuDeviceTotalMem",
                "cuDevicePrimaryCtxRetain", "cuCtxGetCurrent", "cuCtxSetCurrent",
                "cuGetErrorName", "cuGetErrorString",
            )  # fmt: skip
            if not free and getattr(self._current, "context", None) is None:
                return (INVALID_CONTEXT, None)
            made = body(self, *arguments)
            if isinstance(made, Status):
                return (made.number, None)
            return (SUCCESS,) if made is None else (SUCCESS, made)

        return call

    # Devices

    def _cuInit(self, flags: int) -> None:
        assert flags == 0

    def CUpointer_attribute(self, number: int) -> int:
        return number

    def CUstream(self, number: int) -> Handle:
        """The stream of a handle; 1 is the one that libraries share."""
        if number not in self._streams:
            assert number == 1, f"{number} is no stream"
            self._streams[number] = Stream(queue=[])
            self._streams[number].number = number
        return self._streams[number]

    def _cuDriverGetVersion(self) -> int:
        return self.version

    def _cuDeviceGetCount(self) -> int:
        return self.devices

    def _cuDeviceGet(self, ordinal: int) -> int:
        return ordinal

    def _cuDeviceGetName(self, length: int, device: int) -> bytes:
        return b"Stand-in".ljust(length, b"\0")

    def _cuDeviceGetAttribute(self, attribute: int, device: int) -> int:
        return {
            75: self.capability[0], 76: self.capability[1], 16: 132, 13: 1_980_000, 36: 2_619_000,
            37: 5120, 38: 50 << 20, 97: self.shared,
        }[attribute]  # fmt: skip

    def _cuDeviceTotalMem(self, device: int) -> int:
        return self.limit

    def _cuDevicePrimaryCtxRetain(self, device: int) -> Handle:
        return Handle("context")

    def _cuCtxGetCurrent(self) -> Any:
        return getattr(self._current, "context", None) or 0

    def _cuCtxSetCurrent(self, context: Any) -> None:
        self._current.context = None if context == 0 else alive(context, "context")

    def _cuGetErrorName(self, status: int) -> bytes:
        return _NAMES[status]

    def _cuGetErrorString(self, status: int) -> bytes:
        return b"as it was planted"

    # Code

    def _cuModuleLoadData(self, image: bytes) -> Any:
        if not image.endswith(b"\0") or image[:1] == b"\x7f":
            return Status(INVALID_VALUE)
        return Handle("module", code=parse(image[:-1].decode("ascii")))

    def _cuModuleGetFunction(self, module: Handle, name: bytes) -> Any:
        code: Kernel = alive(module, "module").code
        return (
            Handle("function", code=code, dynamic=MOST_STATIC_SHARED - code.static_shared)
            if code.name == name.decode()
            else Status(INVALID_VALUE)
        )

    def _cuFuncSetAttribute(self, function: Handle, attribute: int, value: int) -> Any:
        assert attribute == 8
        handle = alive(function, "function")
        if handle.code.static_shared + value > self.shared:
            return Status(INVALID_VALUE)
        handle.dynamic = value
        return None

    # Memory

    def _cuMemAlloc(self, nbytes: int) -> Any:
        if sum(self.memory.sizes.values()) + nbytes > self.limit:
            return Status(OUT_OF_MEMORY)
        return self.memory.allocate(nbytes)

    def _cuMemFree(self, pointer: int) -> None:
        self._finish()
        self.memory.free(pointer)

    def _finish(self) -> None:
        """Does all that is queued: the driver waits before it frees what that may work on."""
        for stream in [*self._streams.values()]:
            if not self.lost:
                self._cuStreamSynchronize(stream)

    def _cuMemHostAlloc(self, nbytes: int, flags: int) -> int:
        memory = (ctypes.c_uint8 * nbytes)()
        self._pinned[ctypes.addressof(memory)] = memory
        return ctypes.addressof(memory)

    def _cuMemFreeHost(self, pointer: int) -> None:
        self._finish()
        del self._pinned[pointer]

    def _is_pinned(self, address: int, nbytes: int) -> bool:
        return any(
            start <= address and address + nbytes <= start + len(memory)
            for start, memory in self._pinned.items()
        )

    def _cuMemcpyHtoD(self, target: int, source: int, nbytes: int) -> None:
        self.memory.write(target, host(source, nbytes))

    def _cuMemcpyDtoH(self, target: int, source: int, nbytes: int) -> None:
        host(target, nbytes)[...] = self.memory.read(source, (nbytes,), np.uint8)

    def _cuMemcpyDtoDAsync(self, target: int, source: int, nbytes: int, stream: Handle) -> None:
        alive(stream, "stream").queue.append(
            lambda: self.memory.write(target, self.memory.read(source, (nbytes,), np.uint8))
        )

    def _cuPointerGetAttribute(self, attribute: int, address: int) -> Any:
        assert attribute == 9
        return self.owners.get(address, 0)

    def _cuMemcpyHtoDAsync(self, target: int, source: int, nbytes: int, stream: Handle) -> None:
        assert self._is_pinned(source, nbytes), "an asynchronous copy from pageable memory"
        alive(stream, "stream").queue.append(
            lambda: self.memory.write(target, host(source, nbytes))
        )

    def _cuMemcpyDtoHAsync(self, target: int, source: int, nbytes: int, stream: Handle) -> None:
        assert self._is_pinned(target, nbytes), "an asynchronous copy to pageable memory"

        def copy() -> None:
            place = self.memory.at(source, nbytes)  # gaps between outputs may be unwritten
            host(target, nbytes)[...] = self.memory.data[place]

        alive(stream, "stream").queue.append(copy)

    # Streams and graphs

    def _cuStreamCreate(self, flags: int) -> Handle:
        made = Stream(queue=[])
        self._streams[int(made)] = made
        return made

    def _cuStreamDestroy(self, stream: Handle) -> None:
        alive(stream, "stream").alive = False
        del self._streams[int(stream)]

    def _cuStreamSynchronize(self, stream: Handle) -> None:
        queue = alive(stream, "stream").queue
        while queue:
            queue.pop(0)()

    def _cuStreamWaitEvent(self, stream: Handle, event: Handle, flags: int) -> None:
        """Whoever waits for what nobody would do has it done."""
        mark, times, where = alive(event, "event"), event.times, event.stream
        alive(stream, "stream").queue.append(lambda: self._reach(mark, times, where))

    def _reach(self, event: Handle, times: int, stream: Handle | None) -> None:
        """Does what is queued on a stream until it has passed a mark so often."""
        while event.done < times:
            assert stream is not None
            stream.queue.pop(0)()

    def _cuEventCreate(self, flags: int) -> Handle:
        return Handle("event", stream=None, times=0, done=0, timed=flags == 0, at=0.0)

    def _cuEventRecord(self, event: Handle, stream: Handle) -> None:
        mark = alive(event, "event")
        mark.times, mark.stream = mark.times + 1, stream
        alive(stream, "stream").queue.append(lambda: self._pass(mark))

    def _pass(self, event: Handle) -> None:
        self._clock = getattr(self, "_clock", 0.0) + 1.0
        event.done, event.at = event.done + 1, self._clock

    def _cuEventSynchronize(self, event: Handle) -> None:
        self._reach(alive(event, "event"), event.times, event.stream)

    def _cuEventElapsedTime(self, first: Handle, last: Handle) -> float:
        """Milliseconds: one from each event to the next that is passed."""
        assert alive(first, "event").timed and alive(last, "event").timed
        assert first.done and last.done, "events that were not reached"
        return float(last.at - first.at)

    def _cuEventDestroy(self, event: Handle) -> None:
        alive(event, "event").alive = False

    def _cuGraphCreate(self, flags: int) -> Handle:
        return Handle("graph", nodes=[])

    def _cuGraphAddKernelNode(
        self, graph: Handle, before: list[Any] | None, count: int, words: Any
    ) -> Any:
        nodes = alive(graph, "graph").nodes
        assert [*(before or [])] == nodes[-1:] and count == len(before or []), "not a chain"
        function = alive(words.func, "function")
        assert (words.gridDimY, words.gridDimZ, words.blockDimY, words.blockDimZ) == (1, 1, 1, 1)
        if words.sharedMemBytes > function.dynamic:
            return Status(INVALID_VALUE)
        arguments = read_arguments(function.code, words.kernelParams)
        node = Handle(
            "node", code=function.code, blocks=words.gridDimX, threads=words.blockDimX,
            dynamic=words.sharedMemBytes, arguments=arguments, event=None,
        )  # fmt: skip
        nodes.append(node)
        return node

    def _cuGraphAddEventRecordNode(
        self, graph: Handle, before: list[Any] | None, count: int, event: Handle
    ) -> Handle:
        nodes = alive(graph, "graph").nodes
        assert [*(before or [])] == nodes[-1:] and count == len(before or []), "not a chain"
        nodes.append(Handle("node", event=alive(event, "event")))
        return nodes[-1]

    def _cuGraphInstantiate(self, graph: Handle, flags: int) -> Handle:
        nodes = alive(graph, "graph").nodes
        given = {int(node): node.arguments for node in nodes if node.event is None}
        return Handle("executable", graph=graph, nodes=[*nodes], arguments=given)

    def _cuGraphExecKernelNodeSetParams(self, graph: Handle, node: Handle, words: Any) -> None:
        made, node = alive(graph, "executable"), alive(node, "node")
        alive(made.graph, "graph")  # its nodes go with it
        assert node in made.nodes and alive(words.func, "function").code is node.code
        assert (words.gridDimX, words.blockDimX) == (node.blocks, node.threads)
        arguments = read_arguments(node.code, words.kernelParams)
        made.arguments = {**made.arguments, int(node): arguments}

    def _cuGraphDestroy(self, graph: Handle) -> None:
        alive(graph, "graph").alive = False

    def _cuGraphExecDestroy(self, graph: Handle) -> None:
        alive(graph, "executable").alive = False

    def _cuGraphLaunch(self, graph: Handle, stream: Handle) -> None:
        nodes, arguments = alive(graph, "executable").nodes, graph.arguments
        for node in nodes:
            if node.event is not None:
                node.event.times, node.event.stream = node.event.times + 1, stream

        def run() -> None:
            for node in nodes:
                if node.event is not None:
                    self._pass(node.event)
                    continue
                self.launched[node.code.name] += 1
                if self.execute:
                    launch(node.code, self.memory, (node.blocks, 1, 1), node.threads,
                           arguments[int(node)], node.dynamic)  # fmt: skip

        alive(stream, "stream").queue.append(run)


def install(**options: Any) -> StandIn:
    """Makes a stand-in the driver of this process, for good; kernels are then made as PTX."""
    import os

    from layercc.cuda import driver
    from layercc.cuda.codegen import assembler

    made = StandIn(**options)
    driver.bindings = lambda: made
    os.environ[assembler.VARIABLE] = ""
    driver.device.cache_clear()
    assembler.find_assembler.cache_clear()
    return made


class Status:
    """What a function of the stand-in gives instead of its result."""

    def __init__(self, number: int) -> None:
        self.number = number


def alive(handle: Any, kind: str) -> Any:
    assert isinstance(handle, Handle) and handle.kind == kind and handle.alive, f"no {kind}"
    return handle


def host(address: int, nbytes: int) -> np.ndarray:
    return np.frombuffer((ctypes.c_uint8 * nbytes).from_address(address), np.uint8)


def read_arguments(kernel: Kernel, pointers: int) -> list[int | float]:
    """The arguments behind an array of pointers, each of the size that the kernel declares."""
    found: list[int | float] = []
    places = (ctypes.c_int64 * len(kernel.parameters)).from_address(pointers)
    for place, (kind, _) in zip(places, kernel.parameters, strict=True):
        raw = bytes((ctypes.c_uint8 * (BITS[kind] // 8)).from_address(place))
        if kind[0] == "f":
            found.append(float(np.frombuffer(raw, f"f{len(raw)}")[0]))
        else:
            found.append(int.from_bytes(raw, "little", signed=kind[0] == "s"))
    return found
