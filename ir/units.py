"""Amounts for people to read: `1.2 M`, `3.4 GFLOP`, `25 MB`, `1.5 GFLOP × N`, `0.28 ms`."""

from __future__ import annotations

import re
from collections.abc import Collection

from ir.dims import Dim

_PREFIXES = ["", "k", "M", "G", "T", "P", "E"]
_SCALED = re.compile(r"([0-9]+)\*([^+-]+)")  # the printed form of one term


def amount(value: Dim | None, unit: str = "") -> str:
    """Three significant digits with a decimal prefix; an expression if symbolic; `?` for None."""
    if value is None:
        return "?"
    if not isinstance(value, int):
        term = _SCALED.fullmatch(value)
        if term:
            return f"{amount(int(term[1]), unit)} × {term[2]}"
        return f"{value} {unit}".rstrip()
    if value < 1000:
        return f"{value} {unit}".rstrip()
    scaled, prefix = float(value), 0
    while scaled >= 999.5 and prefix < len(_PREFIXES) - 1:
        scaled, prefix = scaled / 1000, prefix + 1
    decimals = 0 if scaled >= 99.95 else 1 if scaled >= 9.995 else 2
    return f"{scaled:.{decimals}f} {_PREFIXES[prefix]}{unit}"


def seconds(value: float) -> str:
    """A duration: `1.53 s`, `25.8 ms`, `31.0 µs`."""
    for factor, unit in ((1, "s"), (1e3, "ms")):
        if value * factor >= 0.9995:
            return f"{value * factor:.3g} {unit}"
    return f"{value * 1e6:.3g} µs"


def align(rows: list[list[str]], right: Collection[int] = ()) -> list[str]:
    """Rows of cells as lines, columns as wide as needed, those in `right` flush right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if index in right else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
