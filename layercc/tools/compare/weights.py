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
    """The constants that matched nodes read, or hold in bodies, and that are not the same."""
    users: dict[tuple[str, str], dict[Node, None]] = {}
    arrays: dict[tuple[str, str], tuple[np.ndarray, np.ndarray]] = {}
    for pair in pairs:
        for names, both in _constants(pair.node, pair.other, a, b):
            users.setdefault(names, {})[pair.node] = None
            arrays[names] = both
    found = []
    for (name, other), (x, y) in arrays.items():
        if x is y or _same(x, y):
            continue
        difference = compare_arrays(x, y, 0.0)
        if difference.departs:  # zeros of another sign do not
            largest = _largest(x, y) if difference.kind in ("error", "nan") else float("inf")
            of = tuple(users[name, other])
            found.append(WeightDifference(name, other, of, difference, largest, _rounded(x, y)))
    return found


def _constants(
    node: Node, other: Node, a: Graph, b: Graph
) -> Iterator[tuple[tuple[str, str], tuple[np.ndarray, np.ndarray]]]:
    """Constants at the same inputs of two nodes, and in their bodies: names and arrays."""
    mine = [name for name in node.reads() if name in a.constants]
    others = [name for name in other.reads() if name in b.constants]
    for name, partner in _partners(mine, others):
        yield (name, partner), (a.constants[name], b.constants[partner])
    for body, held in zip(node.subgraphs(), other.subgraphs(), strict=False):
        for name, partner in _partners(list(body.constants), list(held.constants)):
            yield (name, partner), (body.constants[name], held.constants[partner])
        for inner, paired in zip(body.nodes, held.nodes, strict=False):
            if any(inner.subgraphs()):
                yield from _constants(inner, paired, body, held)


def _partners(mine: list[str], others: list[str]) -> Iterator[tuple[str, str]]:
    """Those of equal names, wherever they stand (operands change places); the rest in order."""
    shared = set(mine) & set(others)
    yield from ((name, name) for name in mine if name in shared)
    rest = [name for name in others if name not in shared]
    yield from zip((name for name in mine if name not in shared), rest, strict=False)


def _largest(x: np.ndarray, y: np.ndarray) -> float:
    """The largest |x - y| that is finite."""
    wide = np.complex128 if "c" in (x.dtype.kind, y.dtype.kind) else np.float64
    with np.errstate(all="ignore"):
        distance = np.abs(x.astype(wide) - y.astype(wide))
    return float(np.max(distance, initial=0.0, where=np.isfinite(distance)))


def _same(x: np.ndarray, y: np.ndarray) -> bool:
    """Whether two arrays are the same to the bit."""
    if x.dtype != y.dtype or x.shape != y.shape:
        return False
    own, other = (np.ascontiguousarray(each).reshape(-1).view(np.uint8) for each in (x, y))
    return bool(np.array_equal(own, other))


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
