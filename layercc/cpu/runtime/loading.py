"""Makes object code callable: copies it to memory, or hands it to LLVM's ORC JIT."""

from __future__ import annotations

import itertools
import os
import sys
import threading
from typing import Any

from layercc.cpu.runtime.linking import NotLinkableError, link
from layercc.runtime.code import CodeMemory


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
