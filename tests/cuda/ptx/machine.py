"""An interpreter of PTX in NumPy: all threads of many blocks at once, an array a register.

It is strict: an instruction that it does not know, a register, shared or global byte that is read
before it was written, an access that is misaligned or outside, races between barriers, warp-wide
instructions that not all named lanes reach, barriers that not all threads reach and copies that are
not waited for raise PtxError. Floating point is rounded as IEEE 754 says, fused multiply-adds once.

Threads that go different ways are run one way after the other, the lowest place in the code first,
and go on together where they meet. Lanes at an instruction of their warp wait for the others there.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from tests.cuda.ptx import arithmetic, copies, tensor_cores, warps
from tests.cuda.ptx.memory import Bytes, Memory
from tests.cuda.ptx.parser import (
    BITS,
    Instruction,
    Kernel,
    PtxError,
    aligned_shared,
    parse,
    split,
)

UNSIGNED = {1: np.dtype("?"), 8: np.dtype("u1"), 16: np.dtype("u2"), 32: np.dtype("u4"),
            64: np.dtype("u8")}  # fmt: skip
_LETTERS = {"b": "u", "u": "u", "s": "i", "f": "f"}
NUMPY = {
    name: np.dtype(f"{_LETTERS[name[0]]}{bits // 8}")
    for name, bits in BITS.items()
    if name not in ("pred", "bf16")
} | {"pred": np.dtype("?")}
#: Where generic addresses of shared memory begin.
SHARED_WINDOW = 1 << 50
_MOST_THREADS = 1 << 15  # at once
_MOST_STEPS = 10**7
_MOST_BLOCKS = (2**31 - 1, 65535, 65535)
_ADDRESS = re.compile(r"\[([%\w$]+)(?:\+(-?\d+))?\]")
_MOVED = {"ld", "st"}
_OPERATIONS = {**warps.OPERATIONS, **tensor_cores.OPERATIONS, **copies.OPERATIONS}


def launch(
    text: str | Kernel,
    memory: Memory,
    grid: tuple[int, int, int],
    threads: int,
    arguments: Sequence[int | float],
    dynamic_shared: int = 0,
) -> int:
    """Runs a kernel over a grid; gives the number of instructions that were interpreted.

    Raises PtxError for what the interpreter does not know or finds wrong.
    """
    kernel = text if isinstance(text, Kernel) else parse(text)
    if len(arguments) != len(kernel.parameters):
        raise PtxError(f"{kernel.name} takes {len(kernel.parameters)} arguments")
    if not 0 < threads <= kernel.most_threads:
        raise PtxError(f"{threads} threads in a block; {kernel.most_threads} would fit")
    if any(not 0 < extent <= limit for extent, limit in zip(grid, _MOST_BLOCKS, strict=True)):
        raise PtxError(f"a grid of {grid}")
    memory.meet()
    blocks = [(x, y, z) for z in range(grid[2]) for y in range(grid[1]) for x in range(grid[0])]
    at_once = max(1, _MOST_THREADS // threads)
    steps = 0
    for first in range(0, len(blocks), at_once):
        some = blocks[first : first + at_once]
        machine = _Machine(kernel, memory, some, first, grid, threads, arguments, dynamic_shared)
        steps += machine.run()
    return steps


class _Machine:
    """Some blocks of a launch. Threads are numbered through, one block after the other."""

    def __init__(
        self,
        kernel: Kernel,
        memory: Memory,
        blocks: Sequence[tuple[int, int, int]],
        first_block: int,
        grid: tuple[int, int, int],
        threads: int,
        arguments: Sequence[int | float],
        dynamic_shared: int,
    ) -> None:
        self.kernel, self.memory, self.threads = kernel, memory, threads
        self.blocks = len(blocks)
        self.count = self.blocks * threads
        self.every = np.arange(self.count)
        self.thread = self.every % threads
        self.block = self.every // threads
        self.numbers = (self.every + first_block * threads + 1).astype(np.int32)
        places = np.array(blocks).reshape(-1, 3)
        self.special: dict[str, np.ndarray] = {"%laneid": self.thread % 32}
        for axis, letter in enumerate("xyz"):
            full = np.ones(self.count, np.int64)
            self.special[f"%tid.{letter}"] = self.thread if not axis else 0 * full
            self.special[f"%ntid.{letter}"] = full * (1 if axis else threads)
            self.special[f"%ctaid.{letter}"] = places[self.block, axis]
            self.special[f"%nctaid.{letter}"] = full * grid[axis]
        self.shared_size = aligned_shared(kernel) + dynamic_shared
        self.shared = Bytes(self.shared_size * self.blocks, "shared memory")
        self.arguments = {
            name: (kind, value)
            for (kind, name), value in zip(kernel.parameters, arguments, strict=True)
        }
        self.registers: dict[str, np.ndarray] = {}
        self.written: dict[str, np.ndarray | None] = {}  # None: by all threads
        self.copies = copies.AsyncCopies(self.shared, self.count)
        self.steps = 0

    # Control flow

    def run(self) -> int:
        groups: list[tuple[int, np.ndarray]] = [(0, self.every)]  # place in the code, threads
        waiting: list[tuple[int, np.ndarray]] = []  # at a barrier of their block
        self.parked: list[tuple[int, np.ndarray]] = []  # for other lanes of their warp
        with np.errstate(all="ignore"):
            while groups or waiting or self.parked:
                if not groups:
                    if self.parked:
                        text = self.kernel.instructions[self.parked[0][0]].text
                        raise PtxError(f"not all lanes of the mask reach {text}")
                    groups, waiting = self._past_barrier(waiting), []
                place = min(place for place, _ in groups)
                together = [threads for at, threads in (*groups, *self.parked) if at == place]
                groups = [group for group in groups if group[0] != place]
                self.parked = [group for group in self.parked if group[0] != place]
                active = together[0] if len(together) == 1 else np.sort(np.concatenate(together))
                limit = min((at for at, _ in groups), default=len(self.kernel.instructions))
                groups += self._advance(place, active, limit, waiting)
        return self.steps

    def _past_barrier(self, waiting: list[tuple[int, np.ndarray]]) -> list[tuple[int, np.ndarray]]:
        """All wait: each block must do so as a whole, at one barrier."""
        places = np.full(self.count, -1)
        for place, threads in waiting:
            places[threads] = place
        by_block = places.reshape(self.blocks, self.threads)
        active = by_block[(by_block != -1).any(axis=1)]
        if (active != active[:, :1]).any():
            raise PtxError("a barrier that not all threads of a block reach")
        for block in np.flatnonzero(by_block[:, 0] != -1):
            self.shared.meet(block * self.shared_size, (block + 1) * self.shared_size)
        return [(place + 1, threads) for place, threads in waiting]

    def _advance(
        self,
        place: int,
        active: np.ndarray,
        limit: int,
        waiting: list[tuple[int, np.ndarray]],
    ) -> list[tuple[int, np.ndarray]]:
        """Runs threads until they part, wait, end, or may meet others at `limit`."""
        instructions, labels = self.kernel.instructions, self.kernel.labels
        while True:
            if place >= len(instructions):
                raise PtxError("the end of the code without ret")
            each = instructions[place]
            self.steps += 1
            if self.steps > _MOST_STEPS:
                raise PtxError("it does not end")
            chosen = active if not each.guard else active[self._guard(each, active)]
            name = each.op.partition(".")[0]
            if name == "bra":
                target = labels[each.operands[0]]
                if len(chosen) == len(active):
                    place = target
                elif not len(chosen):
                    place += 1
                else:
                    others = np.setdiff1d(active, chosen, assume_unique=True)
                    return [(target, chosen), (place + 1, others)]
            elif name in ("ret", "exit"):
                self.copies.end(chosen, each.text)
                rest = np.setdiff1d(active, chosen, assume_unique=True)
                if not len(rest):
                    return []
                active, place = rest, place + 1
            elif each.op in ("bar.sync", "barrier.sync", "barrier.sync.aligned"):
                if len(chosen) != len(active):
                    raise PtxError(f"part of the threads at {each.text}")
                waiting.append((place, active))
                return []
            else:
                late = warps.incomplete(self, each, chosen)
                if late is not None:
                    met = [threads for at, threads in self.parked if at == place]
                    self.parked = [group for group in self.parked if group[0] != place]
                    if met:
                        together = np.sort(np.concatenate([chosen, *met]))
                        others = np.setdiff1d(active, chosen, assume_unique=True)
                        return [(place, together), (place + 1, others)][: 1 + bool(len(others))]
                    self.parked.append((place, chosen[late]))
                    others = np.setdiff1d(active, chosen, assume_unique=True)
                    if len(ready := chosen[~late]):
                        self._execute(each, ready)
                        others = np.sort(np.concatenate([ready, others]))
                    return [(place + 1, others)] if len(others) else []
                if len(chosen):
                    self._execute(each, chosen)
                place += 1
            if place >= limit:
                return [(place, active)]

    def _guard(self, each: Instruction, active: np.ndarray) -> np.ndarray:
        return self.get(each.guard, "pred", active)

    # Operands

    def get(self, operand: str, kind: str, active: np.ndarray) -> Any:
        """The value of an operand for threads: an array, or one element for all."""
        if kind == "pred" and operand.startswith("!"):
            return ~self.get(operand[1:], kind, active)
        if operand in self.special:
            return self.special[operand][active].astype(NUMPY[kind])
        if operand.startswith("%"):
            return self._register(operand, kind, active)
        if operand.startswith("0f"):
            return np.uint32(int(operand[2:], 16)).view(NUMPY[kind])
        if operand.startswith("0d"):
            return np.uint64(int(operand[2:], 16)).view(NUMPY[kind])
        if operand in self.kernel.shared:
            return NUMPY[kind].type(self.kernel.shared[operand])
        if kind == "pred":
            return np.bool_(int(operand))
        number = int(operand.rstrip("U"), 0) & ((1 << BITS[kind]) - 1)
        return UNSIGNED[BITS[kind]].type(number).view(NUMPY[kind])

    def _register(self, name: str, kind: str, active: np.ndarray) -> np.ndarray:
        if name not in self.registers:
            raise PtxError(f"register {name} is read before it is written")
        written = self.written[name]
        if written is not None and not written[active].all():
            raise PtxError(f"register {name} is read by threads that have not written it")
        array = self.registers[name]
        found = array if len(active) == self.count else array[active]
        if found.dtype.itemsize != NUMPY[kind].itemsize:
            raise PtxError(f"register {name} read as {kind}")
        return found.view(NUMPY[kind])

    def width(self, name: str) -> int:
        """Bits of a register."""
        match = re.fullmatch(r"(%[a-zA-Z_]+)\d+", name)
        if match is None or match[1] not in self.kernel.widths:
            raise PtxError(f"no register {name}")
        return self.kernel.widths[match[1]]

    def put(self, name: str, values: Any, active: np.ndarray) -> None:
        """Writes a register; values have its width, narrower ones of loads are extended before."""
        if name == "_":
            return
        bits = self.width(name)
        values = np.asarray(values)
        values = values.view(UNSIGNED[8 * values.dtype.itemsize]) if bits > 1 else values
        if values.dtype != UNSIGNED[bits]:
            raise PtxError(f"{values.dtype} into register {name} of {bits} bits")
        if len(active) == self.count:
            self.registers[name] = np.broadcast_to(values, (self.count,)).copy()
            self.written[name] = None
            return
        if name not in self.registers:
            self.registers[name] = np.zeros(self.count, UNSIGNED[bits])
            self.written[name] = np.zeros(self.count, bool)
        self.registers[name][active] = values
        written = self.written[name]
        if written is not None:
            written[active] = True

    def address(self, operand: str, active: np.ndarray) -> np.ndarray:
        """Of `[register+offset]` or `[variable+offset]`."""
        match = _ADDRESS.fullmatch(operand)
        if match is None:
            raise PtxError(f"address {operand}")
        base, step = match[1], np.int64(match[2] or 0)
        if base in self.kernel.shared:
            return np.full(len(active), self.kernel.shared[base] + step)
        kind = "u32" if self.width(base) == 32 else "u64"
        return self.get(base, kind, active).astype(np.int64) + step

    # Instructions

    def _execute(self, each: Instruction, active: np.ndarray) -> None:
        name, *parts = each.op.split(".")
        if name in ("atom", "red"):
            self._atomic(each, parts, active)
        elif name in _MOVED:
            self._move(each, name, parts, active)
        elif name in _OPERATIONS:
            _OPERATIONS[name](self, each, parts, active)
        elif name == "mov" and any(operand.startswith("{") for operand in each.operands):
            self._repack(each, parts[-1], active)
        else:
            arithmetic.execute(self, each, name, parts, active)

    def _repack(self, each: Instruction, kind: str, active: np.ndarray) -> None:
        """mov between a register and several that it is made of."""
        target, source = each.operands
        parts = split((target if target.startswith("{") else source).strip("{}"))
        narrow = f"b{BITS[kind] // len(parts)}"
        if target.startswith("{"):
            values = np.broadcast_to(self.get(source, kind, active), (len(active),)).copy()
            columns = values.view(NUMPY[narrow]).reshape(len(active), len(parts))
            for index, part in enumerate(parts):
                self.put(part, columns[:, index].copy(), active)
        else:
            columns = np.empty((len(active), len(parts)), NUMPY[narrow])
            for index, part in enumerate(parts):
                columns[:, index] = self.get(part, narrow, active)
            self.put(target, columns.view(NUMPY[kind]).reshape(-1), active)

    def _move(self, each: Instruction, name: str, parts: list[str], active: np.ndarray) -> None:
        kind = parts[-1]
        space = next((p for p in parts if p in ("param", "global", "shared", "local")), "")
        unknown = set(parts[:-1]) - {"param", "global", "shared", "v2", "v4", "nc", "volatile"}
        if unknown or kind not in NUMPY:
            raise PtxError(f"instruction that is not known: {each.text}")
        if space == "param":
            self._argument(each, kind, active)
            return
        count = 2 if "v2" in parts else 4 if "v4" in parts else 1
        memory_operand = each.operands[1 if name == "ld" else 0]
        registers = split(each.operands[0 if name == "ld" else 1].strip("{}"))
        if len(registers) != count:
            raise PtxError(f"{count} registers for {each.text}")
        width = BITS[kind] // 8
        memory, places = self.places(memory_operand, width * count, space, active, each.text)
        who = self.numbers[active]
        if name == "ld":
            data = memory.load(places, who, each.text).view(NUMPY[kind])
            for index, register in enumerate(registers):
                self.put(register, self._extended(register, data[:, index]), active)
        else:
            data = np.empty((len(active), count), UNSIGNED[8 * width])
            for index, register in enumerate(registers):
                data[:, index] = self._low(register, kind, active)
            memory.store(places, data.view(np.uint8), who, each.text)

    def _atomic(self, each: Instruction, parts: list[str], active: np.ndarray) -> None:
        """Minima and maxima that threads put into memory, in any order: no race.

        What atom gives hangs on the order, so its register stays as it is: not to be read.
        """
        kind, known = parts[-1], {"global", "min", "max", "relaxed", "gpu", "sys"}
        if set(parts[:-1]) - known or "global" not in parts:
            raise PtxError(f"instruction that is not known: {each.text}")
        width = BITS[kind] // 8
        at, given = each.operands[-2:]
        memory, places = self.places(at, width, "global", active, each.text)
        values = np.broadcast_to(self.get(given, kind, active), (len(active),))
        pick = min if "min" in parts else max
        if not memory.known[places].all():
            raise PtxError(f"memory that nobody has written is read: {each.text}")
        for place, value in zip(places, values, strict=True):
            before = memory.data[place].view(NUMPY[kind])[0]
            memory.data[place] = np.array([pick(before, value)]).view(np.uint8)

    def places(
        self, operand: str, width: int, space: str, active: np.ndarray, text: str
    ) -> tuple[Bytes, np.ndarray]:
        """Which memory an address is in, and the indices of `width` bytes there."""
        at = self.address(operand, active)
        if (at % width).any():
            raise PtxError(f"misaligned: {text}")
        if not space:
            inside = at >= SHARED_WINDOW
            if inside.any() and not inside.all():
                raise PtxError(f"both shared and global: {text}")
            space = "shared" if inside.all() else "global"
            at = at - SHARED_WINDOW if space == "shared" else at
        if space == "global":
            return self.memory, self.memory.places(at, width, text)
        places = at[:, None] + np.arange(width)
        if (places < 0).any() or (places >= self.shared_size).any():
            raise PtxError(f"outside of shared memory: {text}")
        return self.shared, places + (self.block[active] * self.shared_size)[:, None]

    def _extended(self, register: str, values: np.ndarray) -> np.ndarray:
        """Loaded elements as wide as the register."""
        bits = self.width(register)
        if 8 * values.dtype.itemsize > bits:
            raise PtxError(f"{values.dtype} into register {register} of {bits} bits")
        if values.dtype.kind == "f":
            return values.copy()
        signed = values.dtype.kind == "i"
        return values.astype(NUMPY[f"{'s' if signed else 'u'}{bits}"])

    def _low(self, register: str, kind: str, active: np.ndarray) -> Any:
        """What is stored of a register that may be wider than the element."""
        if not register.startswith("%"):
            return np.asarray(self.get(register, kind, active)).view(UNSIGNED[BITS[kind]])
        whole = self.get(register, f"b{self.width(register)}", active)
        return whole.astype(UNSIGNED[BITS[kind]])

    def _argument(self, each: Instruction, kind: str, active: np.ndarray) -> None:
        name = each.operands[1].strip("[]")
        if name not in self.arguments:
            raise PtxError(f"no argument: {each.text}")
        declared, value = self.arguments[name]
        if declared[0] == "f":
            found = np.asarray(value, NUMPY[declared])
        else:
            found = UNSIGNED[BITS[declared]].type(int(value) & ((1 << BITS[declared]) - 1))
        if BITS[kind] != BITS[declared]:
            raise PtxError(f"an argument of {declared}: {each.text}")
        self.put(
            each.operands[0],
            self._extended(each.operands[0], np.asarray(found).view(NUMPY[kind])),
            active,
        )
