"""Ranges of the sizes that inputs may have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ir.dims import Dim
from layercc.frontends.torch.dims import expression_of
from layercc.frontends.torch.signature import SizeRange


def size_ranges(
    shapes: Mapping[str, Sequence[Any]],
    constraints: Mapping[Any, Any],
    symbols: Mapping[Any, Dim],
    least: Mapping[tuple[str, int], int],
) -> tuple[SizeRange, ...]:
    """What callers or the module demand of sizes that are whole symbols; `shapes` are those of the
    inputs by path, `constraints` ranges by symbol as PyTorch has them, `least` what callers have
    said a size is at least, by path and axis."""
    found: list[SizeRange] = []
    seen: set[Any] = set()
    declared: dict[Any, int] = {}
    for (path, axis), minimum in least.items():
        if path in shapes:
            own = expression_of(shapes[path][axis])
            declared[own] = max(minimum, declared.get(own, 0))
    for number, shape in enumerate(shapes.values()):
        for axis, size in enumerate(shape):
            own = expression_of(size)
            if isinstance(own, int) or not own.is_Symbol or own in seen or own not in constraints:
                continue
            seen.add(own)
            low, high = _bound(constraints[own].lower), _bound(constraints[own].upper)
            if low is None or low <= 2:  # which exports assume of any size
                low = declared.get(own, 0)
            if low or high is not None:
                found.append(SizeRange(number, axis, str(symbols[own]), low, high))
    return tuple(found)


def _bound(limit: Any) -> int | None:
    """A bound of a size; None for one that is as good as none."""
    if not limit.is_finite or not limit.is_Integer:
        return None
    return int(limit) if limit < np.iinfo(np.int64).max // 2 else None
