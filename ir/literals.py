"""Array elements as text, exact for every dtype: the value read back has the same bits.

A float is written with the fewest digits that give it back in its own dtype (`0.1`, not
`0.10000000149011612`, for an f32). A NaN with unusual bits is written `bits(0x7fc00001)`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import ml_dtypes
import numpy as np

from ir.dtypes import DTYPE_SETS, INTEGER_KINDS, DType, dtype_of
from ir.types import TensorType

INTEGERS = frozenset(dtype for dtype in DType if dtype.kind in INTEGER_KINDS)
COMPLEX = {  # and the dtype of either half
    whole: half
    for whole in DTYPE_SETS["complex"]
    for half in DTYPE_SETS["float"]
    if half.bits == whole.bits // 2
}


class Bits(int):
    """The bits of a float element that has no decimal text."""


def format_array(array: np.ndarray) -> str:
    """The elements as nested lists; a bare element for rank 0; `[]` if there is none."""
    dtype = dtype_of(array)

    def nested(part: np.ndarray) -> str:
        if part.ndim == 0:
            return format_element(part, dtype)
        return "[" + ", ".join(nested(part[i, ...]) for i in range(len(part))) + "]"

    return nested(np.asarray(array)) if array.size else "[]"


def format_element(element: np.ndarray, dtype: DType) -> str:
    """One element (an array of rank 0) as text; `to_array` makes the same bits of it."""
    if dtype is DType.bool:
        return "true" if element else "false"
    if dtype in INTEGERS:
        return str(int(element))
    if dtype in COMPLEX:
        return f"({format_element(element.real, COMPLEX[dtype])}, " + (
            f"{format_element(element.imag, COMPLEX[dtype])})"
        )
    value, exact = float(element), element.tobytes()
    if not math.isfinite(value) or dtype is DType.f64:
        candidates = [repr(value)]
    else:
        candidates = [repr(float(f"{value:.{digits}g}")) for digits in range(1, 18)]
    for text in candidates:
        if _element(float(text), dtype).tobytes() == exact:
            return text
    return f"bits({int.from_bytes(exact, 'little'):#x})"


def to_array(elements: Sequence[Any], dtype: DType) -> np.ndarray:
    """An array of rank 1 of numbers, `Bits`, or pairs of these where the dtype is complex.

    Raises ValueError or OverflowError naming an element that the dtype cannot hold.
    """
    made = np.empty(len(elements), dtype.value)
    if dtype in COMPLEX:
        halves = made.view(COMPLEX[dtype].value)
        for index, element in enumerate(elements):
            pair = element if isinstance(element, tuple) else (element, 0.0)
            halves[2 * index : 2 * index + 2] = to_array(pair, COMPLEX[dtype])
        return made
    for index, element in enumerate(elements):
        made[index] = _element(element, dtype)
    return made


def _element(element: Any, dtype: DType) -> np.ndarray:
    if isinstance(element, tuple):
        raise ValueError(f"a complex number is no {dtype} value")
    if dtype in INTEGERS:
        low, high = integer_limits(dtype)
        if type(element) is not int or not low <= element <= high:
            raise ValueError(f"{element!r} is no {dtype} value ({low}..{high})")
    elif dtype is DType.bool:
        if type(element) is not bool:
            raise ValueError(f"{element!r} is no bool value (true or false)")
    elif isinstance(element, Bits):
        return np.frombuffer(element.to_bytes(dtype.itemsize, "little"), dtype.value)[0]
    else:
        element = float(element)
    with np.errstate(all="ignore"):
        return np.asarray(element).astype(dtype.value)


def integer_limits(dtype: DType) -> tuple[int, int]:
    limits = ml_dtypes.iinfo(dtype.value)
    return int(limits.min), int(limits.max)


def random_array(kind: TensorType, generator: np.random.Generator, scale: float = 1) -> np.ndarray:
    """Normal floats times `scale`; integers of at most 8 in magnitude; bools.

    The dims of `kind` must be integers.
    """
    dtype, shape = kind.dtype, tuple(int(dim) for dim in kind.shape)
    made: np.ndarray
    if dtype is DType.bool:
        made = np.asarray(generator.integers(0, 2, shape))
    elif dtype in INTEGERS:
        low, high = integer_limits(dtype)
        made = np.asarray(generator.integers(max(low, -8), min(high, 8) + 1, shape))
    else:
        made = np.asarray(generator.standard_normal(shape) * scale)
        if dtype in COMPLEX:
            made = made + 1j * generator.standard_normal(shape) * scale
        elif dtype is DType.f8e8m0fnu:  # powers of two only
            made = np.abs(made)
    with np.errstate(all="ignore"):
        return np.asarray(made).astype(dtype.value)
