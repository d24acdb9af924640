"""The machine's limits: the rate of single-precision multiply-adds, measured.

The kernel is a loop of independent vector multiply-adds that stay in registers, built with
llvmlite: nothing else can be in the way.
"""

from __future__ import annotations

import ctypes
import os
import platform
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from llvmlite import binding, ir

from layercc.cpu.isa import Isa, host_isa

#: Chains of dependent multiply-adds: more than latency times issue width, fewer than registers.
CHAINS = 12
_ROUNDS = 5
_SECONDS = 0.1


@dataclass(frozen=True)
class Machine:
    """The processor's name, the instruction set used, and peak rates in FLOP/s by threads."""

    processor: str
    isa: str
    cores: int
    peaks: dict[int, float]

    def peak(self, threads: int) -> float:
        """FLOP/s of `threads` threads; measured when first asked for."""
        if threads not in self.peaks:
            self.peaks[threads] = fma_peak(threads)
        return self.peaks[threads]


def this_machine() -> Machine:
    """What is known of the machine without measuring."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return Machine(_processor(), host_isa().name, cores or 1, {})


def fma_peak(threads: int) -> float:
    """Single-precision FLOP/s of `threads` threads, a multiply-add counted as two; best of five."""
    isa = host_isa()
    engine = _engine(isa)
    address = engine.get_function_address("chains")
    kernel = ctypes.CFUNCTYPE(ctypes.c_float, ctypes.c_int64)(address)  # releases the GIL
    work = CHAINS * (isa.vector_bytes // 4) * 2
    rounds = 1 << 16
    while _timed(kernel, rounds, 1) < _SECONDS:
        rounds *= 2
    return max(threads * rounds * work / _timed(kernel, rounds, threads) for _ in range(_ROUNDS))


def _timed(kernel: object, rounds: int, threads: int) -> float:
    """Seconds until `threads` threads have each run the kernel."""
    workers = [threading.Thread(target=kernel, args=(rounds,)) for _ in range(threads)]  # type: ignore[arg-type]
    start = time.perf_counter()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return time.perf_counter() - start


def _engine(isa: Isa) -> binding.ExecutionEngine:
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    target = binding.Target.from_default_triple().create_target_machine(
        cpu=binding.get_host_cpu_name(), features=isa.feature_string, opt=2
    )
    module = binding.parse_assembly(str(_module(isa.vector_bytes // 4)))
    module.verify()
    return binding.create_mcjit_compiler(module, target)


def _module(lanes: int) -> ir.Module:
    """`float chains(i64 n)`: n rounds of `acc[k] = acc[k] * a + b` for each chain k."""
    vector, count = ir.VectorType(ir.FloatType(), lanes), ir.IntType(64)
    module = ir.Module("machine")
    module.triple = binding.get_default_triple()
    function = ir.Function(module, ir.FunctionType(ir.FloatType(), [count]), "chains")
    fma = ir.Function(module, ir.FunctionType(vector, [vector] * 3), f"llvm.fma.v{lanes}f32")
    entry, loop, done = (function.append_basic_block(name) for name in ("entry", "loop", "done"))
    builder = ir.IRBuilder(entry)
    builder.branch(loop)
    builder.position_at_end(loop)
    index = builder.phi(count)
    index.add_incoming(count(0), entry)
    factor, addend = (ir.Constant(vector, [value] * lanes) for value in (0.999, 0.5))
    results = []
    for chain in range(CHAINS):
        held = builder.phi(vector)
        held.add_incoming(ir.Constant(vector, [float(chain)] * lanes), entry)
        results.append(held)
    made = [builder.call(fma, (held, factor, addend)) for held in results]
    for held, new in zip(results, made, strict=True):
        held.add_incoming(new, loop)
    following = builder.add(index, count(1))
    index.add_incoming(following, loop)
    builder.cbranch(builder.icmp_signed("<", following, function.args[0]), loop, done)
    builder.position_at_end(done)
    total = made[0]
    for new in made[1:]:
        total = builder.fadd(total, new)
    builder.ret(builder.extract_element(total, ir.IntType(32)(0)))
    return module


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
