"""NVIDIA's driver, as far as it is needed to run plans. The only file that imports cuda.bindings.

Everything is done in the primary context of a device, which other libraries of the process share.
"""

from __future__ import annotations

import ctypes
import functools
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ir.diagnostics import LayerccError, MemoryLimitError
from ir.units import amount

_NON_BLOCKING = 1  # CU_STREAM_NON_BLOCKING
_OUT_OF_MEMORY = 2  # CUDA_ERROR_OUT_OF_MEMORY
_MAJOR, _MINOR = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, _MINOR
_MULTIPROCESSORS = 16  # CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT

_MOST_DYNAMIC_SHARED = 8  # CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES


class DeviceError(LayerccError, RuntimeError):
    """The driver could not do what it was asked for; after most such errors the context is lost."""


class NoDeviceError(LayerccError, RuntimeError):
    """There is no device to run on, or nothing to reach it with."""


@dataclass(frozen=True)
class Node:
    """One launch of a graph: `blocks` along x, the address of an array of pointers to the
    arguments, which are copied when the graph is made, and bytes of dynamic shared memory."""

    function: Any
    blocks: int
    threads: int
    parameters: int
    dynamic: int = 0


def bindings() -> Any:
    """The module cuda.bindings.driver.

    Raises NoDeviceError where it is not installed.
    """
    try:
        from cuda.bindings import driver
    except ImportError as error:
        raise NoDeviceError(
            f"a GPU is reached through the package cuda-bindings, which cannot be imported "
            f"({error}): pip install 'layercc[cuda]'"
        ) from None
    return driver


class Device:
    """A device, by its number, in its primary context."""

    def __init__(self, ordinal: int) -> None:
        self._api = bindings()
        try:
            (status,) = self._api.cuInit(0)
        except RuntimeError as error:  # of cuda.pathfinder: no libcuda
            raise NoDeviceError(f"no NVIDIA driver: {error}") from None
        if int(status):
            raise NoDeviceError(f"no NVIDIA device: cuInit says {self._name(status)}")
        count = self._do("cuDeviceGetCount")
        if not 0 <= ordinal < count:
            raise NoDeviceError(f"no device cuda:{ordinal}; there are {count}")
        handle = self._do("cuDeviceGet", ordinal)
        self.ordinal = ordinal
        self.name = self._do("cuDeviceGetName", 256, handle).rstrip(b"\0 ").decode()
        attributes = self._api.CUdevice_attribute
        ask = functools.partial(self._do, "cuDeviceGetAttribute")
        self.capability = (
            int(ask(attributes(_MAJOR), handle)),
            int(ask(attributes(_MINOR), handle)),
        )
        self.multiprocessors = int(ask(attributes(_MULTIPROCESSORS), handle))
        self.memory = int(self._do("cuDeviceTotalMem", handle))
        self._context = self._do("cuDevicePrimaryCtxRetain", handle)
        self.activate()

    def _name(self, status: Any) -> str:
        _, name = self._api.cuGetErrorName(status)
        _, text = self._api.cuGetErrorString(status)
        return " ".join(part.decode() for part in (name, text) if part) or f"error {int(status)}"

    def _do(self, function: str, *arguments: Any) -> Any:
        """Calls the driver.

        Raises MemoryLimitError where device memory does not suffice, DeviceError for any other
        fault, that of an earlier launch included.
        """
        status, *made = getattr(self._api, function)(*arguments)
        if int(status):
            fault = f"{function} says {self._name(status)}"
            if int(status) == _OUT_OF_MEMORY:
                raise MemoryLimitError(fault)
            raise DeviceError(fault)
        return made[0] if len(made) == 1 else made or None

    def activate(self) -> None:
        """Makes the context that of the calling thread."""
        self._do("cuCtxSetCurrent", self._context)

    # Code

    def load(self, code: bytes, symbol: str, dynamic: int = 0) -> Any:
        """The kernel `symbol` of a cubin, or of PTX, which the driver then compiles; its launches
        ask for so many bytes of dynamic shared memory.

        It stays for as long as the process.
        """
        module = self._do("cuModuleLoadData", code + b"\0")
        function = self._do("cuModuleGetFunction", module, symbol.encode())
        if dynamic:
            most = self._api.CUfunction_attribute(_MOST_DYNAMIC_SHARED)
            self._do("cuFuncSetAttribute", function, most, dynamic)
        return function

    # Memory

    def allocate(self, nbytes: int, what: str) -> Memory:
        """Device memory, aligned to 256 bytes; it is freed with the object.

        Raises MemoryLimitError where there is not so much.
        """
        try:
            pointer = self._do("cuMemAlloc", max(nbytes, 1))
        except MemoryLimitError as error:
            raise MemoryLimitError(
                f"no room for {what} ({amount(nbytes, 'B')}) in the memory of {self.name} "
                f"({amount(self.memory, 'B')}): {error}"
            ) from None
        return Memory(self, int(pointer), nbytes, "cuMemFree")

    def allocate_pinned(self, nbytes: int) -> PinnedMemory:
        """Host memory that the device copies from and to directly; it is freed with the object."""
        pointer = self._do("cuMemHostAlloc", max(nbytes, 1), 0)
        return PinnedMemory(self, int(pointer), nbytes, "cuMemFreeHost")

    def free(self, function: str, pointer: int) -> None:
        """Gives memory back; nothing is raised, for it may be at the end of the process."""
        self._api.cuCtxSetCurrent(self._context)
        getattr(self._api, function)(pointer)

    def upload(self, memory: Memory, array: np.ndarray) -> None:
        """Copies a dense array to device memory, and waits."""
        if array.nbytes:
            self._do("cuMemcpyHtoD", memory.address, array.ctypes.data, array.nbytes)

    # Work

    def stream(self) -> Stream:
        """A stream of its own."""
        return Stream(self, self._do("cuStreamCreate", _NON_BLOCKING))

    def graph(self, nodes: Sequence[Node]) -> Graph:
        """Launches, one behind the other, as one executable graph."""
        graph = self._do("cuGraphCreate", 0)
        before: list[Any] = []
        for node in nodes:
            words = self._api.CUDA_KERNEL_NODE_PARAMS()
            words.func = node.function
            words.gridDimX, words.gridDimY, words.gridDimZ = node.blocks, 1, 1
            words.blockDimX, words.blockDimY, words.blockDimZ = node.threads, 1, 1
            words.sharedMemBytes = node.dynamic
            words.kernelParams = node.parameters
            before = [self._do("cuGraphAddKernelNode", graph, before or None, len(before), words)]
        made = self._do("cuGraphInstantiate", graph, 0)
        self._do("cuGraphDestroy", graph)
        return Graph(self, made)


