"""Conversion between element types, as ONNX's Cast defines it."""

from __future__ import annotations

import ml_dtypes
import numpy as np

from ir.dtypes import FLOAT8, INTEGER_KINDS, NUMPY_DTYPES, DType, dtype_of


def cast(array: np.ndarray, to: DType, saturate: bool = True, round_mode: str = "up") -> np.ndarray:
    """`array` as `to`.

    Floats out of range become infinite; float8 clamps to its largest number if `saturate` (or
    gives NaN or Inf), float4 always. Integers keep their low bits. `round_mode` (`up`, `down`,
    `nearest`) is for float8 E8M0, which holds powers of two.
    """
    if to is DType.bool:
        return array.astype(np.float32) != 0 if _is_small(array) else array != 0
    if to.kind == "float" and to not in NUMPY_DTYPES:  # ml_dtypes makes them from float32
        array = _to_odd(array)
    if to is DType.f8e8m0fnu:
        return _to_power_of_two(array, saturate, round_mode)
    if to in FLOAT8:
        wide = array.astype(np.float32)
        if saturate:
            limit = float(ml_dtypes.finfo(to.value).max)
            wide = np.clip(wide, -limit, limit)  # NaN stays
        return wide.astype(to.value)
    if to.kind in INTEGER_KINDS and to not in NUMPY_DTYPES:
        return _low_bits(array, to)
    if _is_small(array):
        array = array.astype(np.float32)
    return array.astype(to.value, copy=False)


def _is_small(array: np.ndarray) -> bool:
    """Whether the type is one of ml_dtypes', which converts them by way of float32."""
    return array.dtype.kind == "V" or (array.dtype.itemsize == 1 and array.dtype.kind == "f")


def _to_odd(array: np.ndarray) -> np.ndarray:
    """float64 and wide integers as the float32 that rounds as they do; anything else as it is.

    Made float32 to nearest, they would be rounded twice. A number that does not fit into 14
    binary digits is cut to the neighbour whose last digit is 1, which the rounding that follows
    never takes for halfway (S. Boldo and G. Melquiond, "Emulation of FMA and correctly rounded
    sums: proved algorithms using rounding to odd", 2008).
    """
    if array.dtype in (np.int64, np.uint64):
        cut = array.dtype.type((1 << 11) - 1)
        odd = (array | ((array & cut) + cut)) & ~cut
        wide = array >= 1 << 53
        if array.dtype == np.int64:
            wide |= array <= -(1 << 53)
        array = np.where(wide, odd, array)
    if array.dtype.kind not in "iuf" or array.dtype.itemsize < 4 or array.dtype == np.float32:
        return array
    bits = array.astype(np.float64).view(np.int64)
    cut = np.int64((1 << 39) - 1)
    with np.errstate(over="ignore"):
        odd = np.asarray((bits | ((bits & cut) + cut)) & ~cut)
        return odd.view(np.float64).astype(np.float32)


def _low_bits(array: np.ndarray, to: DType) -> np.ndarray:
    bits, kind = to.bits, dtype_of(array).kind
    whole = array.astype(np.float64) if kind in ("float", "bool") else array
    low = whole.astype(np.int64) & ((1 << bits) - 1)
    if to.kind == "signed":
        low = np.where(low >> (bits - 1), low - (1 << bits), low)
    return low.astype(np.int8).astype(to.value)


def _to_power_of_two(array: np.ndarray, saturate: bool, round_mode: str) -> np.ndarray:
    """float8 E8M0: the biased exponent of float32, 0xFF for NaN; there is no sign and no zero."""
    wide = array.astype(np.float32)
    bits = wide.view(np.uint32)
    exponent = ((bits >> 23) & 0xFF).astype(np.int64)
    fraction = bits & 0x7FFFFF
    if round_mode == "up":
        exponent = exponent + (fraction > 0)
    elif round_mode == "nearest":
        exponent = exponent + (fraction >= 0x400000)
    over = (exponent >= 0xFF) & ~np.isnan(wide)
    exponent = np.where(over, 0xFE if saturate else 0xFF, exponent)
    exponent = np.where(np.isnan(wide), 0xFF, exponent)
    return exponent.astype(np.uint8).view(DType.f8e8m0fnu.value)
