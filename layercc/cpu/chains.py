"""Chains of multiply-adds that stay in registers: the rate at which a core computes at best.

A chain is a vector x that goes through

    x ← x · a + b                     f32, f64: fused where the instruction set has that
    x ← Σ x · a + b                   PAIRS: x and a as two i16 a word, the sum in i32
    x ← x + Σ a · b                   QUADS (u8 by s8), BF16_PAIRS: one instruction

again and again. Several chains, which do not hang on each other, cover the latency of an
instruction. (A product of invariant PAIRS would be computed once, ahead of the loop: so it is x
that is multiplied.)

Importing this module imports Numba.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from layercc.cpu.isa import Isa
from layercc.cpu.microkernel import fused_name, sum_of_pairs
from layercc.cpu.tiles import BF16_PAIRS, PAIRS

_I64 = ir.IntType(64)
_I32 = ir.IntType(32)
_I16 = ir.IntType(16)


def make_chains(isa: Isa, element: str, count: int) -> Any:
    """The intrinsic for kernels: `run_chains(rounds, operands, sums)`, for `count` chains.

    `rounds` (int64): steps of each chain, at least 1. `operands`: pointer to the vectors a and b.
    `sums`: pointer to the vectors x, one a chain, which are read before and written after.
    """

    @intrinsic
    def run_chains(typingctx, rounds, operands, sums):  # type: ignore[no-untyped-def]
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            steps, factors, places = args
            scalar = context.get_data_type(signature.args[1].dtype)
            size = context.get_abi_sizeof(scalar)
            vector = ir.VectorType(scalar, isa.vector_bytes // size)

            def at(pointer: Any, index: int) -> Any:
                start = builder.gep(pointer, [_I64(index * vector.count)])
                return builder.bitcast(start, vector.as_pointer())

            a, b = (builder.load(at(factors, i), align=size) for i in range(2))
            chains = [at(places, i) for i in range(count)]
            before = [builder.load(chain, align=size) for chain in chains]
            start = builder.block
            loop, done = map(builder.append_basic_block, ("chains", "chains.done"))
            builder.branch(loop)
            builder.position_at_end(loop)
            index = builder.phi(_I64)
            held = [builder.phi(vector) for _ in chains]
            after = [_step(builder, isa, element, x, a, b) for x in held]
            following = builder.add(index, _I64(1))
            for phi, first, again in zip(
                [index, *held], [_I64(0), *before], [following, *after], strict=True
            ):
                phi.add_incoming(first, start)
                phi.add_incoming(again, loop)
            builder.cbranch(builder.icmp_signed("<", following, steps), loop, done)
            builder.position_at_end(done)
            for chain, value in zip(chains, after, strict=True):
                builder.store(value, chain, align=size)
            return context.get_dummy_value()

        return types.void(rounds, operands, sums), codegen

    return run_chains


def _step(builder: Any, isa: Isa, element: str, x: Any, a: Any, b: Any) -> Any:
    """The next value of a chain."""
    if element == PAIRS:
        pairs = ir.VectorType(_I16, 2 * x.type.count)
        return builder.add(
            sum_of_pairs(builder, builder.bitcast(x, pairs), builder.bitcast(a, pairs)), b
        )
    if element == BF16_PAIRS:
        # LLVM takes the operands as vectors of bfloat, which llvmlite has no type for, or, as this
        # function was first declared, of i32, and converts.
        bits = ir.VectorType(_I32, x.type.count)
        name = f"llvm.x86.avx512bf16.dpbf16ps.{8 * isa.vector_bytes}"
        arguments = [x, builder.bitcast(a, bits), builder.bitcast(b, bits)]
    else:
        name = fused_name(isa, element)
        arguments = [x, a, b]
    kind = ir.FunctionType(x.type, [argument.type for argument in arguments])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), arguments)
