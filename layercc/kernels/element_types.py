"""How kernels hold and compute elements of tensors: a row a type, and no other table of them.

What the IR knows of a type (its NumPy dtype, kind, bits) is in `ir.dtypes`, under the same name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

#: The types that processors compute in: NumPy's scalar type, which kernels may call.
SCALAR: Final[dict[str, Any]] = {
    "f32": np.float32, "f64": np.float64, "bool": np.bool_,
    "i8": np.int8, "i16": np.int16, "i32": np.int32, "i64": np.int64,
    "u8": np.uint8, "u16": np.uint16, "u32": np.uint32, "u64": np.uint64,
}  # fmt: skip
#: By name, the bytes of each.
SIZES: Final = {name: np.dtype(scalar).itemsize for name, scalar in SCALAR.items()}
FLOATS: Final = tuple(name for name, scalar in SCALAR.items() if issubclass(scalar, np.floating))
INTEGERS: Final = tuple(name for name, scalar in SCALAR.items() if issubclass(scalar, np.integer))
#: By bytes, the unsigned integers as which elements are moved.
UNSIGNED: Final = {
    SIZES[name]: name for name in INTEGERS if issubclass(SCALAR[name], np.unsignedinteger)
}
#: What contractions multiply and add.
MULTIPLIED: Final = tuple(name for name in (*FLOATS, *INTEGERS) if SIZES[name] >= 4)


@dataclass(frozen=True)
class ElementType:
    """One type of elements of tensors.

    `stored` is the machine type in which an element lies in memory, `computed` that in which
    kernels compute with it, and `summed` that in which sums of many are kept. `bits`, if there are
    fewer than the stored type has, are the low ones, which count.

    An element that is stored as an integer and computed as a float is *coded*: helpers of
    `layercc.kernels.intrinsics` convert it, for f16 `f32_from_f16` and `f16_from_f32`, the second
    of which rounds.
    """

    name: str
    stored: str
    computed: str
    summed: str
    bits: int = 0

    @property
    def coded(self) -> bool:
        return self.computed in FLOATS and self.stored not in FLOATS


#: All element types that kernels read and write.
ELEMENT_TYPES: Final[dict[str, ElementType]] = {
    row.name: row
    for row in (
        ElementType("f32", "f32", "f32", "f64"),
        ElementType("f64", "f64", "f64", "f64"),
        ElementType("f16", "u16", "f32", "f64"),
        ElementType("bf16", "u16", "f32", "f64"),
        ElementType("bool", "u8", "bool", "u64"),
        ElementType("i8", "i8", "i8", "i64"),
        ElementType("u8", "u8", "u8", "u64"),
        ElementType("i16", "i16", "i16", "i64"),
        ElementType("u16", "u16", "u16", "u64"),
        ElementType("i32", "i32", "i32", "i64"),
        ElementType("u32", "u32", "u32", "u64"),
        ElementType("i64", "i64", "i64", "i64"),
        ElementType("u64", "u64", "u64", "u64"),
        ElementType("i4", "i8", "i8", "i64", bits=4),
        ElementType("u4", "u8", "u8", "u64", bits=4),
        ElementType("i2", "i8", "i8", "i64", bits=2),
        ElementType("u2", "u8", "u8", "u64", bits=2),
    )
}
