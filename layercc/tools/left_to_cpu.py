"""Ops and element types that have kernels on the CPU and none on a GPU: they fall back to the CPU.

`docs/cuda.md` prints this table. Tests hold it to what CUDA's emitters refuse.
"""

from __future__ import annotations

from ir.dtypes import DTYPE_SETS, DType
from ir.registry import Op
from layercc.tools.left_to_numpy import Left

#: Every exception there is.
LEFT_TO_CPU: tuple[Left, ...] = ()


def left_to_cpu(op: type[Op], variable: str) -> set[DType]:
    """Element types of an op, for a type variable of its definition or the name of a set of types,
    at which a GPU has no kernels though the CPU has."""
    allowed = DTYPE_SETS[op.constraints.get(variable, variable)]
    return {
        dtype
        for row in LEFT_TO_CPU
        if op.name in row.ops and row.variable in ("", variable)
        for dtype in (allowed if row.types is None else allowed & row.types)
    }
