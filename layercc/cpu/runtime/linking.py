"""Links the object code of one kernel into an image that can be copied to any address.

LLVM's own linker would do the same, but loading LLVM for it costs every process 40 MB of memory
and, the first time, 30 ms or more. Kernels for x86-64 need little of a linker: they have code and
constants, no variables, refer to both relative to the instruction pointer, and to the C library
only by calls. Each called function gets a stub, a jump through a slot that the loader fills in.

Relocations are those of the System V ABI, AMD64 supplement, section 4.4.
"""

from __future__ import annotations

import struct

from layercc.cpu.objects import (
    ALLOCATED,
    NO_BITS,
    PROGBITS,
    WRITABLE,
    ObjectFile,
    Relocation,
    Symbol,
)
from layercc.runtime.code import Image

_X86_64 = 62  # EM_X86_64
_PC32 = 2  # R_X86_64_PC32: a distance of 32 bits
_PLT32 = 4  # R_X86_64_PLT32: the same, to a function that may need a stub

_STUB_BYTES = 8
_SLOT_BYTES = 8


class NotLinkableError(Exception):
    """The object is for another machine, or has something that kernels for x86-64 do not."""


def link(code: bytes, entry: str) -> Image:
    """Link the object file ``code``, in which ``entry`` is the kernel's function.

    Raises NotLinkableError where another linker may succeed, and RuntimeError where none would.
    """
    try:
        file = ObjectFile.parse(code)
    except ValueError as error:
        raise RuntimeError(f"cannot load the kernel {entry}: {error}") from error
    if file is None or file.machine != _X86_64:
        raise NotLinkableError("not an object file for x86-64")
    image, starts = _lay_out(file, code)
    defined = {
        symbol.name: starts[symbol.section] + symbol.value
        for symbol in file.symbols
        if symbol.section in starts
    }
    if entry not in defined:
        raise RuntimeError(f"cannot load the kernel {entry}: its object file has no such function")
    imports: dict[str, int] = {}
    stubs: dict[str, int] = {}
    for name in dict.fromkeys(
        file.symbols[relocation.symbol].name
        for relocation in file.relocations
        if relocation.section in starts and file.symbols[relocation.symbol].is_undefined
    ):
        stubs[name], imports[name] = _append_stub(image)
    for relocation in file.relocations:
        if relocation.section in starts:
            symbol = file.symbols[relocation.symbol]
            _relocate(image, relocation, starts[relocation.section], _target(symbol, starts, stubs))
    return Image(bytes(image), defined[entry], imports)


def _lay_out(file: ObjectFile, code: bytes) -> tuple[bytearray, dict[int, int]]:
    """Code and constants one behind another; where each section starts, by its number."""
    image = bytearray()
    starts = {}
    for number, section in enumerate(file.sections):
        if not section.flags & ALLOCATED or not section.size:
            continue
        if section.type == NO_BITS or section.flags & WRITABLE:
            raise NotLinkableError("it has variables")
        if section.type != PROGBITS:  # tables for exceptions, which kernels do not raise
            continue
        image += bytes(-len(image) % max(section.alignment, 1))
        starts[number] = len(image)
        image += code[section.offset : section.offset + section.size]
    return image, starts


def _append_stub(image: bytearray) -> tuple[int, int]:
    """Add a stub and its empty slot; the offsets of both."""
    image += bytes(-len(image) % _SLOT_BYTES)
    stub = len(image)
    slot = stub + _STUB_BYTES
    image += b"\xff\x25" + struct.pack("<i", slot - (stub + 6)) + b"\xcc\xcc"  # jmp [rip + slot]
    image += bytes(_SLOT_BYTES)
    return stub, slot


def _target(symbol: Symbol, starts: dict[int, int], stubs: dict[str, int]) -> int:
    if symbol.is_undefined:
        return stubs[symbol.name]
    if symbol.section not in starts:
        raise NotLinkableError(f"{symbol.name} is neither code nor a constant")
    return starts[symbol.section] + symbol.value


def _relocate(image: bytearray, relocation: Relocation, start: int, target: int) -> None:
    if relocation.type not in (_PC32, _PLT32):
        raise NotLinkableError(f"relocation of type {relocation.type}")
    place = start + relocation.offset
    struct.pack_into("<i", image, place, target + relocation.addend - place)
