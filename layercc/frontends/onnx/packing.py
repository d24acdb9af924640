"""How tensors lie in an ONNX file: elements narrower than a byte are packed, lowest bits first."""

from __future__ import annotations

import math

import numpy as np

from ir.dtypes import NUMPY_DTYPES, DType, dtype_of

#: Bits of the element types that are packed in files; in memory each takes a byte.
PACKED_BITS = {dtype: dtype.bits for dtype in DType if dtype.bits < 8}


def stored_bytes(count: int, dtype: DType) -> int:
    """Bytes that `count` elements take in a file."""
    if dtype in PACKED_BITS:
        return (count * PACKED_BITS[dtype] + 7) // 8
    return count * dtype.itemsize


def packed_bytes(array: np.ndarray) -> bytes:
    """The elements of `array` as an ONNX file stores them (little endian)."""
    dtype = dtype_of(array)
    flat = np.ascontiguousarray(array).reshape(-1)
    if dtype not in PACKED_BITS:
        return flat.astype(_stored_dtype(dtype), copy=False).tobytes()
    bits = PACKED_BITS[dtype]
    per_byte = 8 // bits
    codes = np.zeros(-(-flat.size // per_byte) * per_byte, np.uint8)
    if dtype.kind == "float":
        codes[: flat.size] = flat.view(np.uint8)
    else:
        codes[: flat.size] = flat.astype(np.int8).view(np.uint8)
    codes &= (1 << bits) - 1
    shifts = np.arange(0, 8, bits, dtype=np.uint8)
    return np.bitwise_or.reduce(codes.reshape(-1, per_byte) << shifts, axis=1).tobytes()


def unpacked(data: bytes | memoryview, dtype: DType, shape: tuple[int, ...]) -> np.ndarray:
    """The array whose stored bytes are `data`: a view where that is possible."""
    if dtype in PACKED_BITS:
        bits = PACKED_BITS[dtype]
        packed = np.frombuffer(data, np.uint8)
        shifts = np.arange(0, 8, bits, dtype=np.uint8)
        codes = (packed[:, None] >> shifts & ((1 << bits) - 1)).reshape(-1)
        return _elements(codes[: math.prod(shape)], dtype).reshape(shape)
    if dtype is DType.bool:  # any byte but 0 is true; NumPy expects 0 or 1
        return (np.frombuffer(data, np.uint8) != 0).reshape(shape)
    array = np.frombuffer(data, _stored_dtype(dtype)).reshape(shape)
    if not array.dtype.isnative or not array.flags.aligned:
        return array.astype(dtype.value)
    return array


def _stored_dtype(dtype: DType) -> np.dtype:
    return dtype.value.newbyteorder("<") if dtype in NUMPY_DTYPES else dtype.value


def _elements(codes: np.ndarray, dtype: DType) -> np.ndarray:
    """Bit patterns, one a byte → elements of `dtype` (two's complement for signed integers)."""
    if dtype.kind == "float":
        return codes.view(dtype.value)
    if dtype.kind == "signed":
        spare = 8 - PACKED_BITS[dtype]
        codes = (codes << spare).view(np.int8) >> spare
    return codes.astype(dtype.value)
