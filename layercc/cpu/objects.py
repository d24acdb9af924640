"""Reads object files: which symbols does compiled code need from outside?"""

from __future__ import annotations

import struct

_C_LIBRARY = "memcpy memset memmove memcmp bcmp sched_yield syscall usleep"
_MATH = (
    "acos acosh asin asinh atan atan2 atanh cbrt ceil copysign cos cosh erf erfc exp exp2 expm1 "
    "fabs floor fma fmax fmin fmod frexp hypot ldexp lgamma log log10 log1p log2 lrint lround "
    "modf nearbyint nextafter pow remainder rint round roundeven scalbn sin sincos sinh sqrt tan "
    "tanh tgamma trunc"
)
ALLOWED = frozenset(
    ["_GLOBAL_OFFSET_TABLE_", *_C_LIBRARY.split(), *_MATH.split()]
    + [f"{name}f" for name in _MATH.split()]
)

_SYMBOL_TABLE = 2  # section type SHT_SYMTAB


def undefined_symbols(code: bytes) -> set[str] | None:
    """Names that the ELF64 object ``code`` refers to but does not define; None if not ELF64."""
    if code[:5] != b"\x7fELF\x02":
        return None
    (sections_at,) = struct.unpack_from("<Q", code, 0x28)
    entry_size, count = struct.unpack_from("<HH", code, 0x3A)
    sections = [
        struct.unpack_from("<IIQQQQIIQQ", code, sections_at + i * entry_size) for i in range(count)
    ]
    names: set[str] = set()
    for _, kind, _, _, offset, size, link, _, _, item_size in sections:
        if kind != _SYMBOL_TABLE:
            continue
        strings = sections[link][4]
        for at in range(offset, offset + size, item_size):
            name, _, _, section, _, _ = struct.unpack_from("<IBBHQQ", code, at)
            if name and section == 0:
                start = strings + name
                names.add(code[start : code.index(b"\0", start)].decode())
    return names


def check_symbols(code: bytes, entry: str) -> None:
    """Raise RuntimeError where object ``code`` needs more than the C library has."""
    foreign = (undefined_symbols(code) or set()) - ALLOWED
    if foreign:
        raise RuntimeError(
            f"kernel {entry} needs symbols that no C library has: {', '.join(sorted(foreign))}. "
            "Kernels may not use Python objects, exceptions, arrays or allocation."
        )
