"""Calls kernels from tests: NumPy arrays and numbers in, as argument words."""

# mypy: ignore-errors

import ctypes

import numpy as np

from layercc.cpu.isa import host_isa
from layercc.cpu.numba_target import compile_library
from layercc.cpu.runtime.loading import load_object
from layercc.kernels.declaration import KernelFamily

ENTRY = ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_void_p)


def argument_words(signature, values):
    """The block of argument words for ``values``, given in the order of ``signature``."""
    words = []
    for argument, value in zip(signature, values, strict=True):
        if argument.kind.word == "pointer":
            words.append(value.ctypes.data)
        elif argument.kind.word in ("int", "i32"):
            words.append(value)
        else:
            words.append(int(np.float64(value).view(np.int64)))
    return np.array(words, np.int64)


class NativeFunction:
    """``body`` compiled and loaded; call it with a task and values."""

    def __init__(self, body, **options):
        family = KernelFamily(body, **options)
        self.signature = family.signature(body)
        name = body.__name__
        library = compile_library(
            body,
            family.parameters(body),
            name,
            host_isa(),
            noalias=family.noalias,
            unroll=family.unroll,
        )
        self.code = bytes(library.emit_native_object())
        self.assembly = library.get_asm_str()
        self.address, self._owner = load_object(self.code, name)
        self._function = ENTRY(self.address)

    def __call__(self, task, *values):
        words = argument_words(self.signature, values)
        self._function(task, words.ctypes.data)
