"""Products of matrices that the lanes of a warp hold together, and loads of such.

How tensor cores add is not documented; what was measured (Fasi, Higham, Mikaitis and Pranesh,
"Numerical behavior of NVIDIA tensor cores", PeerJ CS 7:e330, 2021) is modelled, at its worst:
products are exact; 8 of them (4 of tf32) and the sum so far are cut off, not rounded, at one bit
below the last of the largest among them, added, and the result is cut off to f32.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from tests.cuda.ptx.parser import Instruction, PtxError, split

if TYPE_CHECKING:
    from tests.cuda.ptx.machine import _Machine

_MMA = re.compile(
    r"mma\.sync\.aligned\.(m16n8k\d+)\.row\.col\.(f32|s32)\.(\w+)\.(\w+)\.\2", re.ASCII
)
#: Shapes by the types of A and B; 8-bit integers may differ.
_SHAPES = {("f32", "bf16"): "m16n8k16", ("f32", "f16"): "m16n8k16", ("f32", "tf32"): "m16n8k8",
           ("s32", "s8"): "m16n8k32", ("s32", "u8"): "m16n8k32"}  # fmt: skip


def _bf16(words: np.ndarray) -> np.ndarray:
    return (words.view("u2").astype("u4") << np.uint32(16)).view("f4").astype("f8")


def _tf32(words: np.ndarray) -> np.ndarray:
    """The low 13 bits are not looked at: CUTLASS counts on that (`round_half_ulp_truncate`)."""
    return (words & np.uint32(0xFFFFE000)).view("f4").astype("f8")


#: Elements in registers → numbers; [..., register] to [..., register and element].
_ELEMENTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "bf16": _bf16,
    "f16": lambda words: words.view("f2").astype("f8"),
    "tf32": _tf32,
    "s8": lambda words: words.view("i1").astype("i8"),
    "u8": lambda words: words.view("u1").astype("i8"),
}
_PER_STEP = {"bf16": 8, "f16": 8, "tf32": 4}


def mma(machine: _Machine, each: Instruction, parts: list[str], active: np.ndarray) -> None:
    """mma.sync on whole warps."""
    match = _MMA.fullmatch(each.op)
    if match is None:
        raise PtxError(f"instruction that is not known: {each.text}")
    shape, total, left, right = match.groups()
    if not shape == _SHAPES.get((total, left)) == _SHAPES.get((total, right)):
        raise PtxError(f"instruction that is not known: {each.text}")
    if total == "f32" and left != right:
        raise PtxError(f"instruction that is not known: {each.text}")
    a = _rows(_ELEMENTS[left](_registers(machine, each, 1, 4, active)), 16)
    b = _rows(_ELEMENTS[right](_registers(machine, each, 2, 2, active)), 8).swapaxes(1, 2)
    c = _registers(machine, each, 3, 4, active).view("f4" if total == "f32" else "i4")
    c = c.reshape(-1, 8, 4, 2, 2).transpose(0, 3, 1, 2, 4).reshape(-1, 16, 8)
    floats = total == "f32"
    result = added(a, b, c, _PER_STEP[left]) if floats else (a @ b + c).astype("i4")
    lanes = result.reshape(-1, 2, 8, 4, 2).transpose(0, 2, 3, 1, 4).reshape(-1, 4)
    for register, column in zip(split(each.operands[0].strip("{}")), lanes.T, strict=True):
        machine.put(register, column.copy(), active)


def _registers(
    machine: _Machine, each: Instruction, operand: int, count: int, active: np.ndarray
) -> np.ndarray:
    """[lanes, count] words of 32 bits."""
    names = split(each.operands[operand].strip("{}"))
    if len(names) != count:
        raise PtxError(f"{len(names)} registers where {count} fit: {each.text}")
    columns = [machine.get(name, "b32", active) for name in names]
    return np.stack([np.broadcast_to(column, active.shape) for column in columns], axis=1)


def _rows(elements: np.ndarray, rows: int) -> np.ndarray:
    """Elements by lane, [lanes, elements of all registers], as [warps, rows, terms]."""
    blocks = rows // 8
    parts = elements.reshape(-1, 8, 4, 2, blocks, elements.shape[1] // (2 * blocks))
    return parts.transpose(0, 4, 1, 3, 2, 5).reshape(len(parts), rows, -1)


def added(a: np.ndarray, b: np.ndarray, c: np.ndarray, at_once: int) -> np.ndarray:
    """a · b + c for [..., 16, k] by [..., k, 8] exact products, cut off as the module says."""
    for start in range(0, a.shape[-1], at_once):
        some = slice(start, start + at_once)
        products = a[..., :, some, None] * b[..., None, some, :]
        terms = np.concatenate([products, c[..., :, None, :].astype("f8")], axis=-2)
        _, exponent = np.frexp(np.abs(terms).max(axis=-2, keepdims=True))
        kept = np.ldexp(np.trunc(np.ldexp(terms, 25 - exponent)), exponent - 25)
        whole = np.where(np.isfinite(terms).all(axis=-2), kept.sum(axis=-2), terms.sum(axis=-2))
        c = whole.astype("f4")
        beyond = np.isfinite(c) & (np.abs(c.astype("f8")) > np.abs(whole))
        c = np.where(beyond, np.nextafter(c, np.float32(0)), c)
    return c


def ldmatrix(machine: _Machine, each: Instruction, parts: list[str], active: np.ndarray) -> None:
    """ldmatrix.sync: up to four matrices of 8 rows of 16 bytes from shared memory."""
    counts = {"x1": 1, "x2": 2, "x4": 4}
    shape, transposed = parts[2:4], "trans" in parts
    known = ["sync", "aligned", *shape, *["trans"] * transposed, "shared", "b16"]
    if parts != known or shape[0] != "m8n8" or shape[1] not in counts:
        raise PtxError(f"instruction that is not known: {each.text}")
    names = split(each.operands[0].strip("{}"))
    if len(names) != counts[shape[1]]:
        raise PtxError(f"{len(names)} registers for {each.text}")
    speaking = active[active % 32 < 8 * len(names)]
    shared, places = machine.places(each.operands[1], 16, "shared", speaking, each.text)
    data = shared.load(places, machine.numbers[speaking], each.text)
    matrices = np.ascontiguousarray(data).view("u2").reshape(-1, len(names), 8, 8)
    if transposed:
        matrices = matrices.swapaxes(2, 3)
    for index, name in enumerate(names):
        words = np.ascontiguousarray(matrices[:, index]).view("u4")
        machine.put(name, words.reshape(-1), active)


OPERATIONS: dict[str, Callable[..., None]] = {"mma": mma, "ldmatrix": ldmatrix}
