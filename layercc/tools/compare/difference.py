"""How two arrays differ: in shape, in dtype, in where they are NaN, or by an error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ir.dtypes import dtype_of
from ir.types import format_shape
from layercc.tools.compare.tolerance import AS_INFINITE, MOST_QUARTILES

#: Elements that a scale is taken of, more or less.
_SAMPLES = 1 << 15

Kind = Literal["same", "shape", "dtype", "nan", "error", "fails"]


@dataclass(frozen=True)
class Difference:
    """What sets `a`, the result looked at, apart from `b`, the one that it is held to.

    `kind`: the sort of departure; "same" within the tolerance, "nan" where NaN or an infinity
    stands in one only, "fails" where `a` cannot be computed. `error`: the largest of the elements
    (`layercc.tools.compare.tolerance`), infinite for all sorts but "same" and "error". `norm`:
    |a - b| / |b|, Euclidean, over the elements that are finite. `count` of `size` elements depart;
    `index` is where the worst is, in which `a` and `b` hold the values `left` and `right`. `said`:
    the kind in words.
    """

    kind: Kind
    tolerance: float
    error: float = 0.0
    norm: float = 0.0
    count: int = 0
    size: int = 0
    index: tuple[int, ...] = ()
    left: str = ""
    right: str = ""
    said: str = ""

    @property
    def departs(self) -> bool:
        return self.kind != "same"

    def to_dict(self) -> dict[str, Any]:
        """JSON data."""
        return {
            "kind": self.kind,
            "tolerance": self.tolerance,
            "error": self.error,
            "norm": self.norm,
            "count": self.count,
            "size": self.size,
            "index": list(self.index),
            "left": self.left,
            "right": self.right,
        }

    def __str__(self) -> str:
        if self.kind in ("shape", "dtype", "fails"):
            return self.said
        if not self.departs:
            return f"error {self.error:.1e}, {self.tolerance:.1e} would be within bounds"
        values = f"{self.left} and not {self.right} at {format_shape(self.index)}"
        share = f"{self.count} of {self.size} elements"
        if self.kind == "nan":
            return f"{self.said} in {share}: {values}"
        bound = f" (tolerance {self.tolerance:.1e})" if self.tolerance else ""
        return f"error {self.error:.1e}{bound} in {share}: {values}"


def compare_arrays(
    a: np.ndarray,
    b: np.ndarray,
    tolerance: float,
    *,
    dtype: np.dtype | None = None,
) -> Difference:
    """How `a` differs from `b`. `dtype`: what `a` should have, if not that of `b`."""
    wanted = b.dtype if dtype is None else dtype
    if a.shape != b.shape:
        said = f"shape {format_shape(a.shape)} and not {format_shape(b.shape)}"
        return Difference("shape", tolerance, np.inf, np.inf, a.size, a.size, said=said)
    if a.dtype != wanted:
        said = f"dtype {dtype_of(a)} and not {dtype_of(wanted)}"
        return Difference("dtype", tolerance, np.inf, np.inf, a.size, a.size, said=said)
    if not a.size:
        return Difference("same", tolerance)
    if a.dtype == b.dtype and a.dtype.kind in "iub":
        if np.array_equal(a, b):
            return Difference("same", tolerance, size=a.size)
        bits64 = a.dtype.itemsize == 8
        x, y = (a.astype(object), b.astype(object)) if bits64 else (_wide(a), _wide(b))
        distance = np.abs(x - y).astype(np.float64)
        return _errors(a, b, distance, np.abs(y).astype(np.float64), tolerance)
    x, y = _wide(a), _wide(b)
    with np.errstate(all="ignore"):
        finite = np.isfinite(x) & np.isfinite(y)
        same = finite | (x == y) | (np.isnan(x) & np.isnan(y))
        if not same.all():
            wrong = ~same
            at = np.unravel_index(int(np.argmax(wrong)), a.shape)
            what = "NaN" if (np.isnan(x) != np.isnan(y)).any() else "infinity"
            norm = _norm(np.where(finite, x - y, 0), np.where(finite, y, 0))
            return _at(
                a, b, at, "nan", tolerance, np.inf, norm, int(wrong.sum()), f"{what} on one side"
            )
        distance = np.where(finite, np.abs(x - y), 0.0)
        magnitude = np.where(finite, np.abs(y), 0.0)
    return _errors(a, b, distance, magnitude, tolerance)


def _errors(
    a: np.ndarray,
    b: np.ndarray,
    distance: np.ndarray,
    magnitude: np.ndarray,
    tolerance: float,
) -> Difference:
    error = relative(distance, magnitude)
    wrong = error > tolerance
    at = np.unravel_index(int(np.argmax(error)), a.shape)
    kind: Kind = "error" if wrong.any() else "same"
    norm = _norm(distance, magnitude)
    return _at(a, b, at, kind, tolerance, float(error[at]), norm, int(wrong.sum()), "")


def relative(distance: np.ndarray, magnitude: np.ndarray) -> np.ndarray:
    """The errors of elements, given |a - b| and |b|."""
    with np.errstate(all="ignore"):
        return np.where(distance > 0, distance / (magnitude + scale_of(magnitude)), 0.0)


def scale_of(magnitude: np.ndarray) -> float:
    """The root mean square of magnitudes, but at most `MOST_QUARTILES` lower quartiles; of large
    tensors, of every n-th element. Zeros do not count, nor do magnitudes as good as infinite."""
    some = magnitude.reshape(-1)[:: max(1, magnitude.size // _SAMPLES)]
    common = some[(some > 0) & (some < AS_INFINITE)]
    if not common.size:
        return 0.0
    return float(min(np.sqrt(np.mean(common**2)), MOST_QUARTILES * np.quantile(common, 0.25)))


def _at(
    a: np.ndarray,
    b: np.ndarray,
    at: tuple[Any, ...],
    kind: Kind,
    tolerance: float,
    error: float,
    norm: float,
    count: int,
    said: str,
) -> Difference:
    index = tuple(int(i) for i in at)
    left, right = _shown(a[index]), _shown(b[index])
    return Difference(kind, tolerance, error, norm, count, a.size, index, left, right, said)


def _shown(element: Any) -> str:
    value = np.asarray(element)
    if value.dtype.kind in "iub":
        return str(value.item())
    return f"{complex(value):.8g}" if value.dtype.kind == "c" else f"{float(value):.8g}"


def _norm(difference: np.ndarray, values: np.ndarray) -> float:
    """|difference| / |values|, scaled so that no square overflows."""
    largest = float(np.max(np.abs(values), initial=0.0)) or 1.0
    with np.errstate(all="ignore"):
        error = float(np.sqrt(np.square(np.abs(difference) / largest).sum()))
        own = float(np.sqrt(np.square(np.abs(values) / largest).sum()))
    return error / own if own else error


def _wide(array: np.ndarray) -> np.ndarray:
    return array.astype(np.complex128 if array.dtype.kind == "c" else np.float64)
