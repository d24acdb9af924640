"""Reads ELF64 object files, as LLVM writes them for kernels.

The format is that of the System V ABI, chapters 4 and 5 ("Object Files", "Program Loading").
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import NamedTuple

_C_LIBRARY = "clock_gettime memcpy memset memmove memcmp bcmp sched_yield syscall usleep"
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

PROGBITS = 1  # section types: code and constants,
SYMBOL_TABLE = 2
RELOCATIONS = 4
NO_BITS = 8  # and zeroed variables, which take no room in the file
WRITABLE = 1  # section flags: changes at run time,
ALLOCATED = 2  # and is part of the program

_UNDEFINED = 0  # section index of a symbol from elsewhere
_SECTION = struct.Struct("<IIQQQQIIQQ")
_SYMBOL = struct.Struct("<IBBHQQ")
_RELOCATION = struct.Struct("<QQq")


class Section(NamedTuple):
    """A section header, field for field; ``offset`` and ``size`` are bytes of the file."""

    name: int
    type: int
    flags: int
    address: int
    offset: int
    size: int
    link: int
    info: int
    alignment: int
    entry_size: int


class Symbol(NamedTuple):
    """A name and its place: ``value`` bytes into section number ``section``."""

    name: str
    section: int
    value: int

    @property
    def is_undefined(self) -> bool:
        return self.section == _UNDEFINED


class Relocation(NamedTuple):
    """Byte ``offset`` of section number ``section`` wants the address of a symbol."""

    section: int
    offset: int
    type: int
    symbol: int
    addend: int


@dataclass(frozen=True)
class ObjectFile:
    """An object file taken apart."""

    machine: int  # EM_X86_64 is 62
    sections: tuple[Section, ...]
    symbols: tuple[Symbol, ...]
    relocations: tuple[Relocation, ...]

    @staticmethod
    def parse(code: bytes) -> ObjectFile | None:
        """Take ``code`` apart; None where it is not a little-endian ELF64 file.

        Raises ValueError where it is cut short.
        """
        if code[:6] != b"\x7fELF\x02\x01":
            return None
        try:
            return _parse(code)
        except (struct.error, IndexError, ValueError) as error:
            raise ValueError(f"not a whole object file: {error}") from error


def _parse(code: bytes) -> ObjectFile:
    (machine,) = struct.unpack_from("<H", code, 0x12)
    (start,) = struct.unpack_from("<Q", code, 0x28)
    entry_size, count = struct.unpack_from("<HH", code, 0x3A)
    sections = tuple(
        Section(*_SECTION.unpack_from(code, start + i * entry_size)) for i in range(count)
    )
    symbols: list[Symbol] = []
    relocations: list[Relocation] = []
    for section in sections:
        data = code[section.offset : section.offset + section.size]
        if section.type == SYMBOL_TABLE:
            strings = sections[section.link].offset
            for name, _, _, place, value, _ in _SYMBOL.iter_unpack(data):
                end = code.index(b"\0", strings + name)
                symbols.append(Symbol(code[strings + name : end].decode(), place, value))
        elif section.type == RELOCATIONS:
            for offset, info, addend in _RELOCATION.iter_unpack(data):
                kind, symbol = info & 0xFFFFFFFF, info >> 32
                relocations.append(Relocation(section.info, offset, kind, symbol, addend))
    return ObjectFile(machine, sections, tuple(symbols), tuple(relocations))


def undefined_symbols(code: bytes) -> set[str] | None:
    """Names that the ELF64 object ``code`` refers to but does not define; None if not ELF64."""
    file = ObjectFile.parse(code)
    if file is None:
        return None
    return {symbol.name for symbol in file.symbols if symbol.is_undefined and symbol.name}


def check_symbols(code: bytes, entry: str) -> None:
    """Raise RuntimeError where object ``code`` needs more than the C library has."""
    foreign = (undefined_symbols(code) or set()) - ALLOWED
    if foreign:
        raise RuntimeError(
            f"kernel {entry} needs symbols that no C library has: {', '.join(sorted(foreign))}. "
            "Kernels may not use Python objects, exceptions, arrays or allocation."
        )
