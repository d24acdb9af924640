"""NumPy broadcasting over dims that may be symbolic."""

from __future__ import annotations

from collections.abc import Sequence

from ir.dims import Dim, max_dim, may_equal
from ir.registry import Call
from ir.types import format_shape


def broadcast_shapes(call: Call, *shapes: Sequence[Dim]) -> tuple[Dim, ...]:
    """The common shape; fails through `call` when two dims cannot be the same and neither is 1.

    A symbolic dim against a known one that is not 1 takes the known one (or it would not run);
    two different symbolic dims give their maximum, which is right whenever the model can run.
    """
    rank = max((len(shape) for shape in shapes), default=0)
    result: list[Dim] = [1] * rank
    for shape in shapes:
        for axis, dim in enumerate(shape, start=rank - len(shape)):
            result[axis] = _broadcast(call, result[axis], dim, shapes)
    return tuple(result)


def _broadcast(call: Call, a: Dim, b: Dim, shapes: Sequence[Sequence[Dim]]) -> Dim:
    if a == b or b == 1:
        return a
    if a == 1:
        return b
    if isinstance(a, int) or isinstance(b, int):
        symbolic = b if isinstance(a, int) else a
        if not may_equal(a, b) and not may_equal(symbolic, 1):
            listed = " and ".join(format_shape(shape) for shape in shapes)
            call.fail(f"shapes {listed} do not broadcast: {a} against {b}")
        return a if isinstance(a, int) else b
    return max_dim(a, b)
