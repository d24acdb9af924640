"""Machine code that is copied to memory and called there."""

from __future__ import annotations

import ctypes
import mmap
import os
import struct
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Image:
    """Machine code that runs wherever it is copied to, once the slots of ``imports`` are filled.

    ``entry`` is the offset of the kernel's function. ``imports`` has, for each function called
    outside the image, the offset of the eight bytes that are to hold its address.
    """

    code: bytes
    entry: int
    imports: dict[str, int]


class CodeMemory:
    """An image in executable memory, which is given back when this object goes.

    Raises RuntimeError where a function it calls is not in the process, or the system allows no
    executable memory.
    """

    def __init__(self, image: Image) -> None:
        size = -(-len(image.code) // mmap.PAGESIZE) * mmap.PAGESIZE
        self._memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self._memory.write(image.code)
        for name, slot in image.imports.items():
            struct.pack_into("<Q", self._memory, slot, _address_of(name))
        # The view keeps the memory where it is: a map with a view cannot be closed.
        self._view = ctypes.c_char.from_buffer(self._memory)
        address = ctypes.addressof(self._view)
        if _c_library().mprotect(address, size, mmap.PROT_READ | mmap.PROT_EXEC):
            reason = os.strerror(ctypes.get_errno())
            raise RuntimeError(f"the system allows no executable memory: {reason}")
        self.entry = address + image.entry


_libraries: dict[str | None, Any] = {}


def _c_library(name: str | None = None) -> Any:
    """What the process has loaded, the C library included, or the library ``name``."""
    if name not in _libraries:
        _libraries[name] = library = ctypes.CDLL(name, use_errno=True)
        if name is None:
            library.mprotect.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    return _libraries[name]


def _address_of(function: str) -> int:
    for name in (None, "libm.so.6"):
        try:
            found = getattr(_c_library(name), function)
        except (AttributeError, OSError):
            continue
        address = ctypes.cast(found, ctypes.c_void_p).value
        assert address is not None
        return address
    raise RuntimeError(f"the C library has no function {function}")
