"""Tensors as kernels see them: [outer, inner, rows, columns], the columns dense.

Importing this module imports Numba.
"""

from __future__ import annotations

from typing import Any

from layercc.kernels.declaration import INT, pointer, record
from layercc.kernels.helper import jit
from layercc.kernels.intrinsics import offset


def strided(dtype: str) -> Any:
    """The record of a tensor: its first element, and strides in elements."""
    return record("Strided", data=pointer(dtype), outer=INT, inner=INT, row=INT)


@jit
def row_of(tensor: Any, outer: Any, inner: Any, row: Any) -> Any:
    """Pointer to the first column of a row."""
    return offset(tensor.data, outer * tensor.outer + inner * tensor.inner + row * tensor.row)
