"""Measures what a CPU can do: peak rates of arithmetic, and of moving memory, on several threads.

The threads are those that run models (`layercc.runtime.threads`), each with data of its own.
All probes take turns in rounds, and the best run of each counts: a burst of other work on the
machine costs a probe some runs, not its result. Runs are short, since the more often all threads
have a processor for as long as one takes; and there are rounds until each probe had several such.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from layercc.cpu.isa import Isa
from layercc.cpu.kernels.fill import fill
from layercc.cpu.kernels.microbenchmarks import (
    chain_elements,
    chain_operations,
    chain_type,
    chain_words,
    multiply_add_chains,
    repeated_copy,
    repeated_sum,
)
from layercc.cpu.runtime.native import LoadedKernel, default_kernels
from layercc.kernels.element_types import SCALAR
from layercc.limits import LEVELS, Limits
from layercc.memory_limit import available_bytes
from layercc.processor import Cache, caches, processor_name
from layercc.runtime.arenas import address_of
from layercc.runtime.threads import run_table

_SECONDS = 0.001  # of one run of a probe
_RUNS = 3  # of a turn; the first wakes the threads
_ROUNDS = 5  # at least
_ENOUGH = 3  # runs of each probe that nothing else disturbed
_MOST_SECONDS = 1.5  # of all rounds
#: Of the time of a run, what each thread must have had a processor for.
_UNDISTURBED = 0.95
_WARM_UP_SECONDS = 0.03  # a processor that slept takes some of these to reach its clock
_PAGE = 4096
_WORD = 8
#: Sets, and halves of them, are multiples of so many bytes: of whole vectors, eight in a loop.
_GRAIN = 1024
_PIECES = 4
_LEAST_MEMORY, _MOST_MEMORY = 64 << 20, 4 << 30


def _run(kernel: LoadedKernel, words: Sequence[int], threads: int) -> tuple[float, float]:
    """Calls a kernel, a task a thread: seconds, and the processors that it had meanwhile."""
    held = np.array(words, np.int64)
    table = np.array([[kernel.address, threads, address_of(held), 0]], np.int64)
    start, worked = time.perf_counter(), time.process_time()
    run_table(address_of(table), 1, threads)
    worked = time.process_time() - worked
    seconds = max(time.perf_counter() - start, 1e-9)
    return seconds, worked / seconds


@dataclass(eq=False)
class _Probe:
    """A kernel for the rate `name`, and its arguments, the last of which is a number of steps.

    There may be several sets of arguments, for one run after another; then a run is one step. A
    step of all threads is `work`; `best` is the most of it that a second did. `undisturbed` counts
    runs in which all threads had a processor. The arrays that arguments point to are in `keep`.
    """

    name: str
    kernel: LoadedKernel
    words: Sequence[Sequence[int]]
    work: float
    keep: tuple[np.ndarray, ...]
    steps: int = 1
    runs: int = 0
    undisturbed: int = 0
    best: float = 0.0

    def run(self, threads: int) -> float:
        """Seconds of one run of `steps` steps."""
        words = self.words[self.runs % len(self.words)]
        self.runs += 1
        seconds, processors = _run(self.kernel, [*words, self.steps], threads)
        self.undisturbed += processors >= _UNDISTURBED * threads
        self.best = max(self.best, self.work * self.steps / seconds)
        return seconds

    def fit(self, threads: int) -> None:
        """Sets the steps such that a run that nothing disturbs takes about `_SECONDS`."""
        if len(self.words) > 1:
            return
        while (seconds := min(self.run(threads) for _ in range(_RUNS))) < _SECONDS / 4:
            self.steps *= 4
        self.steps = max(1, int(self.steps * _SECONDS / seconds))


def measure(isa: Isa, threads: int) -> tuple[Limits, bool]:
    """The limits of this machine for code of `isa` on `threads` threads, in a second or two; and
    whether each probe had enough runs that nothing disturbed.

    bytes_per_second is that of reading or of copying, whichever is more: bytes read and written
    both count.
    """
    arithmetic = list(_chains(isa, threads))
    movement = list(_movements(isa, threads, caches()))
    probes = [*arithmetic, *movement]
    _warm_up(arithmetic[0], threads)
    for probe in probes:
        probe.fit(threads)
    begun, rounds = time.perf_counter(), 0
    while rounds < _ROUNDS or min(probe.undisturbed for probe in probes) < _ENOUGH:
        for probe in probes:
            for _ in range(_RUNS):
                probe.run(threads)
        rounds += 1
        if time.perf_counter() - begun > _MOST_SECONDS:
            break
    undisturbed = min(probe.undisturbed for probe in probes) >= _ENOUGH
    rates: dict[str, float] = {}
    for probe in movement:
        rates[probe.name] = max(rates.get(probe.name, 0.0), probe.best)
    flops = {probe.name: probe.best for probe in arithmetic}
    held = held_bytes(caches(), threads)
    limits = Limits(f"{processor_name()}, {isa.name}", threads, flops, rates, held)
    return limits, undisturbed


def _warm_up(probe: _Probe, threads: int) -> None:
    begun = time.perf_counter()
    while time.perf_counter() - begun < _WARM_UP_SECONDS:
        probe.fit(threads)


def _chains(isa: Isa, threads: int) -> Iterator[_Probe]:
    """Multiply-adds in registers; values stay finite: x ← x / 2 + 1 tends to 2."""
    elements = chain_elements(isa)
    keys = {name: multiply_add_chains.key(element) for name, element in elements.items()}
    kernels = default_kernels(isa).prepare(keys.values())
    for name, element in elements.items():
        stored = SCALAR[chain_type(element)]
        operands = np.ones(2 * isa.vector_bytes, np.uint8).view(stored)
        if np.issubdtype(stored, np.floating):
            operands[: operands.size // 2] = 0.5
            operands[operands.size // 2 :] = 1.0
        sums = np.zeros(threads * chain_words(isa, element), stored)
        words = [address_of(operands), address_of(sums)]
        work = threads * chain_operations(isa, element)
        yield _Probe(name, kernels[keys[name]], [words], work, (operands, sums))


def _movements(isa: Isa, threads: int, known: Sequence[Cache]) -> Iterator[_Probe]:
    """Reads and copies from each level of which the sizes are known, and from memory."""
    sizes = working_sets(known, threads, available_bytes())
    keys = (repeated_sum.key(), repeated_copy.key(), fill.key("u64"))
    read, copy, first_touch = default_kernels(isa).prepare(keys).values()
    # Memory is gone through in pieces, a run each, since all of it would make a run too long; some
    # are read and the others copied, so that many lie between a run and the next of the same piece.
    piece = max(sizes.pop("memory") // (2 * _PIECES) // _GRAIN, 1) * _GRAIN
    room = 2 * _PAGE  # what a copy needs besides; see below
    cached = max(sizes.values(), default=0) * threads + room
    buffer = _aligned_words((cached + 2 * _PIECES * piece * threads + room) // _WORD)
    value, totals = np.ones(1, np.uint64), np.zeros(threads, np.uint64)
    begin, part = address_of(buffer), -(-buffer.size // threads)
    # Before they are written to, all pages are one; then they are in the memory near the writer.
    _run(first_touch, [address_of(value), begin, buffer.size, part], threads)

    def probes(level: str, nbytes: int, reads: list[int], copies: list[int]) -> Iterator[_Probe]:
        """Of sets of `nbytes` a thread that start at the addresses `reads`, and at `copies`."""
        count, half = nbytes // _WORD, nbytes // _WORD // 2
        words = [[start, address_of(totals), count] for start in reads]
        yield _Probe(level, read, words, threads * nbytes, (buffer, totals))
        # Half a page off a page: a load just behind a store to the same place in another page is
        # taken for one that must wait for it.
        gap = -(-threads * half * _WORD // _PAGE) * _PAGE + _PAGE // 2
        words = [[start, start + gap, half] for start in copies]
        yield _Probe(level, copy, words, threads * nbytes, (buffer,))

    for level, nbytes in sizes.items():
        yield from probes(level, nbytes, [begin], [begin])
    starts = [begin + cached + i * piece * threads for i in range(2 * _PIECES)]
    yield from probes("memory", piece, starts[:_PIECES], starts[_PIECES:])


def _aligned_words(count: int) -> np.ndarray:
    """Uninitialised words from the start of a page on."""
    memory = np.empty(count * _WORD + _PAGE, np.uint8)
    skipped = -address_of(memory) % _PAGE
    return memory[skipped : skipped + count * _WORD].view(np.uint64)


def held_bytes(known: Sequence[Cache], threads: int) -> dict[str, int]:
    """By level, what the largest caches hold of which `threads` threads can have one each."""
    sizes: dict[str, list[int]] = {}
    for cache in sorted(known, key=lambda cache: -cache.nbytes):
        sizes.setdefault(f"L{cache.level}", []).append(cache.nbytes)
    return {level: sum(each[:threads]) for level, each in sizes.items() if level in LEVELS}


def working_sets(known: Sequence[Cache], threads: int, available: int) -> dict[str, int]:
    """Bytes that each of `threads` threads goes through to meet one level only, by level.

    A thread may run on any processor, so its part of a cache is told for the case that as many
    threads as can share it: half of that part, and at least half as much again as the level below
    holds. A level that has no room for this is left out, and so is one that is not known. Memory
    is met by four times what the last level of as many caches as there are threads holds (some
    caches keep a part of what is read in a circle), if that is not too large a part of the memory
    that is left.
    """
    sets: dict[str, int] = {}
    below, last = 0, 0
    for level in sorted({cache.level for cache in known}):
        of_level = [cache for cache in known if cache.level == level]
        size = min(cache.nbytes for cache in of_level)
        sharing = min(threads, max(len(cache.shared_by) for cache in of_level))
        part = size // max(sharing, -(-threads // len(of_level)))
        wanted = max(part // 2, below * 3 // 2)
        if level <= 3 and wanted <= part * 9 // 10:
            sets[f"L{level}"] = wanted
        below = size
        last = sum(sorted((cache.nbytes for cache in of_level), reverse=True)[:threads])
    total = min(max(4 * last, _LEAST_MEMORY), _MOST_MEMORY, max(available // 8, 1 << 20))
    sets["memory"] = total // threads
    return {level: max(nbytes // _GRAIN, 1) * _GRAIN for level, nbytes in sets.items()}
