"""Element types of tensors: every numeric ONNX dtype, under short names (`f32`, `i64`, `bf16`).

A row of `DType` is all that the IR, passes and front ends know of a type: sets of types follow from
kinds and bits. What kernels know besides is in `layercc.kernels.element_types`.
"""

from __future__ import annotations

from enum import Enum
from typing import Any

import ml_dtypes
import numpy as np


class DType(Enum):
    """An element type. The value is the NumPy dtype that holds it.

    `onnx` is the type's number in ONNX's `TensorProto.DataType`, as attributes such as `to` and
    `dtype` hold it; `kind` is float, signed, unsigned (integers), complex or bool; `bits` are those
    of an element in a file. In memory, elements of fewer than 8 take a byte.
    `np.dtype(DType.f32)` works, so a `DType` can be given wherever NumPy takes a dtype.
    """

    f16 = np.float16, 10, "float", 16
    f32 = np.float32, 1, "float", 32
    f64 = np.float64, 11, "float", 64
    bf16 = ml_dtypes.bfloat16, 16, "float", 16
    i8 = np.int8, 3, "signed", 8
    i16 = np.int16, 5, "signed", 16
    i32 = np.int32, 6, "signed", 32
    i64 = np.int64, 7, "signed", 64
    u8 = np.uint8, 2, "unsigned", 8
    u16 = np.uint16, 4, "unsigned", 16
    u32 = np.uint32, 12, "unsigned", 32
    u64 = np.uint64, 13, "unsigned", 64
    bool = np.bool_, 9, "bool", 8
    c64 = np.complex64, 14, "complex", 64
    c128 = np.complex128, 15, "complex", 128
    i4 = ml_dtypes.int4, 22, "signed", 4
    u4 = ml_dtypes.uint4, 21, "unsigned", 4
    i2 = ml_dtypes.int2, 26, "signed", 2
    u2 = ml_dtypes.uint2, 25, "unsigned", 2
    f8e4m3fn = ml_dtypes.float8_e4m3fn, 17, "float", 8
    f8e4m3fnuz = ml_dtypes.float8_e4m3fnuz, 18, "float", 8
    f8e5m2 = ml_dtypes.float8_e5m2, 19, "float", 8
    f8e5m2fnuz = ml_dtypes.float8_e5m2fnuz, 20, "float", 8
    f8e8m0fnu = ml_dtypes.float8_e8m0fnu, 24, "float", 8
    f4e2m1fn = ml_dtypes.float4_e2m1fn, 23, "float", 4

    _value_: np.dtype
    onnx: int
    kind: str
    bits: int

    def __new__(cls, scalar: Any, onnx: int, kind: str, bits: int) -> DType:
        member = object.__new__(cls)
        member._value_ = np.dtype(scalar)
        member.onnx, member.kind, member.bits = onnx, kind, bits
        return member

    @property
    def dtype(self) -> np.dtype:
        """The NumPy dtype (NumPy reads this attribute when given a `DType`)."""
        return self.value

    @property
    def itemsize(self) -> int:
        """Bytes an element takes in memory."""
        return self.value.itemsize

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return f"DType.{self.name}"


ONNX_DTYPES: dict[int, DType] = {dtype.onnx: dtype for dtype in DType}
_BY_NUMPY: dict[np.dtype, DType] = {member.value: member for member in DType}


def dtype_of(value: object) -> DType:
    """The `DType` of a NumPy dtype, scalar type, array, short name (`"f32"`) or `DType`.

    Raises TypeError when layercc has no such element type (strings, objects, dates).
    """
    if isinstance(value, DType):
        return value
    if isinstance(value, str) and value in DType.__members__:
        return DType[value]
    found = _BY_NUMPY.get(np.dtype(getattr(value, "dtype", value)).newbyteorder("="))  # type: ignore[call-overload]
    if found is None:
        raise TypeError(f"no tensor element type corresponds to {value!r}")
    return found


INTEGER_KINDS = ("signed", "unsigned")


def _of(*kinds: str, least: int = 0, most: int = 128) -> frozenset[DType]:
    """The types of some kinds that have so many bits."""
    return frozenset(d for d in DType if d.kind in kinds and least <= d.bits <= most)


#: Those that NumPy itself has; the others are ml_dtypes'.
NUMPY_DTYPES = frozenset(dtype for dtype in DType if dtype.value.isbuiltin == 1)
#: Computed in float32, and rounded once at the end of an op.
HALVES = _of("float", least=16, most=16)
FLOAT8 = _of("float", least=8, most=8)
NARROW_FLOATS = _of("float", most=8)
#: Named sets, used in the type constraints of op definitions.
DTYPE_SETS: dict[str, frozenset[DType]] = {
    "any": frozenset(DType),
    "float": _of("float", least=16),
    "signed": _of("signed", least=8),
    "unsigned": _of("unsigned", least=8),
    "complex": _of("complex"),
    "small": NARROW_FLOATS | _of(*INTEGER_KINDS, most=4),
    "index": _of("signed", least=32),
    "byte": _of(*INTEGER_KINDS, least=8, most=8),
}
DTYPE_SETS["quantized"] = FLOAT8 | DTYPE_SETS["byte"]
DTYPE_SETS["int"] = DTYPE_SETS["signed"] | DTYPE_SETS["unsigned"]
DTYPE_SETS["levels"] = DTYPE_SETS["int"] | DTYPE_SETS["small"]
DTYPE_SETS["numeric"] = DTYPE_SETS["int"] | DTYPE_SETS["float"]
DTYPE_SETS["array"] = DTYPE_SETS["int"] | _of("float", least=32) | {DType.bool}
DTYPE_SETS["ordered"] = DTYPE_SETS["numeric"] | {DType.bool}
DTYPE_SETS["signed_numeric"] = DTYPE_SETS["signed"] | DTYPE_SETS["float"]
DTYPE_SETS["real"] = DTYPE_SETS["numeric"] | DTYPE_SETS["small"]
DTYPE_SETS["any_float"] = DTYPE_SETS["float"] | NARROW_FLOATS
DTYPE_SETS.update({member.name: frozenset({member}) for member in DType})
