# mypy: ignore-errors
"""Atomic operations, waiting, and calls by address, for the executor.

Importing this module imports Numba. Atomics act on 64-bit words and are sequentially consistent,
except ``store_release``.
"""

from __future__ import annotations

import platform
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

_I32 = ir.IntType(32)
_I64 = ir.IntType(64)
_VOID = ir.VoidType()
_BYTES = ir.IntType(8).as_pointer()
_WORD = 8  # bytes; the alignment of atomics

# Linux: the number of the futex system call, by machine; operations from linux/futex.h.
_FUTEX = {"x86_64": 202, "aarch64": 98}
_SYSTEM_CALLS = {
    "x86_64": {
        "gettid": 186,
        "sched_setaffinity": 203,
        "sched_getaffinity": 204,
        "clock_gettime": 228,
        "getcpu": 309,
    },
    "aarch64": {
        "gettid": 178,
        "sched_setaffinity": 122,
        "sched_getaffinity": 123,
        "clock_gettime": 113,
        "getcpu": 168,
    },
}
_FUTEX_WAIT_PRIVATE = 128
_FUTEX_WAKE_PRIVATE = 129
_EVERYONE = 0x7FFFFFFF
_NAP_MICROSECONDS = 200  # how long a waiting thread sleeps where there is no futex


def _words(*arguments: Any) -> bool:
    pointer, *integers = arguments
    return isinstance(pointer, types.CPointer) and all(
        isinstance(value, types.Integer) for value in integers
    )


