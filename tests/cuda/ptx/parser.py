"""PTX text → instructions, as far as kernels need it. What is not known raises PtxError."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

#: Bits of the types that instructions name.
BITS = {
    "pred": 1, "b8": 8, "u8": 8, "s8": 8, "b16": 16, "u16": 16, "s16": 16, "f16": 16, "bf16": 16,
    "b32": 32, "u32": 32, "s32": 32, "f32": 32, "b64": 64, "u64": 64, "s64": 64, "f64": 64,
}  # fmt: skip

_STATEMENT = re.compile(r"(?:@(!?%?[\w$]+)\s+)?([a-z][\w.:]*)\s*(.*)", re.DOTALL)
_LABEL = re.compile(r"\s*([$\w]+):(?!:)")
_REGISTERS = re.compile(r"\.reg\s+\.(\w+)\s+(%[\w$]+)<(\d+)>")
_SHARED = re.compile(r"(?:\.extern\s+)?\.shared\s+\.align\s+(\d+)\s+\.b8\s+([\w$]+)(?:\[(\d*)\])?")
_PARAMETER = re.compile(r"\.param\s+\.(\w+)\s+(?:\.ptr\s+)?(?:\.align\s+\d+\s+)?([\w$]+)")


class PtxError(Exception):
    """PTX that is wrong, does what it must not do, or that the interpreter does not know."""


@dataclass(frozen=True)
class Instruction:
    """`guard` is a predicate, with ! if it is negated, or empty."""

    guard: str
    op: str
    operands: tuple[str, ...]
    text: str


@dataclass
class Kernel:
    """One entry. Offsets in shared memory are in bytes; `dynamic` are the names of what a launch
    asks for, which begins behind all else."""

    name: str
    parameters: list[tuple[str, str]]  # type, name
    instructions: list[Instruction] = field(default_factory=list)
    labels: dict[str, int] = field(default_factory=dict)
    widths: dict[str, int] = field(default_factory=dict)  # register prefix → bits
    shared: dict[str, int] = field(default_factory=dict)  # name → offset
    static_shared: int = 0
    dynamic: list[str] = field(default_factory=list)
    most_threads: int = 1024
    version: str = ""
    target: str = ""


def parse(text: str) -> Kernel:
    """The one kernel of a PTX module."""
    text = re.sub(r"//[^\n]*", "", re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL))
    found = re.findall(r"\.entry\s+([\w$]+)\s*\(([^)]*)\)([^{]*)\{", text)
    if len(found) != 1:
        raise PtxError(f"{len(found)} entries; one would fit")
    name, parameters, attributes = found[0]
    start = text.index("{", text.index(".entry")) + 1
    head, body = text[: text.index(".entry")], text[start : text.rindex("}")]
    kernel = Kernel(name, [(kind, at) for kind, at in _PARAMETER.findall(parameters)])
    if len(kernel.parameters) != parameters.count(".param"):
        raise PtxError(f"parameters that are not understood: {parameters}")
    for what in ("version", "target"):
        match = re.search(rf"^\.{what}\s+(\S+)", head, re.MULTILINE)
        if match is None:
            raise PtxError(f"no .{what}")
        setattr(kernel, what, match[1].rstrip(","))
    if match := re.search(r"\.maxntid\s+(\d+)", attributes):
        kernel.most_threads = int(match[1])
    for statement in head.split(";") if ";" in head else []:
        if re.search(r"\.(shared|global|const|func)\b", statement):
            _declare(kernel, " ".join(statement.split()))
    for statement in body.split(";"):
        _read(kernel, statement)
    kernel.shared |= dict.fromkeys(kernel.dynamic, aligned_shared(kernel))
    return kernel


def aligned_shared(kernel: Kernel) -> int:
    """Where dynamic shared memory begins."""
    return -(-kernel.static_shared // 16) * 16


def _declare(kernel: Kernel, statement: str) -> None:
    match = _SHARED.search(statement)
    if match is None:
        raise PtxError(f"directive that is not known: {statement}")
    alignment, name, length = int(match[1]), match[2], int(match[3] or 0)
    if ".extern" in statement:
        kernel.dynamic.append(name)
        return
    start = -(-kernel.static_shared // alignment) * alignment
    kernel.shared[name] = start
    kernel.static_shared = start + length


def _read(kernel: Kernel, statement: str) -> None:
    statement = statement.strip()
    while match := _LABEL.match(statement):
        kernel.labels[match[1]] = len(kernel.instructions)
        statement = statement[match.end() :].strip()
    statement = " ".join(statement.split())
    if not statement:
        return
    if match := _REGISTERS.fullmatch(statement):
        kernel.widths[match[2]] = BITS[match[1]]
    elif statement.startswith((".shared", ".extern")):
        _declare(kernel, statement)
    elif statement.startswith(".pragma"):
        pass
    else:
        match = _STATEMENT.fullmatch(statement)
        if match is None:
            raise PtxError(f"statement that is not known: {statement}")
        operands = tuple(split(match[3]))
        kernel.instructions.append(Instruction(match[1] or "", match[2], operands, statement))


def split(text: str) -> list[str]:
    """Operands: at the commas outside of braces and brackets."""
    found, depth, current = [], 0, ""
    for character in text:
        depth += (character in "{[") - (character in "}]")
        if character == "," and not depth:
            found.append(current.strip())
            current = ""
        else:
            current += character
    if current.strip():
        found.append(current.strip())
    return found
