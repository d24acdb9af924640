"""NVIDIA's driver, as far as it is needed to run plans. The only file that imports cuda.bindings.

Everything is done in the primary context of a device, which other libraries of the process share.
"""

from __future__ import annotations

import functools
import os
import threading
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ir.diagnostics import LayerccError, MemoryLimitError
from ir.units import amount
from layercc.cuda.owned import Memory, Owned, PinnedMemory
from layercc.cuda.streams import Event, Graph, Stream

_NON_BLOCKING = 1  # CU_STREAM_NON_BLOCKING
_OUT_OF_MEMORY = 2  # CUDA_ERROR_OUT_OF_MEMORY
_MAJOR, _MINOR = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, _MINOR
_MULTIPROCESSORS = 16  # CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT
#: CU_DEVICE_ATTRIBUTE_CLOCK_RATE and _MEMORY_CLOCK_RATE in kHz, _GLOBAL_MEMORY_BUS_WIDTH in bits,
#: _L2_CACHE_SIZE in bytes.
_CLOCKS = 13, 36, 37, 38
_SHARED_OF_BLOCK = 97  # CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN
_MOST_DYNAMIC_SHARED = 8  # CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
_POINTER_DEVICE = 9  # CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL


#: What each function is called for, as errors say it.
_DOING = {
    "cuModuleLoadData": "loading a kernel",
    "cuModuleGetFunction": "looking up a kernel",
    "cuFuncSetAttribute": "giving a kernel dynamic shared memory",
    "cuMemAlloc": "reserving device memory",
    "cuMemHostAlloc": "reserving pinned host memory",
    "cuMemcpyHtoD": "copying to the device",
    "cuMemcpyHtoDAsync": "copying to the device",
    "cuMemcpyDtoDAsync": "copying on the device",
    "cuMemcpyDtoH": "copying from the device",
    "cuMemcpyDtoHAsync": "copying from the device",
    "cuStreamCreate": "making a stream",
    "cuStreamWaitEvent": "ordering two streams",
    "cuEventCreate": "making an event",
    "cuEventRecord": "marking a place in a stream",
    "cuEventSynchronize": "waiting for the device",
    "cuStreamSynchronize": "waiting for the device",
    "cuGraphCreate": "building the graph of a plan",
    "cuGraphAddKernelNode": "adding a launch to the graph of a plan",
    "cuGraphAddEventRecordNode": "adding an event to the graph of a plan",
    "cuGraphInstantiate": "making the graph of a plan executable",
    "cuGraphExecKernelNodeSetParams": "writing addresses of arrays into the graph of a plan",
    "cuGraphLaunch": "launching the graph of a plan",
    "cuPointerGetAttribute": "asking where an array lies",
}  # fmt: skip
#: Statuses after which nothing works in this process any more: ECC error, illegal address, launch
#: timeout, illegal instruction, misaligned address, address space, program counter, launch failure.
_LOSING = {214, 700, 702, 714, 715, 716, 717, 718, 719}
#: The handle of the stream that libraries of a process share unless they are told otherwise:
#: CU_STREAM_LEGACY.
LEGACY_STREAM = 1


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
    """A device, by its number, in its primary context.

    Whoever calls the driver is between `enter` and `leave`.
    """

    def __init__(self, ordinal: int) -> None:
        self._api = bindings()
        self.lost = ""  # why nothing works any more
        if _forked:
            raise NoDeviceError(_FORKED)
        try:
            (status,) = self._api.cuInit(0)
        except RuntimeError as error:  # of cuda.pathfinder: no libcuda
            raise NoDeviceError(f"no NVIDIA driver: {error}") from None
        if int(status):
            raise NoDeviceError(f"no NVIDIA device: cuInit says {self._name(status)}")
        #: The CUDA that the driver serves: major, minor.
        self.version = divmod(int(self.do("cuDriverGetVersion")) // 10, 100)
        count = self.do("cuDeviceGetCount")
        if not 0 <= ordinal < count:
            raise NoDeviceError(f"no device cuda:{ordinal}; there are {count}")
        handle = self.do("cuDeviceGet", ordinal)
        self.ordinal = ordinal
        self.name = self.do("cuDeviceGetName", 256, handle).rstrip(b"\0 ").decode()
        self._attribute = lambda number: int(
            self.do("cuDeviceGetAttribute", self._api.CUdevice_attribute(number), handle)
        )
        self.capability = self._attribute(_MAJOR), self._attribute(_MINOR)
        self.multiprocessors = self._attribute(_MULTIPROCESSORS)
        self.shared_of_block = self._attribute(_SHARED_OF_BLOCK)
        self.memory = int(self.do("cuDeviceTotalMem", handle))
        self._context = self.do("cuDevicePrimaryCtxRetain", handle)
        self._context_number = int(self._context)
        self.legacy = Stream(self, self._api.CUstream(LEGACY_STREAM))
        self._reserves: weakref.WeakSet[Any] = weakref.WeakSet()
        _devices.add(self)

    def __str__(self) -> str:
        return f"cuda:{self.ordinal} ({self.name})"

    def _name(self, status: Any) -> str:
        _, name = self._api.cuGetErrorName(status)
        _, text = self._api.cuGetErrorString(status)
        return " ".join(part.decode() for part in (name, text) if part) or f"error {int(status)}"

    def do(self, function: str, *arguments: Any) -> Any:
        """Calls the driver.

        Raises MemoryLimitError where memory does not suffice, DeviceError for any other fault, that
        of an earlier launch included.
        """
        status, *made = getattr(self._api, function)(*arguments)
        if int(status):
            raise self._fault(function, status)
        return made[0] if len(made) == 1 else made or None

    def _fault(self, function: str, status: Any) -> LayerccError:
        what = f", {_DOING[function]}" if function in _DOING else ""
        fault = f"{function}{what}, says {self._name(status)}"
        if int(status) == _OUT_OF_MEMORY:
            return MemoryLimitError(fault)
        if int(status) in _LOSING:
            self.lost = self.lost or fault
            fault += "; some launch before may be to blame, and the device is lost to this process"
        return DeviceError(f"{self}: {fault}" if hasattr(self, "name") else fault)

    def enter(self) -> Any:
        """Makes the context that of the calling thread; gives what is to be given to `leave`.

        Raises DeviceError for a device that is lost to this process.
        """
        if self.lost:
            raise DeviceError(f"{self} is lost to this process: {self.lost}")
        before = self.do("cuCtxGetCurrent")
        if int(before) == self._context_number:
            return None
        self.do("cuCtxSetCurrent", self._context)
        return before

    def leave(self, before: Any) -> None:
        """Gives the calling thread back the context that it had: other libraries look at it."""
        if before is not None and not self.lost:
            self.do("cuCtxSetCurrent", before)

    def clocks(self) -> tuple[int, ...]:
        """The highest clocks of multiprocessors and memory in kHz, the width of the memory's bus in
        bits, and the bytes of the cache of the second level."""
        return tuple(map(self._attribute, _CLOCKS))

    # Code

    def load(self, code: bytes, symbol: str, dynamic: int = 0) -> Any:
        """The kernel `symbol` of a cubin, or of PTX, which the driver then compiles; its launches
        ask for so many bytes of dynamic shared memory.

        It stays for as long as the process.
        """
        module = self.do("cuModuleLoadData", code + b"\0")
        function = self.do("cuModuleGetFunction", module, symbol.encode())
        if dynamic:
            most = self._api.CUfunction_attribute(_MOST_DYNAMIC_SHARED)
            self.do("cuFuncSetAttribute", function, most, dynamic)
        return function

    # Memory

    def allocate(self, nbytes: int, what: str) -> Memory:
        """Device memory, aligned to 256 bytes; it is freed with the object.

        Raises MemoryLimitError where there is not so much, without what is held in reserve.
        """
        try:
            pointer = self._with_reserves("cuMemAlloc", max(nbytes, 1))
        except MemoryLimitError as error:
            raise MemoryLimitError(
                f"no room for {what} ({amount(nbytes, 'B')}) in the memory of {self.name} "
                f"({amount(self.memory, 'B')}): {error}"
            ) from None
        return Memory(self, int(pointer), nbytes, "cuMemFree")

    def allocate_pinned(self, nbytes: int) -> PinnedMemory:
        """Host memory that the device copies from and to directly; it is freed with the object."""
        try:
            pointer = self._with_reserves("cuMemHostAlloc", max(nbytes, 1), 0)
        except MemoryLimitError as error:
            raise MemoryLimitError(
                f"no room for {amount(nbytes, 'B')} of pinned host memory, through which arrays go "
                f"to {self.name} and back: {error}"
            ) from None
        return PinnedMemory(self, int(pointer), nbytes, "cuMemFreeHost")

    def _with_reserves(self, function: str, *arguments: Any) -> Any:
        try:
            return self.do(function, *arguments)
        except MemoryLimitError:
            with _lock:
                reserves = [*self._reserves]
            if not any(reserve.nbytes for reserve in reserves):
                raise
            for reserve in reserves:
                reserve.clear()
            return self.do(function, *arguments)

    def add_reserve(self, reserve: Any) -> None:
        """What holds memory that nobody uses, and is told to `clear` where memory runs short."""
        with _lock:
            self._reserves.add(reserve)

    def free(self, function: str, handle: Any) -> None:
        """Gives a thing back; nothing is raised, for it may be at the end of the process."""
        if self.lost:
            return
        _, before = self._api.cuCtxGetCurrent()
        self._api.cuCtxSetCurrent(self._context)
        getattr(self._api, function)(handle)
        self._api.cuCtxSetCurrent(before)

    def upload(self, address: int, array: np.ndarray) -> None:
        """Copies a dense array to device memory, and waits."""
        if array.nbytes:
            self.do("cuMemcpyHtoD", address, array.ctypes.data, array.nbytes)

    def download(self, address: int, array: np.ndarray) -> None:
        """Copies device memory to a dense array, and waits for this copy."""
        if array.nbytes:
            self.do("cuMemcpyDtoH", array.ctypes.data, address, array.nbytes)

    def owner(self, address: int) -> int:
        """The number of the device that memory at an address belongs to."""
        attribute = self._api.CUpointer_attribute(_POINTER_DEVICE)
        return int(self.do("cuPointerGetAttribute", attribute, address))

    # Work

    def stream(self) -> Stream:
        """A stream of its own."""
        handle = self.do("cuStreamCreate", _NON_BLOCKING)
        return Stream(self, handle, Owned(self, handle, "cuStreamDestroy"))

    def stream_of(self, number: int) -> Stream:
        """The caller's stream of this handle."""
        if number == LEGACY_STREAM:
            return self.legacy
        return Stream(self, self._api.CUstream(number))

    def graph(self, nodes: Sequence[Node], events: Sequence[Event] = ()) -> Graph:
        """Launches, one behind the other, as one executable graph. `events`, one more than there
        are nodes, are recorded before, between and behind them."""
        graph = self.do("cuGraphCreate", 0)
        before: list[Any] = []
        made = []

        def append(function: str, what: Any) -> Any:
            before[:] = [self.do(function, graph, before or None, len(before), what)]
            return before[0]

        for index, node in enumerate(nodes):
            if events:
                append("cuGraphAddEventRecordNode", events[index].handle)
            words = self._api.CUDA_KERNEL_NODE_PARAMS()
            words.func = node.function
            words.gridDimX, words.gridDimY, words.gridDimZ = node.blocks, 1, 1
            words.blockDimX, words.blockDimY, words.blockDimZ = node.threads, 1, 1
            words.sharedMemBytes = node.dynamic
            words.kernelParams = node.parameters
            made.append((append("cuGraphAddKernelNode", words), words))
        if events:
            append("cuGraphAddEventRecordNode", events[-1].handle)
        return Graph(self, graph, made, self.do("cuGraphInstantiate", graph, 0))


@functools.cache
def device(ordinal: int) -> Device:
    """The device of a number; raises NoDeviceError where there is none."""
    return Device(ordinal)


_lock = threading.Lock()
_devices: weakref.WeakSet[Device] = weakref.WeakSet()
_forked = False
_FORKED = (
    "this process was forked from one that had used the GPU, and the driver does not live on in "
    "the child: multiprocessing's methods 'spawn' and 'forkserver' would fit, or no use of the GPU "
    "before the fork"
)


def _after_fork_in_child() -> None:
    global _forked
    for each in [*_devices]:
        each.lost = _FORKED
        _forked = True
    device.cache_clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
