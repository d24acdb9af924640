"""Weights of two models, compared as they are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ir.dtypes import DTYPE_SETS, DType, dtype_of
from ir.graph import Graph, Node
from layercc.tools.compare.align import Pair
from layercc.tools.compare.difference import Difference, compare_arrays


@dataclass(frozen=True)
class WeightDifference:
    """A constant that the two models do not share.

    `name` and `other` are its names in the first and second; `users` the nodes of the first that
    read it. `rounded`: the one is the other rounded to this element type.
    """

    name: str
    other: str
    users: tuple[Node, ...]
    difference: Difference
    largest: float
    rounded: str = ""

    def to_dict(self) -> dict[str, Any]:
        """JSON data."""
        return {
            "constant": self.name,
            "partner": self.other,
            "nodes": [{"node": node.name, "op": node.op} for node in self.users],
            "largest": self.largest,
            "rounded": self.rounded or None,
            **self.difference.to_dict(),
        }

    def __str__(self) -> str:
        used = ", ".join(map(str, self.users[:3])) + (", ..." if len(self.users) > 3 else "")
        own = self.difference
        if own.kind in ("shape", "dtype"):
            said = own.said
        else:
            said = (
                f"{own.count} of {own.size} elements differ, by up to {self.largest:.3g}: "
                f"{own.left} and not {own.right} at {list(own.index)}"
            )
        rounded = f"; one is the other rounded to {self.rounded}" if self.rounded else ""
        partner = "" if self.other == self.name else f" ({self.other!r} in the second)"
        return f"weight {self.name!r}{partner}, used by {used}: {said}{rounded}"


def differing_weights(a: Graph, b: Graph, pairs: Iterable[Pair]) -> list[WeightDifference]:
    """The constants that matched nodes read and that are not the same to the bit."""
    readers = a.consumers()
    found = []
    for name, other in dict.fromkeys(_partners(a, b, pairs)):
        x, y = a.constants[name], b.constants[other]
        if x is y or (x.dtype == y.dtype and x.shape == y.shape and _same(x, y)):
            continue
        difference = compare_arrays(x, y, 0.0)
        if not difference.departs:
            continue  # zeros of another sign
        users = tuple(readers[name])
        largest = float("inf")
        if difference.kind in ("error", "nan"):
            with np.errstate(all="ignore"):
                distance = np.abs(x.astype(np.complex128) - y.astype(np.complex128))
            largest = float(np.max(distance, initial=0.0, where=np.isfinite(distance)))
        found.append(WeightDifference(name, other, users, difference, largest, _rounded(x, y)))
    return found


def _partners(a: Graph, b: Graph, pairs: Iterable[Pair]) -> Iterator[tuple[str, str]]:
    """Constants at the same inputs of matched nodes; those of equal names where operands of the
    same node have changed places."""
    for pair in pairs:
        mine = [name for name in pair.node.reads() if name in a.constants]
        others = [name for name in pair.other.reads() if name in b.constants]
        shared = set(mine) & set(others)
        yield from ((name, name) for name in mine if name in shared)
        rest = [name for name in others if name not in shared]
        yield from zip((name for name in mine if name not in shared), rest, strict=False)


def _same(x: np.ndarray, y: np.ndarray) -> bool:
    return bool(
        np.array_equal(
            x.view(np.uint8) if x.ndim and x.flags.c_contiguous else x,
            y.view(np.uint8) if y.ndim and y.flags.c_contiguous else y,
        )
    )


def _rounded(x: np.ndarray, y: np.ndarray) -> str:
    """The narrower float type that makes one of the other, if there is one."""
    floats = DTYPE_SETS["float"]
    if x.shape != y.shape or dtype_of(x) not in floats or dtype_of(y) not in floats:
        return ""
    with np.errstate(all="ignore"):
        for kind in (DType.f16, DType.bf16, DType.f32):
            for one, other in ((x, y), (y, x)):
                if one.dtype.itemsize <= kind.itemsize:
                    continue
                rounded = one.astype(kind.value).astype(np.float64)
                if np.array_equal(rounded, other.astype(np.float64), equal_nan=True):
                    return str(kind)
    return ""
