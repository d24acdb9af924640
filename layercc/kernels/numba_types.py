"""The Numba types of what kernels take: annotations of `layercc.kernels.declaration`.

Importing this module imports Numba.
"""

from __future__ import annotations

import functools
from collections import namedtuple
from typing import Any

from numba.core import types as _types

from layercc.kernels.declaration import Annotation, Record

#: Numba's module of types, most names of which type checkers cannot see.
types: Any = _types

_STORAGE = {
    "f32": types.float32,
    "f64": types.float64,
    "f16": types.uint16,
    "bf16": types.uint16,
    "bool": types.uint8,
    "i8": types.int8,
    "u8": types.uint8,
    "i16": types.int16,
    "u16": types.uint16,
    "i32": types.int32,
    "u32": types.uint32,
    "i64": types.int64,
    "u64": types.uint64,
}
_SCALARS = {
    "int": types.int64,
    "f64": types.float64,
    "f32": types.float32,
}


def storage_type(dtype: str) -> Any:
    """The Numba scalar type in which elements of ``dtype`` are stored."""
    return _STORAGE[dtype]


def numba_type(annotation: Annotation) -> Any:
    """The Numba type of an argument annotated with ``annotation``."""
    if isinstance(annotation, Record):
        parts = [numba_type(part) for _, part in annotation.fields]
        return types.BaseTuple.from_types(parts, _named_tuple(annotation))
    if isinstance(annotation, tuple):
        return types.BaseTuple.from_types([numba_type(part) for part in annotation])
    if annotation.word == "pointer":
        return types.CPointer(_STORAGE[annotation.dtype])
    return _SCALARS[annotation.word]


@functools.cache
def _named_tuple(record: Record) -> Any:
    return namedtuple(record.name, [name for name, _ in record.fields])
