"""Makes object code callable: copies it to memory, or hands it to LLVM's ORC JIT."""

from __future__ import annotations

import ctypes
import itertools
import mmap
import os
import struct
import sys
import threading
from typing import Any

from layercc.cpu.runtime.linking import Image, NotLinkableError, link


def load_object(code: bytes, symbol: str) -> tuple[int, object]:
    """Load object code; the address of the function ``symbol`` and the owner of its memory.

    Raises RuntimeError where the code does not link.
    """
    if sys.platform == "linux":
        try:
            memory = CodeMemory(link(code, symbol))
        except NotLinkableError:
            pass
        else:
            return memory.entry, memory
    return load_with_llvm(code, symbol)


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


class _Orc:
    """One ORC JIT for the process, made when first needed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._numbers = itertools.count()
        self._jit: Any = None

    def load(self, code: bytes, symbol: str) -> tuple[int, object]:
        import llvmlite.binding as llvm  # 40 MB

        with self._lock:
            if self._jit is None:
                llvm.initialize_native_target()
                llvm.initialize_native_asmprinter()
                self._jit = llvm.create_lljit_compiler(use_jit_link=True, suppress_errors=True)
            builder = llvm.JITLibraryBuilder().add_object_img(code).add_current_process()
            library = builder.export_symbol(symbol).link(self._jit, f"object{next(self._numbers)}")
            return library[symbol], library


_orc = _Orc()


def load_with_llvm(code: bytes, symbol: str) -> tuple[int, object]:
    """``load_object`` for whatever machine and file format LLVM knows."""
    return _orc.load(code, symbol)


def _after_fork_in_child() -> None:
    # Another thread of the parent may have held it.
    _orc._lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
