"""Element types of tensors: every numeric ONNX dtype, under short names (`f32`, `i64`, `bf16`)."""

from __future__ import annotations

from enum import Enum

import ml_dtypes
import numpy as np


class DType(Enum):
    """An element type. The value is the NumPy dtype that holds it.

    `np.dtype(DType.f32)` works, so a `DType` can be given wherever NumPy takes a dtype.
    Types narrower than a byte (`i4`, `f4e2m1fn`, ...) are stored one element a byte.
    """

    f16 = np.dtype(np.float16)
    f32 = np.dtype(np.float32)
    f64 = np.dtype(np.float64)
    bf16 = np.dtype(ml_dtypes.bfloat16)
    i8 = np.dtype(np.int8)
    i16 = np.dtype(np.int16)
    i32 = np.dtype(np.int32)
    i64 = np.dtype(np.int64)
    u8 = np.dtype(np.uint8)
    u16 = np.dtype(np.uint16)
    u32 = np.dtype(np.uint32)
    u64 = np.dtype(np.uint64)
    bool = np.dtype(np.bool_)
    c64 = np.dtype(np.complex64)
    c128 = np.dtype(np.complex128)
    i4 = np.dtype(ml_dtypes.int4)
    u4 = np.dtype(ml_dtypes.uint4)
    i2 = np.dtype(ml_dtypes.int2)
    u2 = np.dtype(ml_dtypes.uint2)
    f8e4m3fn = np.dtype(ml_dtypes.float8_e4m3fn)
    f8e4m3fnuz = np.dtype(ml_dtypes.float8_e4m3fnuz)
    f8e5m2 = np.dtype(ml_dtypes.float8_e5m2)
    f8e5m2fnuz = np.dtype(ml_dtypes.float8_e5m2fnuz)
    f8e8m0fnu = np.dtype(ml_dtypes.float8_e8m0fnu)
    f4e2m1fn = np.dtype(ml_dtypes.float4_e2m1fn)

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


#: Numbers of ONNX's `TensorProto.DataType`, as attributes such as `to` and `dtype` hold them.
ONNX_DTYPES: dict[int, DType] = {
    1: DType.f32, 2: DType.u8, 3: DType.i8, 4: DType.u16, 5: DType.i16, 6: DType.i32, 7: DType.i64,
    9: DType.bool, 10: DType.f16, 11: DType.f64, 12: DType.u32, 13: DType.u64, 14: DType.c64,
    15: DType.c128, 16: DType.bf16, 17: DType.f8e4m3fn, 18: DType.f8e4m3fnuz, 19: DType.f8e5m2,
    20: DType.f8e5m2fnuz, 21: DType.u4, 22: DType.i4, 23: DType.f4e2m1fn, 24: DType.f8e8m0fnu,
    25: DType.u2, 26: DType.i2,
}  # fmt: skip
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


#: Computed in float32, and rounded once at the end of an op.
HALVES = frozenset({DType.f16, DType.bf16})
FLOAT8 = frozenset(
    {DType.f8e4m3fn, DType.f8e4m3fnuz, DType.f8e5m2, DType.f8e5m2fnuz, DType.f8e8m0fnu}
)
#: Named sets, used in the type constraints of op definitions.
DTYPE_SETS: dict[str, frozenset[DType]] = {
    "any": frozenset(DType),
    "float": frozenset({DType.f16, DType.f32, DType.f64, DType.bf16}),
    "signed": frozenset({DType.i8, DType.i16, DType.i32, DType.i64}),
    "unsigned": frozenset({DType.u8, DType.u16, DType.u32, DType.u64}),
    "complex": frozenset({DType.c64, DType.c128}),
    "small": FLOAT8 | {DType.i4, DType.u4, DType.i2, DType.u2, DType.f4e2m1fn},
    "index": frozenset({DType.i32, DType.i64}),
    "byte": frozenset({DType.i8, DType.u8}),
    "quantized": FLOAT8 | {DType.i8, DType.u8},
}
DTYPE_SETS["int"] = DTYPE_SETS["signed"] | DTYPE_SETS["unsigned"]
DTYPE_SETS["levels"] = DTYPE_SETS["int"] | DTYPE_SETS["small"]
DTYPE_SETS["numeric"] = DTYPE_SETS["int"] | DTYPE_SETS["float"]
DTYPE_SETS["ordered"] = DTYPE_SETS["numeric"] | {DType.bool}
DTYPE_SETS["signed_numeric"] = DTYPE_SETS["signed"] | DTYPE_SETS["float"]
DTYPE_SETS["real"] = DTYPE_SETS["numeric"] | DTYPE_SETS["small"]
DTYPE_SETS["any_float"] = DTYPE_SETS["float"] | FLOAT8 | {DType.f4e2m1fn}
DTYPE_SETS.update({member.name: frozenset({member}) for member in DType})
