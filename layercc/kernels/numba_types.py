"""The Numba types of what kernels take: annotations of `layercc.kernels.declaration`.

Importing this module imports Numba.
"""

from __future__ import annotations

import functools
from collections import namedtuple
from typing import Any

from numba.core import types as _types

from layercc.kernels.declaration import Annotation, Record
from layercc.kernels.element_types import ELEMENT_TYPES, SCALAR

#: Numba's module of types, most names of which type checkers cannot see.
types: Any = _types


def storage_type(dtype: str) -> Any:
    """The Numba scalar type in which elements of ``dtype`` are stored."""
    return getattr(types, SCALAR[ELEMENT_TYPES[dtype].stored].__name__)


def numba_type(annotation: Annotation) -> Any:
    """The Numba type of an argument annotated with ``annotation``."""
    if isinstance(annotation, Record):
        parts = [numba_type(part) for _, part in annotation.fields]
        return types.BaseTuple.from_types(parts, _named_tuple(annotation))
    if isinstance(annotation, tuple):
        return types.BaseTuple.from_types([numba_type(part) for part in annotation])
    if annotation.word == "pointer":
        return types.CPointer(storage_type(annotation.dtype))
    return types.int64 if annotation.word == "int" else storage_type(annotation.word)


@functools.cache
def _named_tuple(record: Record) -> Any:
    return namedtuple(record.name, [name for name, _ in record.fields])
