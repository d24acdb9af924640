"""Things of the driver's that go with the objects that stand for them."""

from __future__ import annotations

import ctypes
import functools
import weakref
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from layercc.cuda.driver import Device


class Owned:
    """Goes, by one of the driver's functions, with the object."""

    def __init__(self, device: Device, handle: Any, function: str) -> None:
        self.device = device
        self.handle = handle
        self._finalizer = weakref.finalize(self, device.free, function, handle)
        self._finalizer.atexit = False  # the process takes it along


class Memory(Owned):
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
