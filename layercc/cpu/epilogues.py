"""Epilogues inside kernels: an expression of the sum and of up to four operands read beside it.

Importing this module imports nothing heavy; building an epilogue imports Numba.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def make_finish(expression: tuple, columns: tuple[int, ...]) -> Callable[..., Any]:
    """The helper `finish(value, p0, p1, p2, p3, j)` of kernels.

    `expression` (see `layercc.cpu.expressions`) has the sum as first input, then as many operands
    as `columns` has entries: `columns[i]` says whether operand i varies with j (1) or not (0).
    """
    from layercc.cpu.expressions import build
    from layercc.cpu.target import jit

    epilogue = build(expression)
    count = len(columns)
    c0, c1, c2, c3 = (*columns, 0, 0, 0, 0)[:4]

    if count == 0:

        def finish(value, p0, p1, p2, p3, j):  # type: ignore[no-untyped-def]
            return epilogue(value)

    elif count == 1:

        def finish(value, p0, p1, p2, p3, j):  # type: ignore[no-untyped-def]
            return epilogue(value, p0[j * c0])

    elif count == 2:

        def finish(value, p0, p1, p2, p3, j):  # type: ignore[no-untyped-def]
            return epilogue(value, p0[j * c0], p1[j * c1])

    elif count == 3:

        def finish(value, p0, p1, p2, p3, j):  # type: ignore[no-untyped-def]
            return epilogue(value, p0[j * c0], p1[j * c1], p2[j * c2])

    else:

        def finish(value, p0, p1, p2, p3, j):  # type: ignore[no-untyped-def]
            return epilogue(value, p0[j * c0], p1[j * c1], p2[j * c2], p3[j * c3])

    return jit(finish)
