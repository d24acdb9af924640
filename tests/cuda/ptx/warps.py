"""What the threads of a warp do together."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from tests.cuda.ptx.parser import Instruction, PtxError

if TYPE_CHECKING:
    from tests.cuda.ptx.machine import _Machine


#: Instructions of a warp → the operand that is the mask of lanes, or None if they are for all.
_MASKS = {"shfl": -1, "bar": 0, "ldmatrix": None, "mma": None}


def incomplete(machine: _Machine, each: Instruction, active: np.ndarray) -> np.ndarray | None:
    """Which threads are at an instruction of their warp before others that its mask names; None
    where none are, or it is no such instruction.

    Raises PtxError for masks that do not name the lanes that are there.
    """
    name = each.op.partition(".")[0]
    if name not in _MASKS or not len(active):
        return None
    if machine.threads % 32:
        raise PtxError(f"blocks of {machine.threads} threads: {each.text}")
    place = _MASKS[name]
    mask = np.uint32(0xFFFFFFFF)
    if place is not None:
        mask = machine.get(each.operands[place], "u32", active)
    mask = np.broadcast_to(mask, (len(active),))
    warp = machine.every // 32
    there = np.zeros(machine.count // 32, np.uint32)
    np.bitwise_or.at(there, warp[active], np.uint32(1) << (active % 32).astype(np.uint32))
    if (there[warp[active]] & ~mask).any():
        raise PtxError(f"lanes that the mask does not name are at {each.text}")
    late = mask != there[warp[active]]
    return late if late.any() else None


def shuffle(machine: _Machine, each: Instruction, parts: list[str], active: np.ndarray) -> None:
    """shfl.sync: what other lanes hold in a register."""
    if parts[0] != "sync" or parts[2] != "b32":
        raise PtxError(f"instruction that is not known: {each.text}")
    target, source, lane, clamp, _ = each.operands
    own = active % 32
    by = np.asarray(machine.get(lane, "u32", active)).astype(np.int64)
    bound = int(np.max(machine.get(clamp, "u32", active)))
    other = {"bfly": own ^ by, "up": own - by, "down": own + by, "idx": by + 0 * own}[parts[1]]
    if bound != (0 if parts[1] == "up" else 31):
        raise PtxError(f"parts of a warp: {each.text}")
    valid = (other >= 0) & (other < 32)
    other = np.where(valid, other, own)
    values = np.zeros(machine.count, np.uint32)
    values[active] = machine.get(source, "b32", active)
    registers = target.split("|")
    machine.put(registers[0], values[active - own + other], active)
    if len(registers) > 1:
        machine.put(registers[1], valid, active)


def warp_barrier(
    machine: _Machine, each: Instruction, parts: list[str], active: np.ndarray
) -> None:
    """bar.warp.sync: orders nothing here; shared memory must be met at barriers of a block."""
    if parts[:2] != ["warp", "sync"]:
        raise PtxError(f"instruction that is not known: {each.text}")


OPERATIONS: dict[str, Callable[..., None]] = {"shfl": shuffle, "bar": warp_barrier}
