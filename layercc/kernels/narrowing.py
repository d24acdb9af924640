"""Wide numbers made float32 such that f16 and bf16 come out right: rounded once.

A float64 rounded to float32 and then to f16 is rounded twice, and wrong where the first rounding
ends halfway between two f16 numbers: 1 + 2^-11 + 2^-40 becomes 1 rather than 1 + 2^-10. Here the
first step *rounds to odd* instead: it keeps a number that fits, and else cuts to the neighbour
whose last bit is 1, which is never halfway. With two bits more than the final format has, the
second rounding is then the only one that counts (Boldo and Melquiond, "Emulation of FMA and
correctly rounded sums: proved algorithms using rounding to odd", IEEE Transactions on Computers 57,
2008).

Importing this module imports Numba; its functions are called from kernels only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from layercc.kernels.helper import jit
from layercc.kernels.math_intrinsics import as_bits, select

_F32, _F64, _U64 = np.float32, np.float64, np.uint64
#: Bits of a float64's fraction that are cut: 14 of its 53 digits stay, three more than f16 has. The
#: least numbers that do not round to 0 as bf16 are above 2^-134; the last of their 14 digits is
#: 2^-147 or more, which float32's denormals (down to 2^-149) hold exactly.
_CUT = (1 << 39) - 1
#: Bits of an integer that are cut where float64 cannot hold it.
_CUT_INTEGER = (1 << 11) - 1
_EXACT = 1 << 53
_U_CUT, _U_KEPT, _U_EXACT = _U64(_CUT_INTEGER), _U64(2**64 - 1 - _CUT_INTEGER), _U64(_EXACT)


@jit
def from_f64(x: Any) -> Any:
    """A float64, to odd in 14 digits; NaN and infinities stay."""
    bits = as_bits(x)
    return _F32(as_bits((bits | ((bits & _CUT) + _CUT)) & ~_CUT))


@jit
def from_i64(x: Any) -> Any:
    """An int64, to odd."""
    odd = (x | ((x & _CUT_INTEGER) + _CUT_INTEGER)) & ~_CUT_INTEGER
    return from_f64(_F64(select((x > -_EXACT) & (x < _EXACT), x, odd)))


@jit
def from_u64(x: Any) -> Any:
    """A uint64, to odd."""
    odd = (x | ((x & _U_CUT) + _U_CUT)) & _U_KEPT
    return from_f64(_F64(select(x < _U_EXACT, x, odd)))


@jit
def from_32_bits(x: Any) -> Any:
    """An int32 or uint32, to odd."""
    return from_f64(_F64(x))


#: By compute type; of all others float32 holds every number.
TO_ODD: dict[str, Callable[..., Any]] = {
    "f64": from_f64, "i64": from_i64, "u64": from_u64, "i32": from_32_bits, "u32": from_32_bits,
}  # fmt: skip
