"""Epilogues inside kernels: an expression of the sum and of operands read beside it.

A kernel takes the operands as `operands: (strided(dtype),) * len(columns)`; rows and columns are
those of its output.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Helper = Callable[..., Any]


@dataclass(frozen=True)
class EpilogueHelpers:
    """Helpers of kernels; `at` are pointers, one for each operand."""

    #: `rows_of(operands, outer, inner, row, column)`: pointers to where the operands begin for an
    #: element of the output.
    rows_of: Helper
    #: `next_row(at, operands)`: the pointers for the next row.
    next_row: Helper
    #: `vary(operands)`: whether any operand differs from row to row.
    vary: Helper
    #: `split(memory, length)`: pointers to stretches of `memory` of `length` elements.
    split: Helper
    #: `stage(targets, at, count)`: copies `count` columns of each operand.
    stage: Helper
    #: `finish(value, at, j)`: the result for a sum, in column j.
    finish: Helper


def make_epilogue(expression: tuple, columns: tuple[int, ...]) -> EpilogueHelpers:
    """The helpers for an expression.

    `expression` (see `layercc.kernels.expressions`) has the sum as first input, then as many
    operands as `columns` has entries: `columns[i]` says whether operand i varies along the columns
    (1) or has one element a row (0).
    """
    from layercc.cpu.strided import row_of
    from layercc.kernels.expressions import build
    from layercc.kernels.helper import jit
    from layercc.kernels.intrinsics import offset

    @jit
    def copy(target: Any, source: Any, count: Any) -> None:
        for j in range(count):
            target[j] = source[j]

    names = {"offset": offset, "row_of": row_of, "copy": copy, "epilogue": build(expression)}

    def helper(parameters: str, result: str) -> Any:
        exec(f"def helper({parameters}):\n    return {result}", names)
        return jit(names.pop("helper"))

    def each(text: str) -> list[str]:
        """`text` for each operand: i is its number, c whether it has columns."""
        return [text.format(i=i, c=c) for i, c in enumerate(columns)]

    def tuple_of(text: str) -> str:
        return f"({''.join(f'{item}, ' for item in each(text))})"

    return EpilogueHelpers(
        rows_of=helper(
            "operands, outer, inner, row, column",
            tuple_of("offset(row_of(operands[{i}], outer, inner, row), column * {c})"),
        ),
        next_row=helper("at, operands", tuple_of("offset(at[{i}], operands[{i}].row)")),
        vary=helper("operands", " or ".join(each("operands[{i}].row != 0")) or "False"),
        split=helper("memory, length", tuple_of("offset(memory, {i} * length)")),
        stage=helper(
            "targets, at, count", tuple_of("copy(targets[{i}], at[{i}], count * {c} + 1 - {c})")
        ),
        finish=helper(
            "value, at, j", f"epilogue({', '.join(['value', *each('at[{i}][j * {c}]')])})"
        ),
    )
