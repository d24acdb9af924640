"""What each thread computes for itself: the arithmetic instructions of PTX."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from tests.cuda.ptx.parser import BITS, Instruction, PtxError

if TYPE_CHECKING:
    from tests.cuda.ptx.machine import _Machine

Operation = Callable[..., Any]

_WIDE = {"u16": "u32", "s16": "s32", "u32": "u64", "s32": "s64"}
_ROUNDINGS = {"rni": np.rint, "rmi": np.floor, "rpi": np.ceil, "rzi": np.trunc}
#: Modifiers that change nothing here: roundings to nearest, which is all there is.
_SILENT = {"rn", "lo", "to", "global", "shared"}


def fused(a: Any, b: Any, c: Any) -> Any:
    """a * b + c, rounded once.

    For f32 the sum of the exact product is rounded to odd in f64, from where one more rounding is
    right; for f64 the error of the sum is, before it is added (both Boldo and Melquiond, "Emulation
    of a FMA and correctly rounded sums: proved algorithms using rounding to odd", 2008).
    """
    if np.asarray(a).dtype == np.float64:
        return _fused_doubles(*np.broadcast_arrays(a, b, c))
    product, addend = np.float64(a) * np.float64(b), np.float64(c)
    return _odd_sum(product, addend).astype(np.float32)


def _two_sum(a: Any, b: Any) -> Any:
    total = a + b
    part = total - a
    return total, (a - (total - part)) + (b - part)


def _odd_sum(a: Any, b: Any) -> Any:
    """a + b in f64, rounded to odd."""
    total, error = _two_sum(a, b)
    bits = np.asarray(total).view(np.int64)
    toward_zero = bits - ((error < 0) == (total > 0))
    odd = np.where((error != 0) & np.isfinite(total), toward_zero | 1, bits)
    return odd.view(np.float64)


#: Magnitudes within which no part of the sum overflows or is denormal.
_SAFE = 2.0**-300, 2.0**300


def _fused_doubles(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    product = a * b
    result = product + c
    sizes = np.abs([a, b, product, c])
    safe = (((sizes > _SAFE[0]) & (sizes < _SAFE[1])) | (sizes == 0)).all(axis=0)
    halves = []
    for x in (a, b):  # Veltkamp's
        high = 134217729.0 * x
        high = high - (high - x)
        halves += [high, x - high]
    a1, a0, b1, b0 = halves
    low = ((a1 * b1 - product) + a1 * b0 + a0 * b1) + a0 * b0
    total, error = _two_sum(c, low)
    first, rest = _two_sum(product, total)
    sums = first + _odd_sum(error, rest)
    result = np.where(safe & (sums != 0), sums, result)  # nothing has the sign of its parts
    for i in np.flatnonzero(~safe.reshape(-1) & np.isfinite(a * b * 0 + c).reshape(-1)):
        exact = Fraction(float(a.flat[i])) * Fraction(float(b.flat[i])) + Fraction(float(c.flat[i]))
        if exact:
            result.flat[i] = _nearest(exact)
    return result


def _nearest(exact: Fraction) -> float:
    try:
        return float(exact)  # of integers, correctly rounded
    except OverflowError:
        return np.inf if exact > 0 else -np.inf


def _divide(a: Any, b: Any) -> Any:
    if np.asarray(a).dtype.kind == "f":
        return a / b
    quotient = np.floor_divide(a, b)
    inexact = (a - quotient * b != 0) & ((a < 0) != (b < 0))
    return np.where(np.asarray(b) == 0, -1, quotient + inexact).astype(np.asarray(quotient).dtype)


def _remainder(a: Any, b: Any) -> Any:
    return a - _divide(a, b) * b


def _extremum(pick: Operation, nan: bool) -> Operation:
    def extremum(a: Any, b: Any) -> Any:
        found = pick(a, b)
        if np.asarray(found).dtype.kind != "f":
            return found
        zeros = (a == 0) & (b == 0)
        signed = np.signbit(a) | np.signbit(b) if pick is np.fmin else np.signbit(a) & np.signbit(b)
        found = np.where(zeros, np.where(signed, -0.0, 0.0), found).astype(found.dtype)
        return (
            np.where(np.isnan(a) | np.isnan(b), np.nan, found).astype(found.dtype) if nan else found
        )

    return extremum


def _high(a: Any, b: Any) -> Any:
    """The high half of a product."""
    kind = np.asarray(a).dtype
    bits = 8 * kind.itemsize
    exact = np.asarray(a).astype(object) * np.asarray(b).astype(object)
    return (exact >> bits).astype(kind)


def _shifted(left: bool) -> Operation:
    def shift(a: Any, by: Any) -> Any:
        a, by = np.asarray(a), np.asarray(by).astype(np.uint64)
        bits = 8 * a.dtype.itemsize
        amount = np.minimum(by, bits - 1).astype(a.dtype)
        made = a << amount if left else a >> amount
        beyond = a >> (bits - 1) if a.dtype.kind == "i" and not left else np.zeros_like(a)
        return np.where(by >= bits, beyond, made)

    return shift


def _funnel(parts: list[str], low: Any, high: Any, by: Any) -> Any:
    by = np.minimum(by, 32) if "clamp" in parts else by & 31
    whole = (high.astype(np.uint64) << np.uint64(32)) | low.astype(np.uint64)
    if "l" in parts:
        return ((whole << by.astype(np.uint64)) >> np.uint64(32)).astype(np.uint32)
    return (whole >> by.astype(np.uint64)).astype(np.uint32)


def _permuted(a: Any, b: Any, selector: Any) -> Any:
    whole = (np.asarray(b).astype(np.uint64) << np.uint64(32)) | np.asarray(a).astype(np.uint64)
    result = np.uint32(0)
    for index in range(4):
        nibble = (np.asarray(selector) >> np.uint32(4 * index)) & np.uint32(15)
        byte = (whole >> ((nibble & 7).astype(np.uint64) * np.uint64(8))) & np.uint64(255)
        sign = np.where(byte & np.uint64(128), 255, 0).astype(np.uint64)
        byte = np.where(nibble & 8, sign, byte)
        result = result | (byte.astype(np.uint32) << np.uint32(8 * index))
    return result


def _power_of_two(x: Any) -> Any:
    """ex2.approx.ftz: off by as much as it may be, 2 units in the last place; 0 for denormals."""
    least = np.float32(2.0**-126)
    x = np.where(np.abs(x) < least, np.float32(0), x)
    exact = np.exp2(x.astype(np.float64)).astype(np.float32)
    sign = np.where(np.asarray(x, np.float32).view("u4") & 1, 2.0**-22, -(2.0**-22))
    off = np.where(np.isfinite(exact) & (x != np.rint(x)), exact * (1 + sign), exact)
    return np.where(off < least, np.float32(0), off).astype(np.float32)


def _dot_of_bytes(a: Any, b: Any, c: Any, kinds: list[str]) -> Any:
    """dp4a: c and the products of four bytes each, signed where their kinds are."""
    total = np.asarray(c).astype(np.int64)
    for index in range(4):
        left, right = (
            (np.asarray(word).view("u4") >> np.uint32(8 * index) & 255)
            .astype("u1")
            .view("i1" if kind == "s32" else "u1")
            .astype(np.int64)
            for word, kind in zip((a, b), kinds, strict=True)
        )
        total = total + left * right
    return total.astype("u8").astype("u4")


def _extracted(a: Any, start: Any, length: Any) -> Any:
    """bfe: a field of bits, with its sign for signed types."""
    a = np.asarray(a)
    bits = 8 * a.dtype.itemsize
    start, length = (
        np.minimum(np.asarray(v) & 255, bits).astype(np.int64) for v in (start, length)
    )
    out = []
    mask = (1 << bits) - 1
    for value, s, n in zip(*np.broadcast_arrays(a, start, length), strict=True):
        n = min(int(n), bits)
        field = ((int(value) & mask) >> int(s)) & ((1 << n) - 1)
        if a.dtype.kind == "i" and n:
            top = min(int(s) + n - 1, bits - 1)
            if (int(value) & mask) >> top & 1:
                field |= mask & ~((1 << (top - int(s) + 1)) - 1)
        out.append(field)
    return np.array(out, f"u{a.dtype.itemsize}").view(a.dtype)


def _inserted(a: Any, b: Any, start: Any, length: Any) -> Any:
    """bfi: the low bits of a put into b."""
    kind = np.asarray(b).dtype
    bits = 8 * kind.itemsize
    start, length = np.asarray(start).astype(kind), np.asarray(length).astype(kind)
    one = kind.type(1)
    mask = np.where(length >= bits, ~kind.type(0), (one << np.minimum(length, bits - 1)) - one)
    mask = mask.astype(kind) << start
    return (b & ~mask) | ((a << start) & mask)


_COMPARISONS: dict[str, Operation] = {
    "eq": np.equal, "ne": np.not_equal, "lt": np.less, "le": np.less_equal, "gt": np.greater,
    "ge": np.greater_equal, "lo": np.less, "ls": np.less_equal, "hi": np.greater,
    "hs": np.greater_equal,
}  # fmt: skip


def compare(name: str, a: Any, b: Any) -> Any:
    """A comparison of setp; those that end in u are true for NaN, `ne` is not."""
    nan = (a != a) | (b != b)
    if name in ("num", "nan"):
        return ~nan if name == "num" else nan
    if name in _COMPARISONS:
        return _COMPARISONS[name](a, b) & ~nan
    if name.endswith("u") and name[:-1] in _COMPARISONS:
        return _COMPARISONS[name[:-1]](a, b) | nan
    raise PtxError(f"comparison {name}")


def _converted(values: Any, source: str, target: str, parts: list[str]) -> Any:
    from tests.cuda.ptx.machine import NUMPY

    values = np.asarray(values)
    for name, function in _ROUNDINGS.items():
        if name in parts:
            values = function(values)
    goal = NUMPY[target]
    if source[0] == "f" and goal.kind in "iu":
        limits = np.iinfo(goal)
        wide = np.where(np.isnan(values), 0, values.astype(np.float64))
        inside = np.clip(wide, float(limits.min), float(limits.max))
        made = np.where(wide >= float(limits.max), limits.max, inside.astype(goal))
        return np.where(wide <= float(limits.min), limits.min, made).astype(goal)
    if "sat" in parts:
        values = np.clip(np.where(np.isnan(values), 0, values), 0, 1).astype(values.dtype)
    return values.astype(goal)


_BINARY: dict[str, Operation] = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "div": _divide, "rem": _remainder,
    "and": np.bitwise_and, "or": np.bitwise_or, "xor": np.bitwise_xor,
}  # fmt: skip
_UNARY: dict[str, Operation] = {
    "neg": np.negative, "abs": np.abs, "not": np.invert, "sqrt": np.sqrt,
    "rcp": lambda x: 1 / x, "popc": lambda x: np.bitwise_count(x).astype(np.uint32),
    "brev": lambda x: np.array(
        [int(f"{int(v):0{8 * x.dtype.itemsize}b}"[::-1], 2) for v in np.atleast_1d(x)], x.dtype
    ),
    "clz": lambda x: np.array(
        [8 * x.dtype.itemsize - int(v).bit_length() for v in np.atleast_1d(x)], np.uint32
    ),
}  # fmt: skip
_SHIFTS = {"shl": _shifted(left=True), "shr": _shifted(left=False)}


def execute(
    machine: _Machine, each: Instruction, name: str, parts: list[str], active: np.ndarray
) -> None:
    """One instruction on the threads `active`.

    Raises PtxError for one that is not known, or has a modifier that is not.
    """
    from tests.cuda.ptx.machine import NUMPY

    operands, kinds = each.operands, [part for part in parts if part in BITS]
    others = [part for part in parts if part not in BITS and part not in _SILENT]
    if not kinds or any(kind not in NUMPY for kind in kinds):
        raise PtxError(f"instruction that is not known: {each.text}")
    kind = kinds[-1]

    def value(index: int, of: str = kind) -> Any:
        return machine.get(operands[index], of, active)

    def known(*modifiers: str) -> None:
        if set(others) - set(modifiers):
            raise PtxError(f"instruction that is not known: {each.text}")

    made: Any
    if name == "mov":
        known()
        made = value(1)
    elif name == "cvta":
        from tests.cuda.ptx.machine import SHARED_WINDOW

        known()
        window = np.uint64(SHARED_WINDOW if "shared" in parts else 0)
        made = value(1) - window if "to" in parts else value(1) + window
    elif name in ("mul", "mad") and "wide" in parts:
        known("wide")
        wide = _WIDE[kind]
        made = value(1).astype(NUMPY[wide]) * value(2).astype(NUMPY[wide])
        made = made + value(3, wide) if name == "mad" else made
    elif name in ("mul", "mad") and "hi" in parts:
        known("hi")
        made = _high(value(1), value(2))
        made = made + value(3) if name == "mad" else made
    elif name == "mad":
        known()
        made = value(1) * value(2) + value(3)
    elif name == "fma":
        known()
        made = fused(value(1), value(2), value(3))
    elif name in _BINARY:
        known()
        bools = kind == "pred" and name in ("and", "or", "xor")
        if kind == "pred" and not bools:
            raise PtxError(f"instruction that is not known: {each.text}")
        made = _BINARY[name](value(1), value(2))
    elif name in ("min", "max"):
        known("NaN")
        pick = (
            (np.fmin if name == "min" else np.fmax)
            if kind[0] == "f"
            else (np.minimum if name == "min" else np.maximum)
        )
        made = _extremum(pick, "NaN" in parts)(value(1), value(2))
    elif name in _UNARY:
        known()
        made = _UNARY[name](np.asarray(value(1)))
    elif name in _SHIFTS:
        known()
        made = _SHIFTS[name](value(1), value(2, "u32"))
    elif name == "shf":
        known("l", "r", "wrap", "clamp")
        made = _funnel(parts, value(1), value(2), value(3, "u32"))
    elif name == "ex2":
        known("approx", "ftz")
        made = _power_of_two(np.asarray(value(1)))
    elif name == "dp4a":
        known()
        made = _dot_of_bytes(value(1), value(2), value(3), kinds)
    elif name == "prmt":
        known()
        made = _permuted(value(1), value(2), value(3, "u32"))
    elif name == "bfe":
        known()
        made = _extracted(value(1), value(2, "u32"), value(3, "u32"))
    elif name == "bfi":
        known()
        made = _inserted(value(1), value(2), value(3, "u32"), value(4, "u32"))
    elif name == "copysign":
        known()
        made = np.copysign(value(2), value(1))
    elif name == "selp":
        known()
        made = np.where(value(3, "pred"), value(1), value(2))
    elif name == "setp":
        made = compare(parts[0], value(1), value(2))
        if len(others) > 1:
            join = {"and": np.logical_and, "or": np.logical_or, "xor": np.logical_xor}[others[1]]
            made = join(made, value(3, "pred"))
    elif name == "cvt" and {"f16x2", "bf16x2"} & set(parts):
        known("f16x2", "bf16x2")
        narrow = _bf16_bits if "bf16x2" in parts else _f16_bits
        high, low = (narrow(np.asarray(value(i, "f32"))) for i in (1, 2))
        made = (high.astype("u4") << np.uint32(16)) | low
    elif name == "cvt" and "tf32" in parts:
        known("tf32", "rna")
        made = _tf32_bits(value(1))
    elif name == "cvt":
        known("sat", *_ROUNDINGS)
        target, source = kinds
        made = _converted(_narrow(machine, operands[1], source, active), source, target, parts)
        bits = machine.width(operands[0])
        if bits != BITS[target]:  # extended into a wider register
            made = made.astype(NUMPY[f"{'s' if target[0] == 's' else 'u'}{bits}"])
    else:
        raise PtxError(f"instruction that is not known: {each.text}")
    machine.put(operands[0], made, active)


def _f16_bits(values: np.ndarray) -> Any:
    return values.astype("f2").view("u2")


def _bf16_bits(values: np.ndarray) -> Any:
    """Rounded to the nearest, ties to even; NaN is the canonical one."""
    bits = values.view("u4")
    rounded = (bits + np.uint32(0x7FFF) + (bits >> np.uint32(16) & 1)) >> np.uint32(16)
    return np.where(np.isnan(values), 0x7FFF, rounded).astype("u2")


def _tf32_bits(values: Any) -> Any:
    """Rounded to 10 bits behind the leading one, ties away from zero."""
    bits = np.asarray(values).view("u4")
    rounded = (bits + np.uint32(0x1000)) & np.uint32(0xFFFFE000)
    rounded = np.where(np.isinf(values), bits, rounded)
    return np.where(np.isnan(values), np.uint32(0x7FFFE000), rounded).astype("u4")


def _narrow(machine: _Machine, operand: str, kind: str, active: np.ndarray) -> Any:
    """The low bits of a register that may be wider than what cvt names."""
    from tests.cuda.ptx.machine import NUMPY, UNSIGNED

    if not operand.startswith("%") or operand in machine.special:
        return machine.get(operand, kind, active)
    bits = machine.width(operand)
    whole = machine.get(operand, f"b{bits}", active)
    return whole.astype(UNSIGNED[BITS[kind]]).view(NUMPY[kind])
