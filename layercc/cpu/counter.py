# mypy: ignore-errors
"""The processor's counter of time, for kernels that measure, and the place of their stack.

Importing this module imports Numba.
"""

from __future__ import annotations

import platform
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

_I32 = ir.IntType(32)
_I64 = ir.IntType(64)
_BYTES = ir.IntType(8).as_pointer()
_MONOTONIC = 6 if platform.system() == "Darwin" else 1  # CLOCK_MONOTONIC


def read_counter(builder: Any, machine: str) -> Any:
    """The instruction that reads the counter, in LLVM IR. What LLVM has for Arm by the name of a
    cycle counter is a register that programs may not read."""
    if machine in ("aarch64", "arm64"):
        function_type = ir.FunctionType(_I64, [ir.MetaDataType()])
        name = "llvm.read_volatile_register.i64"
        arguments = [builder.module.add_metadata(["cntvct_el0"])]
    else:
        function_type = ir.FunctionType(_I64, [])
        name = "llvm.readcyclecounter"
        arguments = []
    function = cgutils.get_or_insert_function(builder.module, function_type, name)
    return builder.call(function, arguments)


@intrinsic
def counter(typingctx: Any) -> Any:
    """The time-stamp counter (x86), or the virtual count of the generic timer (Arm).

    Read without waiting for the instructions before it, which would take as long as some dozens of
    them: two readings tell intervals to within some ten nanoseconds.
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return read_counter(builder, platform.machine().lower())

    return types.int64(), codegen


@intrinsic
def monotonic_nanoseconds(typingctx: Any) -> Any:
    """The system's monotonic clock: where the processor has no counter that can be trusted."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        time_type = ir.ArrayType(_I64, 2)  # struct timespec
        with builder.goto_entry_block():
            time = builder.alloca(time_type)
        function_type = ir.FunctionType(_I32, [_I32, _BYTES])
        function = cgutils.get_or_insert_function(builder.module, function_type, "clock_gettime")
        builder.call(function, [_I32(_MONOTONIC), builder.bitcast(time, _BYTES)])
        seconds, rest = (
            builder.load(builder.gep(time, [_I32(0), _I32(index)])) for index in range(2)
        )
        return builder.add(builder.mul(seconds, _I64(1_000_000_000)), rest)

    return types.int64(), codegen


@intrinsic
def stack_place(typingctx: Any) -> Any:
    """The address of this function's frame. Each thread has a stack of its own."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        name = "llvm.frameaddress.p0"
        function_type = ir.FunctionType(_BYTES, [_I32])
        function = cgutils.get_or_insert_function(builder.module, function_type, name)
        return builder.ptrtoint(builder.call(function, [_I32(0)]), _I64)

    return types.int64(), codegen