def _element(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    index = context.cast(builder, args[1], signature.args[1], types.int64)
    return builder.gep(args[0], [index])


def _operand(context: Any, builder: Any, signature: Any, args: Any, at: int) -> Any:
    return context.cast(builder, args[at], signature.args[at], types.int64)


def _call(builder: Any, name: str, result: Any, args: list[Any], var_arg: bool = False) -> Any:
    function_type = ir.FunctionType(result, [value.type for value in args], var_arg=var_arg)
    if var_arg:
        function_type = ir.FunctionType(result, [args[0].type], var_arg=True)
    return builder.call(cgutils.get_or_insert_function(builder.module, function_type, name), args)


@intrinsic
def load(typingctx: Any, pointer: Any, index: Any) -> Any:
    """The word at ``pointer[index]``."""
    if not _words(pointer, index):
        return None

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.load_atomic(_element(context, builder, signature, args), "seq_cst", _WORD)

    return types.int64(pointer, index), codegen


@intrinsic
def store_release(typingctx: Any, pointer: Any, index: Any, value: Any) -> Any:
    """Write ``pointer[index]``: whoever reads the value sees all that was written before."""
    if not _words(pointer, index, value):
        return None

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        word = _operand(context, builder, signature, args, 2)
        builder.store_atomic(word, _element(context, builder, signature, args), "release", _WORD)
        return context.get_dummy_value()

    return types.void(pointer, index, value), codegen


def _read_modify_write(operation: str) -> Callable[..., Any]:
    def define(typingctx: Any, pointer: Any, index: Any, value: Any) -> Any:
        if not _words(pointer, index, value):
            return None

        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            word = _operand(context, builder, signature, args, 2)
            target = _element(context, builder, signature, args)
            return builder.atomic_rmw(operation, target, word, "seq_cst")

        return types.int64(pointer, index, value), codegen

    return define


@intrinsic
def fetch_add(typingctx: Any, pointer: Any, index: Any, value: Any) -> Any:
    """Add ``value`` to ``pointer[index]``; the word as it was before."""
    return _read_modify_write("add")(typingctx, pointer, index, value)


@intrinsic
def exchange(typingctx: Any, pointer: Any, index: Any, value: Any) -> Any:
    """Write ``value`` to ``pointer[index]``; the word as it was before."""
    return _read_modify_write("xchg")(typingctx, pointer, index, value)


@intrinsic
def pause(typingctx: Any) -> Any:
    """Tell the processor that this is a spin loop."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        hints = {"x86_64": "llvm.x86.sse2.pause", "amd64": "llvm.x86.sse2.pause"}
        machine = platform.machine().lower()
        if machine in hints:
            _call(builder, hints[machine], _VOID, [])
        elif machine in ("aarch64", "arm64"):
            _call(builder, "llvm.aarch64.hint", _VOID, [_I32(1)])  # yield
        return context.get_dummy_value()

    return types.void(), codegen


@intrinsic
def yield_thread(typingctx: Any) -> Any:
    """Let another thread run on this core."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        if platform.system() == "Windows":
            _call(builder, "SwitchToThread", _I32, [])
        else:
            _call(builder, "sched_yield", _I32, [])
        return context.get_dummy_value()

    return types.void(), codegen


def _futex_number() -> int | None:
    return _FUTEX.get(platform.machine().lower()) if platform.system() == "Linux" else None


@intrinsic
def wait_while(typingctx: Any, pointer: Any, index: Any, value: Any) -> Any:
    """Sleep while ``pointer[index] == value``; may return early.

    A futex on Linux (on the low half of the word: little-endian machines only); elsewhere a nap.
    """
    if not _words(pointer, index, value):
        return None

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        number = _futex_number()
        if number is not None:
            word = builder.bitcast(_element(context, builder, signature, args), _BYTES)
            low = _operand(context, builder, signature, args, 2)
            operation = _I64(_FUTEX_WAIT_PRIVATE)
            zero = _I64(0)
            syscall = [_I64(number), word, operation, low, zero, zero, zero]
            _call(builder, "syscall", _I64, syscall, var_arg=True)
        elif platform.system() == "Windows":
            _call(builder, "Sleep", _VOID, [_I32(1)])
        else:
            _call(builder, "usleep", _I32, [_I32(_NAP_MICROSECONDS)])
        return context.get_dummy_value()

    return types.void(pointer, index, value), codegen


@intrinsic
def wake_all(typingctx: Any, pointer: Any, index: Any) -> Any:
    """Wake every thread that sleeps in ``wait_while`` on ``pointer[index]``."""
    if not _words(pointer, index):
        return None

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        number = _futex_number()
        if number is not None:
            word = builder.bitcast(_element(context, builder, signature, args), _BYTES)
            zero = _I64(0)
            syscall = [_I64(number), word, _I64(_FUTEX_WAKE_PRIVATE), _I64(_EVERYONE)]
            _call(builder, "syscall", _I64, [*syscall, zero, zero, zero], var_arg=True)
        return context.get_dummy_value()

    return types.void(pointer, index), codegen


@intrinsic
def linux_call(typingctx: Any, name: Any, a: Any, b: Any, c: Any) -> Any:
    """The system call ``name`` (a constant of ``_SYSTEM_CALLS``) with three integers.

    Its result; -1 on other systems and processors.
    """
    if not isinstance(name, types.StringLiteral):
        return None
    numbers = _SYSTEM_CALLS.get(platform.machine().lower(), {})
    number = numbers.get(name.literal_value) if platform.system() == "Linux" else None

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        if number is None:
            return _I64(-1)
        values = [_operand(context, builder, signature, args, at) for at in (1, 2, 3)]
        return _call(builder, "syscall", _I64, [_I64(number), *values], var_arg=True)

    return types.int64(name, a, b, c), codegen


@intrinsic
def call_kernel(typingctx: Any, address: Any, task: Any, words: Any) -> Any:
    """Call the kernel at ``address`` for ``task`` with the argument words at address ``words``."""
    if not all(isinstance(value, types.Integer) for value in (address, task, words)):
        return None

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        values = [_operand(context, builder, signature, args, at) for at in range(3)]
        function_type = ir.FunctionType(_VOID, [_I64, _I64])
        function = builder.inttoptr(values[0], function_type.as_pointer())
        builder.call(function, values[1:])
        return context.get_dummy_value()

    return types.void(address, task, words), codegen
