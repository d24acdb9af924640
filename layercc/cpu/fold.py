"""The sum or maximum of a few vectors' worth of accumulators.

A kernel that reduces many short rows keeps one accumulator a lane in a `stack_array` and folds
them once a row, which costs fewer steps than a reduction of each stretch of the row.

Importing this module imports Numba; what it makes is called from kernels only.
"""

from __future__ import annotations

from typing import Any, Literal

from llvmlite import ir
from numba.extending import intrinsic

from layercc.kernels.numba_types import types

_I32 = ir.IntType(32)
_STACK_ALIGNMENT = 64


def make_fold(combine: Literal["sum", "max"], count: int) -> Any:
    """The intrinsic `fold(accumulators)` for kernels: `count` floats, a power of two, combined
    pairwise: halves first. The maximum is NaN if any is NaN."""

    @intrinsic
    def fold(typingctx, accumulators):  # type: ignore[no-untyped-def]
        if not isinstance(accumulators, types.CPointer):
            return None

        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            kind = context.get_value_type(accumulators.dtype)
            source = builder.bitcast(args[0], ir.VectorType(kind, count).as_pointer())
            vector = builder.load(source, align=_STACK_ALIGNMENT)
            width = count
            while width > 1:
                width //= 2
                a, b = (
                    builder.shuffle_vector(vector, vector, _numbers(start, width))
                    for start in (0, width)
                )
                if combine == "sum":
                    vector = builder.fadd(a, b)
                else:
                    nan = builder.fcmp_unordered("uno", b, b)
                    larger = builder.or_(builder.fcmp_ordered(">", b, a), nan)
                    vector = builder.select(larger, b, a)
            return builder.extract_element(vector, _I32(0))

        return accumulators.dtype(accumulators), codegen

    return fold


def _numbers(start: int, count: int) -> Any:
    return ir.Constant(ir.VectorType(_I32, count), list(range(start, start + count)))
