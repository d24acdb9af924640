"""DLPack by ctypes: what a capsule holds, and capsules of one's own.

The structures are those of dlpack.h, version 0.8 (https://dmlc.github.io/dlpack), which all
libraries still exchange unless both ask for more; the protocol is that of the array API standard.
"""

from __future__ import annotations

import ctypes
import functools
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np

from ir.dtypes import DType

#: Kinds of devices: DLDeviceType.
CPU, CUDA, CUDA_HOST, ROCM_HOST, CUDA_MANAGED = 1, 2, 3, 11, 13

# DLDataTypeCode, with the bits of an element.
_CODES = {"signed": 0, "unsigned": 1, "float": 2, "complex": 5, "bool": 6}
_OF_DTYPE: dict[DType, tuple[int, int]] = {
    d: (_CODES[d.kind], 8 * d.itemsize) for d in DType if d.bits >= 8 and d.value.isbuiltin == 1
} | {
    DType.bf16: (4, 16), DType.f8e4m3fn: (10, 8), DType.f8e4m3fnuz: (11, 8), DType.f8e5m2: (12, 8),
    DType.f8e5m2fnuz: (13, 8), DType.f8e8m0fnu: (14, 8),
}  # fmt: skip
_DTYPES = {key: dtype.value for dtype, key in _OF_DTYPE.items()}

_NAME = b"dltensor"
_TENSOR = struct.Struct(
    "<QiiiBBHQQQ"
)  # DLTensor: data, device, ndim, dtype, shape, strides, offset

_pointer_of = ctypes.pythonapi.PyCapsule_GetPointer
_pointer_of.restype, _pointer_of.argtypes = ctypes.c_void_p, (ctypes.py_object, ctypes.c_char_p)
_string_at = ctypes.string_at


class Contents:
    """What a capsule holds; it must live as long as this is used.

    `dtype` (NumPy's) is None where layercc has no such type; `strides`, in elements, are None for a
    dense array. `described` is the type in DLPack's own numbers, for messages.
    """

    __slots__ = ("address", "described", "device", "dtype", "shape", "strides")

    def __init__(self, capsule: Any) -> None:
        """Raises ValueError for what is no capsule of a tensor that nobody has taken."""
        data, kind, ordinal, ndim, code, bits, lanes, shape, strides, offset = _TENSOR.unpack(
            _string_at(_pointer_of(capsule, _NAME), _TENSOR.size)
        )
        self.device = kind, ordinal
        self.dtype = _DTYPES.get((code, bits)) if lanes == 1 else None
        self.described = f"type {code} of {bits} bits" + (f" × {lanes}" if lanes != 1 else "")
        self.address = data + offset
        self.shape = struct.unpack(f"<{ndim}q", _string_at(shape, 8 * ndim)) if ndim else ()
        self.strides = None
        if strides and ndim:
            found = struct.unpack(f"<{ndim}q", _string_at(strides, 8 * ndim))
            if found != row_major(self.shape) and not is_dense(self.shape, found):
                self.strides = found


def is_dense(shape: Sequence[int], strides: Sequence[int]) -> bool:
    """Whether strides in elements are those of a row-major array without gaps; what is never
    stepped along may have any."""
    step = 1
    for size, stride in zip(reversed(shape), reversed(strides), strict=True):
        if size == 0:
            return True
        if size != 1 and stride != step:
            return False
        step *= size
    return True


class _Carrier(bytearray):
    """Room for an element, and what is to be kept for as long as it lives."""

    __slots__ = ("kept",)
    kept: object


def capsule_of(
    address: int, device: tuple[int, int], dtype: DType, shape: tuple[int, ...], owner: object
) -> Any:
    """A capsule of a dense array. `owner` lives until whoever took it, or the capsule, is done.

    It is a capsule of NumPy's with other contents, for the deleter must be native code: it is
    called from any thread, at any time, and while exceptions are under way, when no Python function
    may run. NumPy's knows nothing but the array that it lets go.

    Raises BufferError for an element type that DLPack does not have.
    """
    if dtype not in _OF_DTYPE:
        raise BufferError(f"DLPack has no {dtype}")
    code, bits = _OF_DTYPE[dtype]
    ndim = len(shape)
    carrier = _Carrier(1)
    carrier.kept = owner
    capsule = np.ndarray(shape, np.uint8, carrier, strides=(0,) * ndim).__dlpack__()
    place = _pointer_of(capsule, _NAME)
    *_, sizes, strides, _ = _TENSOR.unpack(_string_at(place, _TENSOR.size))
    steps = struct.pack(f"<{ndim}q", *row_major(shape))
    if ndim:
        ctypes.memmove(strides, steps, len(steps))
    made = _TENSOR.pack(address, *device, ndim, code, bits, 1, sizes, strides, 0)
    ctypes.memmove(place, made, len(made))
    return capsule


@functools.lru_cache(4096)
def row_major(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The strides of a dense array, in elements."""
    strides, step = [], 1
    for size in reversed(shape):
        strides.append(step)
        step *= max(size, 1)
    return tuple(reversed(strides))