class _Owned:
    """A thing of the driver's that goes with the object."""

    def __init__(self, device: Device, handle: Any, function: str) -> None:
        self.device = device
        self._handle = handle
        self._finalizer = weakref.finalize(self, device.free, function, handle)
        self._finalizer.atexit = False  # the process takes it along


class Memory(_Owned):
    """A stretch of memory at `address`."""

    def __init__(self, device: Device, address: int, nbytes: int, function: str) -> None:
        super().__init__(device, address, function)
        self.address = address
        self.nbytes = nbytes


class PinnedMemory(Memory):
    """Memory of the host; `bytes` is an array of it, which must not outlive it."""

    @functools.cached_property
    def bytes(self) -> np.ndarray:
        memory = (ctypes.c_uint8 * self.nbytes).from_address(self.address)
        return np.ctypeslib.as_array(memory)


class Graph(_Owned):
    """An executable graph."""

    def __init__(self, device: Device, handle: Any) -> None:
        super().__init__(device, handle, "cuGraphExecDestroy")


class Stream(_Owned):
    """A queue of work."""

    def __init__(self, device: Device, handle: Any) -> None:
        super().__init__(device, handle, "cuStreamDestroy")

    def copy_in(self, target: int, source: int, nbytes: int) -> None:
        """Queues a copy from pinned to device memory."""
        self.device._do("cuMemcpyHtoDAsync", target, source, nbytes, self._handle)

    def copy_out(self, target: int, source: int, nbytes: int) -> None:
        """Queues a copy from device to pinned memory."""
        self.device._do("cuMemcpyDtoHAsync", target, source, nbytes, self._handle)

    def launch(self, graph: Graph) -> None:
        """Queues a graph."""
        self.device._do("cuGraphLaunch", graph._handle, self._handle)

    def seconds(self, graph: Graph, runs: int) -> float:
        """The device's own time of a graph, of so many runs one behind the other; waits."""
        do = self.device._do
        first, last = do("cuEventCreate", 0), do("cuEventCreate", 0)
        do("cuEventRecord", first, self._handle)
        for _ in range(runs):
            self.launch(graph)
        do("cuEventRecord", last, self._handle)
        do("cuEventSynchronize", last)
        milliseconds = do("cuEventElapsedTime", first, last)
        for event in (first, last):
            do("cuEventDestroy", event)
        return float(milliseconds) / 1e3 / runs

    def wait(self) -> None:
        """Waits for all that was queued; raises DeviceError for what went wrong in it."""
        self.device._do("cuStreamSynchronize", self._handle)


@functools.cache
def device(ordinal: int) -> Device:
    """The device of a number; raises NoDeviceError where there is none."""
    return Device(ordinal)
